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
# read_all TOPIC COUNT SERVER: what is in it, sorted.
read_all() {
    tool $tools.consumer.ConsoleConsumer --topic "$1" --from-beginning --max-messages "$2" \
        --timeout-ms 30000 --bootstrap-server "$3"
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
offset.flush.interval.ms=1000
scheduled.rebalance.max.delay.ms=1000
consumer.auto.offset.reset=earliest
plugin.discovery=service_load
P
mirror() {
    start "$scratch/mirror-$1.log" "${small_jvm[@]}" -cp "$classes" \
        org.apache.kafka.connect.mirror.MirrorMaker "$scratch/mm2.properties"
    mirror=$started
}
has() {
    run_tool $tools.GetOffsetShell --topic "$1" --bootstrap-server "$3"
    [ "$(awk -F: '{ sum += $3 } END { print sum + 0 }' <<<"$out")" -ge "$2" ]
}

mirror first
within 120 "300 records from the other cluster" has "other.$there" 300 "$bootstrap"
[ "$(read_all "other.$there" 300 "$bootstrap")" = "$(seq 300)" ] || fail "other records: $out"
ok "a topic of Apache Kafka is mirrored here"
within 120 "200 records into the other cluster" has "here.$back" 200 "$OTHER"
[ "$(read_all "here.$back" 200 "$OTHER")" = "$(seq 200)" ] || fail "other records: $out"
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
within 120 "100 more records after kill -9" has "other.$there" 400 "$bootstrap"
[ "$(read_all "other.$there" 400 "$bootstrap" | sort -nu)" = "$(seq 400)" ] ||
    fail "records are lost after kill -9: $out"
ok "MirrorMaker killed with -9 goes on"
if may_restart; then
    restart_server
    fill "$there" 401 500 "$OTHER"
    within 120 "100 more records after kill -9 of the server" has "other.$there" 500 "$bootstrap"
    ok "the server killed with -9: MirrorMaker goes on"
fi
end "$mirror"
