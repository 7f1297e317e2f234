#!/usr/bin/env bash
# Apache Kafka's command-line tools for groups. usage: tools-groups.sh HOST:PORT
# Where a share group has not fetched, Apache Kafka knows neither its start nor its lag: such
# places are not looked at.
. "$(dirname "$0")/words.sh"
install_java
open_tools
topic=$unique group=$unique-group jobs=$unique-jobs workers=$unique-workers
echo "kafka tools 4.3.1: groups"

topics --create --topic "$topic" --partitions 1
tool $tools.ProducerPerformance --topic "$topic" --num-records 2000 --record-size 100 \
    --throughput -1 --command-property bootstrap.servers="$bootstrap"
at $tools.ConsumerPerformance --topic "$topic" --group "$group" --num-records 2000 --timeout 20000
groups --list
says "groups" "^$group\$"
groups --list --state empty
says "groups by state" "^$group +Empty"
groups --describe --group "$group"
says "group" "$group +$topic +0 +[0-9]+ +[0-9]+ +0 "
groups --describe --group "$group" --state
says "group state" "$group .*Empty"
groups --group "$group" --topic "$topic:0" --reset-offsets --to-offset 7 --execute
says "reset" "$topic +0 +7"
groups --describe --group "$group"
says "group after the reset" "$group +$topic +0 +7 "
groups --group "$group" --all-topics --reset-offsets --shift-by 3 --execute
says "reset by steps" "$topic +0 +10"
groups --group "$group" --topic "$topic" --reset-offsets --to-datetime 2020-01-01T00:00:00.000 \
    --dry-run
says "reset by time" "$topic +0 +0"
groups --group "$group" --all-topics --reset-offsets --to-current --export --dry-run
says "export" "\"$topic\",0,10"
groups --delete-offsets --group "$group" --topic "$topic:0"
says "deleted offsets" "Successful"
groups --delete --group "$group"
says "deleted group" "successful"
refused $tools.consumer.group.ConsumerGroupCommand --delete --group "$group"
says "no group" "GroupIdNotFoundException|GroupNotEmptyException"
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
    refused kafka.admin.ConfigCommand --alter "${entity[@]}" \
        --add-config "$wrong"
    says "wrong group configuration" "${wrong%=*}"
done
ok "kafka-configs of a group"

topics --create --topic "$jobs" --partitions 1
seq -f 'job %g' 20 >"$scratch/jobs"
stdin=$scratch/jobs
at $tools.ConsoleProducer --topic "$jobs"
at $tools.consumer.ConsoleShareConsumer --topic "$jobs" --group "$workers" --max-messages 20 \
    --timeout-ms 30000
[ "$out" = "$(cat "$scratch/jobs")" ] || fail "the share consumer got: $out"
ok "kafka-console-share-consumer"

configs --alter --entity-type groups --entity-name "$unique-perf" \
    --add-config share.auto.offset.reset=earliest
at $tools.ShareConsumerPerformance --topic "$topic" --group "$unique-perf" --num-records 2000 \
    --timeout 20000 --threads 2 --show-consumer-stats
says "share consumer performance" ", 2000, [0-9]+\$"
ok "kafka-share-consumer-perf-test"

share_groups --list
says "share groups" "^$workers\$"
share_groups --list --state empty
says "share groups by state" "^$workers +Empty"
share_groups --describe --group "$workers"
says "all is done" "^$workers +$jobs +0 +[0-9]+ +0 *\$"

start "$scratch/worked" "${small_jvm[@]}" -cp "$classes" $tools.consumer.ConsoleShareConsumer \
    --bootstrap-server "$bootstrap" --topic "$jobs" --group "$workers"
worker=$started
has_member() {
    share_groups --describe --group "$workers" --members
    grep -qE "^$workers +[^ ]+ .*$jobs:0" <<<"$out"
}
within 20 "a member of the share group" has_member
share_groups --describe --group "$workers" --state
says "share group state" "^$workers .*Stable +1 *\$"
refused $tools.consumer.group.ShareGroupCommand --group "$workers" --topic "$jobs" \
    --reset-offsets --to-earliest --execute
says "a reset while there are members" "[Ss]hare group '$workers' is not empty"
share_groups --delete-offsets --group "$workers" --topic "$jobs"
says "deletion of offsets while there are members" "group is not empty"
end "$worker"
is_empty() {
    share_groups --describe --group "$workers" --state
    grep -qE "^$workers .*Empty +0 *\$" <<<"$out"
}
within 20 "the member's leaving" is_empty

share_groups --group "$workers" --topic "$jobs" --reset-offsets --to-earliest --dry-run
says "plan of a reset" "^$workers +$jobs +0 +0 *\$"
share_groups --describe --group "$workers"
says "the plan changes nothing" "^$workers +$jobs +0 +[0-9]+ +0 *\$"
share_groups --group "$workers" --topic "$jobs" --reset-offsets --to-earliest --execute
says "reset" "^$workers +$jobs +0 +0 *\$"
share_groups --describe --group "$workers"
says "after the reset" "^$workers +$jobs +0 +0 +20 *\$"
at $tools.consumer.ConsoleShareConsumer --topic "$jobs" --group "$workers" --max-messages 5 \
    --timeout-ms 30000
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
says_not "the share group is still listed" "^$workers\$"
refused $tools.consumer.group.ShareGroupCommand --describe --group "$workers"
says "a group that is not there" "GroupIdNotFoundException"
topics --delete --topic "$jobs"
ok "kafka-share-groups"

# The protocol of streams groups (KIP-1071) may be left out: then there are none.
streams_groups() { refused $tools.streams.StreamsGroupCommand "$@"; }
streams_groups --list
[ -z "$(tr -d '[:space:]' <<<"$out")" ] || fail "streams groups: $out"
streams_groups --describe --group "$group"
says "a streams group" "GroupIdNotFoundException|UnsupportedVersionException"
streams_groups --delete --group "$group"
says "no such streams group" "does not exist or is not a streams group"
ok "kafka-streams-groups: there are none"

topics --delete --topic "$topic"
