#!/usr/bin/env bash
# The story through Apache Kafka's command-line tools. usage: tools.sh HOST:PORT LIB
# With DATA_DIR, the server's own segment files are dumped as well.
# Where a share group has not fetched, Apache Kafka knows neither its start nor its lag: such
# places are not looked at.
set -euo pipefail
bootstrap=$1 lib=$2
topic=tools-$(date +%s%N) group=tools-group-$(date +%s%N)
jobs=$topic-jobs workers=tools-workers-$(date +%s%N)
worker=
scratch=$(mktemp -d)
trap '[ -z "$worker" ] || kill "$worker"; rm -rf "$scratch"' EXIT

fail() { echo "$*" >&2; exit 1; }

main_class() { exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -cp "$lib/*" "$@"; }

# Run a main class; its output stays in $out.
tool() {
    out=$(main_class "$@" 2>"$scratch/errors") ||
        fail "$*: $out $(grep -v SLF4J "$scratch/errors" | tail -5)"
}

# Run a main class that has something to complain of; what it says stays in $out. Not all tools
# tell by their exit code that they failed.
complaint() { out=$(main_class "$@" 2>&1) || true; }

# says WHAT PATTERN: the last tool said so.
says() { grep -qE -- "$2" <<<"$out" || fail "$1: no line like '$2' in: $out"; }
ok() { echo "ok $*"; }

topics() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" "$@"; }
configs() { tool kafka.admin.ConfigCommand --bootstrap-server "$bootstrap" "$@"; }
groups() {
    tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand \
        --bootstrap-server "$bootstrap" "$@"
}
share_groups() {
    tool org.apache.kafka.tools.consumer.group.ShareGroupCommand \
        --bootstrap-server "$bootstrap" "$@"
}
offsets() { tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$bootstrap" "$@"; }

echo "kafka tools $(basename "$lib"/kafka_*.jar .jar | cut -d- -f2)"

topics --create --topic "$topic" --partitions 2 --replication-factor 1 \
    --config retention.ms=123456789
says "creation" "Created topic $topic"
topics --list
says "list" "^$topic\$"
topics --describe --topic "$topic"
says "description" "Topic: $topic.*PartitionCount: 2.*ReplicationFactor: 1.*retention.ms=123456789"
says "partition" "Partition: 1.*Leader: [0-9]+.*Isr: [0-9]+"
topics --alter --topic "$topic" --partitions 3
topics --describe --topic "$topic"
says "growth" "PartitionCount: 3"
node=$(grep -oE 'Leader: [0-9]+' <<<"$out" | head -1 | cut -d' ' -f2)
ok "kafka-topics"

configs --alter --entity-type topics --entity-name "$topic" \
    --add-config retention.ms=7200000,segment.bytes=2097152
configs --describe --entity-type topics --entity-name "$topic"
says "configuration" "retention.ms=7200000"
says "configuration" "segment.bytes=2097152"
configs --alter --entity-type topics --entity-name "$topic" --delete-config retention.ms
configs --describe --all --entity-type topics --entity-name "$topic"
says "default" "^  retention.ms=604800000 "
configs --describe --all --entity-type brokers --entity-name "$node"
says "broker configuration" "^  message.max.bytes=1048588 "
ok "kafka-configs"

tool org.apache.kafka.tools.ProducerPerformance --topic "$topic" --num-records 20000 \
    --record-size 100 --throughput -1 \
    --command-property bootstrap.servers="$bootstrap" acks=all compression.type=lz4
says "producer performance" "^20000 records sent"
ok "kafka-producer-perf-test"

offsets --topic "$topic"
sum=$(awk -F: '{ sum += $3 } END { print sum }' <<<"$out")
[ "$sum" = 20000 ] || fail "latest offsets: expected 20000 in all, got $out"
offsets --topic "$topic" --time earliest
says "earliest" "^$topic:2:0\$"
offsets --topic "$topic" --time max-timestamp
says "max timestamp" "^$topic:0:[0-9]+\$"
offsets --topic "$topic" --time 0
says "by time" "^$topic:1:0\$"
ok "kafka-get-offsets"

tool org.apache.kafka.tools.ConsumerPerformance --bootstrap-server "$bootstrap" \
    --topic "$topic" --group "$group" --num-records 20000 --timeout 20000
says "consumer performance" ", 20000, "
ok "kafka-consumer-perf-test"

groups --list
says "groups" "^$group\$"
groups --describe --group "$group"
says "group" "$group +$topic +0 +[0-9]+ +[0-9]+ +0 "
groups --describe --group "$group" --state
says "group state" "$group .*Empty"
groups --group "$group" --topic "$topic:0" --reset-offsets --to-offset 7 --execute
says "reset" "$topic +0 +7"
groups --describe --group "$group"
says "group after the reset" "$group +$topic +0 +7 "
groups --delete-offsets --group "$group" --topic "$topic:0"
says "deleted offsets" "Successful"
groups --delete --group "$group"
says "deleted group" "successful"
ok "kafka-consumer-groups"

entity=(--entity-type groups --entity-name "$workers")
configs --alter "${entity[@]}" \
    --add-config share.auto.offset.reset=earliest,share.record.lock.duration.ms=20000
configs --describe "${entity[@]}"
says "group configuration" "share.auto.offset.reset=earliest"
says "group configuration" "share.record.lock.duration.ms=20000"
configs --alter "${entity[@]}" --delete-config share.record.lock.duration.ms
configs --describe --all "${entity[@]}"
says "group default" "^  share.record.lock.duration.ms=30000 "
says "group default" "^  share.delivery.count.limit=5 "
for wrong in share.record.lock.duration.ms=1 share.auto.offset.reset=newest share.nothing=1; do
    complaint kafka.admin.ConfigCommand --bootstrap-server "$bootstrap" --alter "${entity[@]}" \
        --add-config "$wrong"
    says "wrong group configuration" "${wrong%=*}"
done
ok "kafka-configs of a group"

topics --create --topic "$jobs" --partitions 1 --replication-factor 1
seq -f 'job %g' 20 >"$scratch/jobs"
tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$bootstrap" --topic "$jobs" \
    <"$scratch/jobs"
tool org.apache.kafka.tools.consumer.ConsoleShareConsumer --bootstrap-server "$bootstrap" \
    --topic "$jobs" --group "$workers" --max-messages 20 --timeout-ms 30000
[ "$out" = "$(cat "$scratch/jobs")" ] || fail "the share consumer got: $out"
ok "kafka-console-share-consumer"

share_groups --list
says "share groups" "^$workers\$"
share_groups --list --state empty
says "share groups by state" "^$workers +Empty"
share_groups --describe --group "$workers"
says "all is done" "^$workers +$jobs +0 +[0-9]+ +0 *\$"

main_class org.apache.kafka.tools.consumer.ConsoleShareConsumer --bootstrap-server "$bootstrap" \
    --topic "$jobs" --group "$workers" >"$scratch/worked" 2>/dev/null &
worker=$!
for ((try = 0; ; try++)); do
    share_groups --describe --group "$workers" --members
    if grep -qE "^$workers +[^ ]+ .*$jobs:0" <<<"$out"; then break; fi
    [ $try -lt 20 ] || fail "the share group has no member: $out"
done
share_groups --describe --group "$workers" --state
says "share group state" "^$workers .*Stable +1 *\$"
complaint org.apache.kafka.tools.consumer.group.ShareGroupCommand --bootstrap-server "$bootstrap" \
    --group "$workers" --topic "$jobs" --reset-offsets --to-earliest --execute
says "a reset while there are members" "[Ss]hare group '$workers' is not empty"
share_groups --delete-offsets --group "$workers" --topic "$jobs"
says "deletion of offsets while there are members" "group is not empty"
kill "$worker"
wait "$worker" || true
worker=
for ((try = 0; ; try++)); do
    share_groups --describe --group "$workers" --state
    if grep -qE "^$workers .*Empty +0 *\$" <<<"$out"; then break; fi
    [ $try -lt 20 ] || fail "the member did not leave: $out"
done

share_groups --group "$workers" --topic "$jobs" --reset-offsets --to-earliest --dry-run
says "plan of a reset" "^$workers +$jobs +0 +0 *\$"
share_groups --describe --group "$workers"
says "the plan changes nothing" "^$workers +$jobs +0 +[0-9]+ +0 *\$"
share_groups --group "$workers" --topic "$jobs" --reset-offsets --to-earliest --execute
says "reset" "^$workers +$jobs +0 +0 *\$"
share_groups --describe --group "$workers"
says "after the reset" "^$workers +$jobs +0 +0 +20 *\$"
tool org.apache.kafka.tools.consumer.ConsoleShareConsumer --bootstrap-server "$bootstrap" \
    --topic "$jobs" --group "$workers" --max-messages 5 --timeout-ms 30000
[ "$out" = "$(head -5 "$scratch/jobs")" ] || fail "after the reset the share consumer got: $out"
share_groups --group "$workers" --all-topics --reset-offsets --to-latest --execute
share_groups --describe --group "$workers" --verbose
says "after the reset to the end" "^$workers +$jobs +0 +[0-9]+ +20 +0 *\$"

share_groups --delete-offsets --group "$workers" --topic "$jobs"
says "deleted share offsets" "^$jobs +Successful"
share_groups --describe --group "$workers"
says "nothing left" "Share group '$workers' has no offset information"
share_groups --delete-offsets --group "$workers" --topic "$jobs"
says "deletion of what is not there" "^$jobs +Error: There is no offset information to delete"
share_groups --delete --group "$workers"
says "deleted share group" "successful"
share_groups --list
if grep -q "^$workers\$" <<<"$out"; then fail "the share group is still listed"; fi
complaint org.apache.kafka.tools.consumer.group.ShareGroupCommand --bootstrap-server "$bootstrap" \
    --describe --group "$workers"
says "a group that is not there" "GroupIdNotFoundException"
topics --delete --topic "$jobs"
ok "kafka-share-groups"

tool org.apache.kafka.tools.LogDirsCommand --bootstrap-server "$bootstrap" --describe \
    --topic-list "$topic"
says "log directories" "\"partition\":\"$topic-0\",\"size\":[1-9]"
ok "kafka-log-dirs"

cat >"$scratch/delete.json" <<JSON
{"version": 1, "partitions": [{"topic": "$topic", "partition": 0, "offset": 5}]}
JSON
tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "$bootstrap" \
    --offset-json-file "$scratch/delete.json"
says "deleted records" "partition: $topic-0.*low_watermark: 5"
offsets --topic "$topic" --time earliest
says "earliest after deletion" "^$topic:0:5\$"
ok "kafka-delete-records"

tool org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "$bootstrap"
says "cluster id" "Cluster ID: [A-Za-z0-9_-]{22}"
tool org.apache.kafka.tools.BrokerApiVersionsCommand --bootstrap-server "$bootstrap"
says "versions" "Produce\\(0\\): .*usable: 1"
tool org.apache.kafka.tools.FeatureCommand --bootstrap-server "$bootstrap" describe
ok "kafka-cluster, kafka-broker-api-versions, kafka-features"

if [ -n "${DATA_DIR:-}" ]; then
    dumped=0
    while read -r segment; do
        tool org.apache.kafka.tools.DumpLogSegments --deep-iteration --files "$segment"
        dumped=$((dumped + $(grep -c '| offset: ' <<<"$out" || true)))
        if grep -q 'isvalid: false' <<<"$out"; then fail "an invalid batch in $segment"; fi
    done < <(find "$DATA_DIR" -name '*.log' -size +100k -path "*${SEGMENT_FOLDER:-}*")
    [ "$dumped" -ge 10000 ] || fail "kafka-dump-log: read $dumped records of 20000"
    ok "kafka-dump-log"
fi

topics --delete --topic "$topic"
topics --list
if grep -q "^$topic\$" <<<"$out"; then fail "the topic is still listed"; fi
ok "kafka-topics --delete"
