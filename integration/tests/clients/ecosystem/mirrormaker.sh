#!/usr/bin/env bash
# MirrorMaker 2 from an Apache Kafka into the server and back: records, configurations and the
# offsets of groups. usage: mirrormaker.sh HOST:PORT, with OTHER=HOST:PORT
. "$(dirname "$0")/words.sh"
[ -n "${OTHER:-}" ] || { echo "mirrormaker: OTHER must name an Apache Kafka" >&2; exit 77; }
install_java
open_tools
echo "kafka mirrormaker 4.3.1"
there=$unique-there back=$unique-back group=$unique-group

beside() { tool "$@" --bootstrap-server "$OTHER"; }
fill() {
    seq "$2" "$3" >"$scratch/lines"
    stdin=$scratch/lines
    tool $tools.ConsoleProducer --topic "$1" --bootstrap-server "$4"
}
# count TOPIC SERVER: how many records it has; 0 if it is not there yet.
count() {
    run_tool $tools.GetOffsetShell --topic "$1" --bootstrap-server "$2"
    awk -F: '{ sum += $3 } END { print sum + 0 }' <<<"$out"
}
# read_all TOPIC SERVER: everything that is in it, sorted.
read_all() {
    tool $tools.consumer.ConsoleConsumer --topic "$1" --from-beginning \
        --max-messages "$(count "$1" "$2")" --timeout-ms 30000 --bootstrap-server "$2"
    sort -n <<<"$out"
}

beside $tools.TopicCommand --create --topic "$there" --partitions 3 \
    --config retention.ms=987654321
topics --create --topic "$back" --partitions 2
fill "$there" 1 300 "$OTHER"
fill "$back" 1 200 "$bootstrap"
tool $tools.consumer.ConsoleConsumer --topic "$there" --group "$group" --from-beginning \
    --max-messages 300 --timeout-ms 30000 --bootstrap-server "$OTHER"

cat >"$scratch/mm2.properties" <<P
clusters=other, here
other.bootstrap.servers=$OTHER
here.bootstrap.servers=$bootstrap
other->here.enabled=true
here->other.enabled=true
other->here.topics=$there
here->other.topics=$back
groups=$group
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
config.storage.replication.factor=1
offset.storage.partitions=2
status.storage.partitions=2
refresh.topics.interval.seconds=2
refresh.groups.interval.seconds=2
sync.topic.configs.interval.seconds=2
emit.checkpoints.interval.seconds=1
emit.heartbeats.interval.seconds=1
sync.group.offsets.enabled=true
sync.group.offsets.interval.seconds=1
offset.lag.max=0
other.offset.flush.interval.ms=1000
here.offset.flush.interval.ms=1000
other.scheduled.rebalance.max.delay.ms=1000
here.scheduled.rebalance.max.delay.ms=1000
consumer.auto.offset.reset=earliest
plugin.discovery=service_load
P
mirror() {
    start "$scratch/mirror-$1.log" "${small_jvm[@]}" -cp "$classes" \
        org.apache.kafka.connect.mirror.MirrorMaker "$scratch/mm2.properties"
    mirror=$started
}
has() { [ "$(count "$1" "$3")" -ge "$2" ]; }
# has_every TOPIC LAST SERVER: every line from 1 to LAST, each at least once, and no other.
has_every() { [ "$(read_all "$1" "$3" | uniq)" = "$(seq "$2")" ]; }

mirror first
within 120 "300 records from the other cluster" has "other.$there" 300 "$bootstrap"
[ "$(read_all "other.$there" "$bootstrap")" = "$(seq 300)" ] || fail "other records: $out"
ok "a topic of Apache Kafka is mirrored here"
within 120 "200 records into the other cluster" has "here.$back" 200 "$OTHER"
[ "$(read_all "here.$back" "$OTHER")" = "$(seq 200)" ] || fail "other records: $out"
ok "a topic of ours is mirrored there"
config_is_here() {
    topics --describe --topic "other.$there"
    grep -q 'PartitionCount: 3.*retention.ms=987654321' <<<"$out"
}
within 60 "the topic's configuration" config_is_here
ok "partitions and configuration follow"
group_is_here() {
    run_tool $tools.consumer.group.ConsumerGroupCommand --describe --group "$group" \
        --bootstrap-server "$bootstrap"
    [ "$(awk -v t="other.$there" '$2 == t { sum += $4 } END { print sum }' <<<"$out")" = 300 ]
}
within 90 "the group's offsets, translated" group_is_here
ok "the group's offsets follow"
topics --list
says "heartbeats" "^other.heartbeats\$"
says "checkpoints" "^other.checkpoints.internal\$"

end "$mirror" KILL
fill "$there" 301 400 "$OTHER"
mirror second
within 120 "100 more records after kill -9" has_every "other.$there" 400 "$bootstrap"
ok "MirrorMaker killed with -9 goes on"
if may_restart; then
    restart_server
    fill "$there" 401 500 "$OTHER"
    within 120 "100 more records after kill -9 of the server" \
        has_every "other.$there" 500 "$bootstrap"
    ok "the server killed with -9: MirrorMaker goes on"
fi
end "$mirror"
