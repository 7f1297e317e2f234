#!/usr/bin/env bash
# Apache Kafka's command-line tools for transactions. usage: tools-transactions.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
open_tools
topic=$unique id=$unique-id
echo "kafka tools 4.3.1: transactions"

topics --create --topic "$topic" --partitions 1
topics --create --topic "$topic-copy" --partitions 1
tool $tools.ProducerPerformance --topic "$topic" --num-records 2000 --record-size 100 \
    --throughput 4000 --transactional-id "$id" --transaction-duration-ms 100 \
    --command-property bootstrap.servers="$bootstrap"
says "producer performance" "^2000 records sent"
ok "kafka-producer-perf-test with transactions"
at_first $tools.TransactionsCommand list
says "transactions" "^$id\s+[0-9]+\s+[0-9]+\s+CompleteCommit"
at_first $tools.TransactionsCommand list --transactional-id-pattern "$unique.*"
says "transactions by a pattern" "^$id\s+[0-9]+\s+[0-9]+\s+CompleteCommit"
at_first $tools.TransactionsCommand list --transactional-id-pattern "none.*"
says_not "transactions that no pattern stands for" "$id"
at_first $tools.TransactionsCommand describe --transactional-id "$id"
says "transaction" "$id\s+[0-9]+\s+[0-9]+\s+CompleteCommit\s+60000"
at_first $tools.TransactionsCommand describe-producers --topic "$topic" --partition 0
says "producer" "^[0-9]+\s+[0-9]+\s+[0-9]+\s+.*None"
at_first $tools.TransactionsCommand find-hanging --topic "$topic"
says_not "a hanging transaction" "^$topic\s"
complaint $tools.TransactionsCommand --bootstrap-server "$bootstrap" describe \
    --transactional-id "$id-none"
says "no transaction" "could not be found"
ok "kafka-transactions: list, describe, producers"

tool $tools.TransactionalMessageCopier --broker-list "$bootstrap" --input-topic "$topic" \
    --input-partition 0 --output-topic "$topic-copy" --consumer-group "$unique-group" \
    --transactional-id "$id-copy" --transaction-size 100 --max-messages 1000
says "copier" '"stage":"ShutdownComplete".*"totalProcessed":1000'
groups --describe --group "$unique-group"
says "the group's offsets" "$unique-group +$topic +0 +[1-9][0-9]+ "
at $tools.consumer.ConsoleConsumer --topic "$topic-copy" --isolation-level read_committed \
    --from-beginning --max-messages 1000 --timeout-ms 20000 \
    --formatter $tools.consumer.NoOpMessageFormatter
grep -q "Processed a total of 1000 messages" "$scratch/errors" ||
    fail "read committed: $(cat "$scratch/errors")"
ok "Kafka's own transactional copier"

# A transaction that nobody ends holds up who reads what is committed, until it is aborted.
tool OpenTransaction "$bootstrap" "$topic" "$id-open"
at_first $tools.TransactionsCommand describe --transactional-id "$id-open"
says "open transaction" "$id-open\s+[0-9]+\s+[0-9]+\s+Ongoing\s.*$topic-0"
at_first $tools.TransactionsCommand describe-producers --topic "$topic" --partition 0
first=$(awk '$NF ~ /^[0-9]+$/ { print $NF }' <<<"$out")
[ -n "$first" ] || fail "no open transaction in: $out"
stable() { at $tools.ConsumerPerformance --topic "$topic" --num-records 2001 --timeout 2000 \
    --command-property isolation.level=read_committed --group "$unique-$RANDOM"; }
stable
says "an open transaction holds readers up" ", 2000, "
at_first $tools.TransactionsCommand abort --topic "$topic" --partition 0 --start-offset "$first"
at_first $tools.TransactionsCommand describe-producers --topic "$topic" --partition 0
[ -z "$(awk '$NF ~ /^[0-9]+$/' <<<"$out")" ] || fail "still open: $out"
at_first $tools.TransactionsCommand forceTerminateTransaction --transactionalId "$id-open"
at_first $tools.TransactionsCommand describe --transactional-id "$id-open"
says "ended by force" "$id-open\s+[0-9]+\s+[0-9]+\s+(CompleteAbort|Empty)"
ok "kafka-transactions: abort of a partition, and by force"

for log in consumer_offsets:OffsetsMessageFormatter consumer_offsets:GroupMetadataMessageFormatter \
    transaction_state:TransactionLogMessageFormatter; do
    at $tools.consumer.ConsoleConsumer --topic "__${log%:*}" --from-beginning --timeout-ms 3000 \
        --formatter "$tools.consumer.${log#*:}"
    says "__${log%:*}" '"key":\{"type":[0-9],"data"'
done
ok "Kafka's formatters read __consumer_offsets and __transaction_state"
