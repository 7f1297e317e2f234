#!/usr/bin/env bash
# The story through kcat, as a person would type it. usage: kcat.sh HOST:PORT
set -euo pipefail
bootstrap=$1
run=$(date +%s%N)
scratch=$(mktemp -d)
members=()
trap 'kill "${members[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

fail() { echo "$*" >&2; exit 1; }
ok() { echo "ok $*"; }
k() { timeout 60 kcat -q -b "$bootstrap" "$@"; }

# same WHAT FILE EXPECTED: the two files are equal.
same() { diff "$2" "$3" >"$scratch/diff" || fail "$1: $(head -5 "$scratch/diff")"; }

# wait_for WHAT COMMAND...: until the command succeeds, 30 s at most.
wait_for() {
    local what=$1 deadline=$((SECONDS + 30))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "$what: not within 30 s"
        sleep 0.1
    done
}

numbered() { seq 1 "$1" | awk '{ printf "key-%d:line %d\n", $1 % 17, $1 }'; }

echo "kcat $(kcat -V 2>&1 | grep -oE 'Version [0-9.]+' | cut -d' ' -f2)," \
    "librdkafka $(kcat -V 2>&1 | grep -oE 'librdkafka [0-9.]+' | head -1 | cut -d' ' -f2)"

# Every codec: each line once, in order, with its key and headers, offsets without a gap.
for codec in none gzip snappy lz4 zstd; do
    topic=kcat-$codec-$run
    numbered 500 >"$scratch/sent"
    k -P -t "$topic" -K: -z "$codec" -H label="$codec" -H n=1 -H n=again <"$scratch/sent"
    awk -v c="$codec" '{ print "0 " NR-1 " label=" c ",n=1,n=again " $0 }' "$scratch/sent" \
        >"$scratch/expected"
    k -C -t "$topic" -o beginning -e -X check.crcs=true -f '%p %o %h %k:%s\n' \
        >"$scratch/seen"
    same "$codec" "$scratch/seen" "$scratch/expected"
    ok "produce and consume, $codec"
done

# A topic that was not there before is in the metadata.
k -L -t "kcat-none-$run" >"$scratch/metadata"
grep -q "topic \"kcat-none-$run\" with 1 partitions" "$scratch/metadata" ||
    fail "metadata: $(cat "$scratch/metadata")"
ok "metadata"

topic=kcat-idempotent-$run
numbered 5000 >"$scratch/sent"
k -P -t "$topic" -K: -X enable.idempotence=true -X batch.num.messages=50 <"$scratch/sent"
k -C -t "$topic" -o beginning -e -f '%k:%s\n' >"$scratch/seen"
same "idempotent" "$scratch/seen" "$scratch/sent"
ok "idempotent produce"

k -C -t "$topic" -o -3 -e -f '%o %s\n' >"$scratch/seen"
printf '4997 line 4998\n4998 line 4999\n4999 line 5000\n' >"$scratch/expected"
same "the last three" "$scratch/seen" "$scratch/expected"
k -C -t "$topic" -p 0 -o 100 -c 2 -f '%o %s\n' >"$scratch/seen"
printf '100 line 101\n101 line 102\n' >"$scratch/expected"
same "two from offset 100" "$scratch/seen" "$scratch/expected"
ok "from the end, from an offset"

# By time: the first record at or after it.
topic=kcat-time-$run
echo first | k -P -t "$topic"
sleep 0.05
now=$(date +%s%3N)
sleep 0.05
echo second | k -P -t "$topic"
[ "$(k -Q -t "$topic:0:$now")" = "$topic [0] offset 1" ] ||
    fail "offset by time: $(k -Q -t "$topic:0:$now")"
[ "$(k -Q -t "$topic:0:0")" = "$topic [0] offset 0" ] ||
    fail "offset at the beginning: $(k -Q -t "$topic:0:0")"
[ "$(k -C -t "$topic" -o "s@$now" -e -f '%s')" = second ] || fail "consume by time"
ok "offsets by timestamp"

# A group of two over two topics: each has one, and when one leaves the other has both.
one=kcat-one-$run two=kcat-two-$run group=kcat-group-$run
for topic in "$one" "$two"; do numbered 100 | k -P -t "$topic" -K:; done

join() {
    kcat -b "$bootstrap" -G "$group" -u -f '%t %o %s\n' \
        -X auto.offset.reset=earliest -X partition.assignment.strategy=roundrobin \
        -X session.timeout.ms=10000 -X heartbeat.interval.ms=300 \
        -X auto.commit.interval.ms=100 \
        "$one" "$two" >"$scratch/member$1" 2>"$scratch/log$1" &
    members[$1]=$!
}
lines() { cat "$scratch"/member? | wc -l; }
has_lines() { [ "$(lines)" -ge "$1" ]; }
# How many partitions the member was given last; none after they were taken.
holds() {
    grep -h rebalanced "$scratch/log$1" | tail -1 | grep -oE 'assigned: .*' |
        grep -oE '\[[0-9]+\]' | wc -l
}
share() { [ "$(holds 1)" = "$2" ] && { [ -z "${3:-}" ] || [ "$(holds 2)" = "$3" ]; }; }

join 1
wait_for "one member reads all" has_lines 200
wait_for "one member has both" share 1 2
sleep 0.5
join 2
wait_for "two members have one each" share 1 1 1
for topic in "$one" "$two"; do seq 101 200 | sed 's/^/line /' | k -P -t "$topic"; done
wait_for "two members read what follows" has_lines 400
sleep 0.5
kill "${members[2]}"
wait "${members[2]}" || true
wait_for "the one that stays has both again" share 1 2
kill "${members[1]}"
wait "${members[1]}" || true
for topic in "$one" "$two"; do
    seq 1 200 | awk -v t="$topic" '{ print t " " $1-1 " line " $1 }'
done | sort >"$scratch/expected"
sort "$scratch"/member? >"$scratch/seen"
same "both members together" "$scratch/seen" "$scratch/expected"
ok "a group of two rebalances"

# What was committed when they left is where the next one begins.
echo "line 201" | k -P -t "$one"
timeout 30 kcat -q -b "$bootstrap" -G "$group" -c 1 -f '%t %o %s\n' \
    -X auto.offset.reset=earliest "$one" >"$scratch/seen" 2>/dev/null
echo "$one 200 line 201" >"$scratch/expected"
same "the next member" "$scratch/seen" "$scratch/expected"
ok "commit and resume"
