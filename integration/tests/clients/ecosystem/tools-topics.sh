#!/usr/bin/env bash
# Apache Kafka's command-line tools for topics and what is in them. usage: tools-topics.sh HOST:PORT
# With DATA_DIR, the server's own segment files are dumped as well.
. "$(dirname "$0")/words.sh"
install_java
open_tools
topic=$unique
echo "kafka tools 4.3.1: topics and records"

topics --create --topic "$topic" --partitions 2 --replication-factor 1 \
    --config retention.ms=123456789
says "creation" "Created topic $topic"
refused $tools.TopicCommand --create --topic "$topic"
says "a second creation" "Topic '$topic' already exists"
topics --create --topic "$topic" --if-not-exists
topics --list
says "list" "^$topic\$"
topics --describe --topic "$topic"
says "description" "Topic: $topic.*PartitionCount: 2.*ReplicationFactor: 1.*retention.ms=123456789"
says "partition" "Partition: 1.*Leader: [0-9]+.*Isr: [0-9]+"
topics --alter --topic "$topic" --partitions 3
topics --describe --topic "$topic"
says "growth" "PartitionCount: 3"
refused $tools.TopicCommand --alter --topic "$topic" --partitions 2
says "fewer partitions" "Error while executing topic command .*3 partition"
topics --describe --topics-with-overrides
says "overrides" "Topic: $topic.*retention.ms=123456789"
for state in under-replicated unavailable under-min-isr; do
    topics --describe --$state-partitions
    says_not "$state partitions" "$topic"
done
topics --describe --at-min-isr-partitions --topic "$topic"
says "partitions that one loss would stop" "Partition: 2"
refused $tools.TopicCommand --create --topic "$topic-3" --replication-factor 3
says "three replicas" "Error while .*[Rr]eplication"
refused $tools.TopicCommand --create --topic "$topic/wrong"
says "a wrong name" "Error while .*(illegal|name)"
refused $tools.TopicCommand --describe --topic "$topic-none"
says "no topic" "Topic '$topic-none' does not exist"
ok "kafka-topics"

tool $tools.ProducerPerformance --topic "$topic" --num-records 20000 --record-size 100 \
    --throughput -1 --command-property bootstrap.servers="$bootstrap" acks=all compression.type=lz4
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
offsets --topic-partitions "$topic:1-2"
says_not "a range of partitions" "^$topic:0:"
says "a range of partitions" "^$topic:1:[0-9]+\$"
# Nothing lies on another storage, so there is no newest offset there.
offsets --topic "$topic" --time latest-tiered
says "the end on remote storage" "^$topic:0:(-1)?\$|^\$"
offsets --topic "$topic" --time earliest-local
says "the start on local storage" "^$topic:0:0\$"
ok "kafka-get-offsets"

at $tools.ConsumerPerformance --topic "$topic" --group "$unique-read" --num-records 20000 \
    --timeout 20000
says "consumer performance" ", 20000, "
ok "kafka-consumer-perf-test"

lines=$unique-lines
for number in $(seq 20); do echo "key-$number:line $number"; done >"$scratch/lines"
topics --create --topic "$lines" --partitions 1
stdin=$scratch/lines
at $tools.ConsoleProducer --topic "$lines" --reader-property parse.key=true \
    --reader-property key.separator=: --compression-codec zstd
at $tools.consumer.ConsoleConsumer --topic "$lines" --from-beginning --max-messages 20 \
    --timeout-ms 20000 --formatter-property print.key=true --formatter-property key.separator=: \
    --formatter-property print.offset=true
[ "$(grep -c . <<<"$out")" = 20 ] || fail "the console consumer got: $out"
says "console consumer" "^Offset:19:key-20:line 20\$"
at $tools.consumer.ConsoleConsumer --topic "$lines" --partition 0 --offset 17 --max-messages 3 \
    --timeout-ms 20000
[ "$out" = "$(tail -3 "$scratch/lines" | cut -d: -f2)" ] || fail "from offset 17: $out"
ok "kafka-console-producer, kafka-console-consumer"

# It says what it did when its JVM ends, so it has one of its own.
out=$("${small_jvm[@]}" -cp "$classes" $tools.VerifiableProducer --bootstrap-server "$bootstrap" \
    --topic "$lines" --max-messages 50 --acks -1 2>/dev/null)
says "verifiable producer" '"name":"tool_data","sent":50,"acked":50'
at $tools.VerifiableConsumer --topic "$lines" --group-id "$unique-verify" --max-messages 70 \
    --reset-policy earliest
says "verifiable consumer" '"name":"offsets_committed".*"offset":70.*"success":true'
at $tools.VerifiableShareConsumer --topic "$lines" --group-id "$unique-share" --max-messages 70 \
    --offset-reset-strategy earliest
says "verifiable share consumer" '"name":"offsets_acknowledged","count":70.*"success":true'
ok "kafka-verifiable-producer, -consumer, -share-consumer"

# It never ends, and tells every second what it found.
start "$scratch/verified" "${small_jvm[@]}" -cp "$classes" $tools.ReplicaVerificationTool \
    --broker-list "$bootstrap" --topics-include "$topic" --time -2 --report-interval-ms 300
is_verified() { grep -qE "max lag is 0 for partition $topic-[0-9] at offset [1-9]" "$1"; }
within 30 "verified replicas" is_verified "$scratch/verified"
end "$started"
ok "kafka-replica-verification"

at $tools.EndToEndLatency --topic "$unique-latency" --num-records 500 --producer-acks all \
    --record-size 100
says "latency" "Percentiles: 50th = [0-9]+"
ok "kafka-e2e-latency"

# It makes a topic of this name and leaves it behind.
refused $tools.TopicCommand --delete --topic newtopic
at $tools.ClientCompatibilityTest --topic "$unique-compatible" --num-cluster-nodes 1 \
    --offsets-for-times-supported true --cluster-id-supported true \
    --expect-record-too-large-exception false --idempotent-producer-supported true \
    --create-topics-supported true --describe-acls-supported true --describe-configs-supported true
says "compatibility" "^SUCCESS"
topics --delete --topic newtopic
ok "Kafka's own client compatibility test"

at $tools.LogDirsCommand --describe --topic-list "$topic"
says "log directories" "\"partition\":\"$topic-0\",\"size\":[1-9]"
ok "kafka-log-dirs"

cat >"$scratch/delete.json" <<JSON
{"version": 1, "partitions": [{"topic": "$topic", "partition": 0, "offset": 5}]}
JSON
at $tools.DeleteRecordsCommand --offset-json-file "$scratch/delete.json"
says "deleted records" "partition: $topic-0.*low_watermark: 5"
offsets --topic "$topic" --time earliest
says "earliest after deletion" "^$topic:0:5\$"
sed -i 's/"offset": 5/"offset": 999999/' "$scratch/delete.json"
refused $tools.DeleteRecordsCommand --offset-json-file "$scratch/delete.json"
says "deletion beyond the end" "OffsetOutOfRange"
ok "kafka-delete-records"

if [ -n "${DATA_DIR:-}" ]; then
    dumped=0
    while read -r segment; do
        tool $tools.DumpLogSegments --deep-iteration --files "$segment"
        dumped=$((dumped + $(grep -c '| offset: ' <<<"$out" || true)))
        says_not "an invalid batch in $segment" 'isvalid: false'
    done < <(find "$DATA_DIR" -name '*.log' -path "*${SEGMENT_FOLDER:-}*" -size +100k)
    [ "$dumped" -ge 10000 ] || fail "kafka-dump-log: read $dumped records of 20000"
    ok "kafka-dump-log"
fi

topics --delete --topic "$topic"
topics --list
says_not "the topic is still listed" "^$topic\$"
ok "kafka-topics --delete"
