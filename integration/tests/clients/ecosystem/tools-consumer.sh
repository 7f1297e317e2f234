#!/usr/bin/env bash
# kafka-consumer-groups on a group in the protocol of KIP-848. usage: tools-consumer.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
open_tools
topic=$unique group=$unique-group
echo "kafka tools 4.3.1: groups in the new protocol"

topics --create --topic "$topic" --partitions 2
tool $tools.ProducerPerformance --topic "$topic" --num-records 2000 --record-size 100 \
    --throughput -1 --command-property bootstrap.servers="$bootstrap"
start "$scratch/consumed" "${small_jvm[@]}" -cp "$classes" $tools.consumer.ConsoleConsumer \
    --bootstrap-server "$bootstrap" --topic "$topic" --group "$group" --from-beginning \
    --command-property group.protocol=consumer
reader=$started
has_read() {
    refused $tools.consumer.group.ConsumerGroupCommand --describe --group "$group"
    [ "$(grep -cE "^$group +$topic +[01] +([0-9]+) +\1 +0 " <<<"$out")" = 2 ]
}
within 40 "a member that has read all" has_read
groups --list --type consumer
says "groups of the type" "^$group +Consumer *\$"
groups --list --type classic
says_not "groups of the other type" "^$group "
groups --list --state stable --type consumer
says "groups by state and type" "^$group +Consumer +Stable *\$"
ok "--list"

groups --describe --group "$group" --offsets --verbose
says "offsets" "^$group +$topic +0 +0 +[0-9]+ +[0-9]+ +0 +[^ ]+ +/127.0.0.1 +[^ ]+ *\$"
groups --describe --group "$group" --members
says "members" "^$group +[^ ]+ +/127.0.0.1 +[^ ]+ +2 *\$"
groups --describe --group "$group" --members --verbose
says "members in full" \
    "^$group +[^ ]+ +/127.0.0.1 +[^ ]+ +2 +2 +$topic:0,1 +2 +$topic:0,1 *\$"
groups --describe --group "$group" --state
says "state" "^$group +[^ ]+ +\([0-9]+\) +uniform +Stable +1 *\$"
groups --describe --group "$group" --state --verbose
says "state in full" "^$group +[^ ]+ +\([0-9]+\) +uniform +Stable +2 +2 +1 *\$"
ok "--describe"

refused $tools.consumer.group.ConsumerGroupCommand --group "$group" --topic "$topic" \
    --reset-offsets --to-earliest --execute
says "a reset while there are members" "can only be reset if the group '$group' is inactive"
refused $tools.consumer.group.ConsumerGroupCommand --delete-offsets --group "$group" \
    --topic "$topic"
says "deletion of offsets that are read" "actively subscribed"
refused $tools.consumer.group.ConsumerGroupCommand --delete --group "$group"
says "deletion while there are members" "GroupNotEmptyException"
end "$reader"
is_empty() {
    groups --describe --group "$group" --state
    grep -qE "^$group .*Empty +0 *\$" <<<"$out"
}
within 20 "the member's leaving" is_empty
ok "what members keep from being done is refused"

groups --group "$group" --topic "$topic:0" --reset-offsets --to-offset 7 --execute
says "reset" "$topic +0 +7"
groups --describe --group "$group"
says "after the reset" "^$group +$topic +0 +7 +[0-9]+ +[0-9]+ +- +- +- *\$"
groups --group "$group" --all-topics --reset-offsets --to-latest --dry-run
says "plan of a reset" "$topic +1 +[0-9]+"
ok "--reset-offsets"
groups --delete-offsets --group "$group" --topic "$topic:0"
says "deleted offsets" "$topic +0 +Successful"
groups --describe --group "$group"
says_not "the deleted offset is still there" "^$group +$topic +0 +[0-9]"
groups --delete --group "$group"
says "deleted group" "successful"
groups --list
says_not "the group is still listed" "^$group\$"
ok "--delete-offsets and --delete"
topics --delete --topic "$topic"
