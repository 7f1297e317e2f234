#!/usr/bin/env bash
# Apache Kafka's own test of compaction: it produces keys many times over, waits for the cleaner,
# reads all of it and holds what is left against the last value of each key.
# usage: tools-compaction.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
open_tools
echo "kafka tools 4.3.1: the compaction tester"

# The tester sets nothing but the policy: small segments, and a cleaner that is always at work.
defaults=(--entity-type brokers --entity-default)
configs --alter "${defaults[@]}" --add-config \
    log.segment.bytes=1048576,log.cleaner.backoff.ms=500,log.cleaner.min.cleanable.ratio=0.01
for codec in none zstd; do
    at $tools.LogCompactionTester --messages 150000 --percent-deletes 20 --duplicates 100 \
        --sleep 10 --compression-type $codec
    says "$codec" "^Data verification is completed"
    reduction=$(sed -nE 's/.*\(([0-9]+)\.[0-9]+% reduction\).*/\1/p' <<<"$out")
    [ "${reduction:-0}" -gt 0 ] || fail "nothing was cleaned: $out"
    ok "cleaned and verified, $codec: $(grep -o '[0-9]* rows.*' <<<"$out" | tail -1)"
done
configs --alter "${defaults[@]}" --delete-config \
    log.segment.bytes,log.cleaner.backoff.ms,log.cleaner.min.cleanable.ratio
