#!/usr/bin/env bash
# The main job on real input: install what is missing, build, start a server on a fresh directory,
# send this machine's package log through it with kcat, read it with two independent groups, and
# kill the server with -9 in the middle; a table says what each group got. Then the same log is work
# for four workers of a queue (a share group), of which one is killed with -9 and one package's
# records are rejected; a second table says what became of each record.
#
# The server is left running, so that you can go on with kcat. Running this again starts afresh.
# PORT (9092) and HTTP_PORT (8080) say where it listens.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${PORT:-9092}
http_port=${HTTP_PORT:-8080}
job=$PWD/.work/main-job
address=127.0.0.1:$port
topic=packages
groups=(readers-a readers-b)
python=$PWD/.work/clients/confluent-kafka/venv/bin/python
. scripts/run/queue.sh

# What still runs when this ends early; the server of a job that went well is not among it.
children=()
trap '[ ${#children[@]} = 0 ] || kill "${children[@]}" 2>/dev/null || true' EXIT

say() { printf '\n== %s\n' "$*"; }
die() { printf '\nrun: %s\n' "$*" >&2; exit 1; }

stop_earlier_run() {
    local pid
    pid=$(cat "$job/server.pid" 2>/dev/null) || return 0
    # The number may be another program's by now; only the server of this job is stopped.
    if grep -qF "$job/server.properties" "/proc/$pid/cmdline" 2>/dev/null; then
        say "stopping the server of the last run (process $pid)"
        kill "$pid"
        while [ -e "/proc/$pid" ]; do sleep 0.1; done
    fi
}

require_free_port() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        die "something listens on port $1 already; choose another: $2=... scripts/run.sh"
    fi
}

start_server() {
    "$ratel" serve --config "$job/server.properties" >>"$job/server.out" 2>>"$job/server.log" &
    server=$!
    disown
    children+=("$server")
    echo "$server" >"$job/server.pid"
    local deadline=$((SECONDS + 30))
    until [ "$(grep -cx 'ratel ready' "$job/server.out")" = "$1" ]; do
        kill -0 "$server" 2>/dev/null || die "the server ended: $(tail -5 "$job/server.log")"
        [ $SECONDS -lt $deadline ] || die "the server is not ready after 30 s"
        sleep 0.02
    done
}

# One line for each line of the input: package, tab, number, space, line.
number_and_key() {
    if [ -s /var/log/dpkg.log ]; then
        awk '{
            name = $4
            if ($3 == "startup") name = "dpkg"
            if ($3 == "status" || $3 == "conffile") name = $5
            sub(/:.*/, "", name)
            print name "\t" NR " " $0
        }' /var/log/dpkg.log
    else
        awk '{
            name = FILENAME
            sub(/.*\//, "", name)
            sub(/(:[a-z0-9]+)?\.list$/, "", name)
            print name "\t" NR " " $0
        }' /var/lib/dpkg/info/*.list | head -100000
    fi
}

# The lines, spread over some seconds, so that the kill comes between them.
slowly() {
    awk -v step=$((lines / 80 + 1)) '{ print } NR % step == 0 { fflush(); system("sleep 0.1") }' \
        "$job/input"
}

# The ends of all partitions together, as clients see them.
lines_in_log() {
    kcat -q -b "$address" -Q -t "$topic:0:-1" -t "$topic:1:-1" 2>/dev/null |
        awk '{ sum += $NF } END { print sum + 0 }'
}

say "1. what this needs"
scripts/install.sh
scripts/clients.sh install kcat confluent-kafka
echo "kcat, a Rust toolchain and confluent-kafka (in .work/) are here"

say "2. building"
cargo build --release --quiet -p ratel-server
ratel=${CARGO_TARGET_DIR:-$PWD/target}/release/ratel

stop_earlier_run
require_free_port "$port" PORT
require_free_port "$http_port" HTTP_PORT
rm -rf "$job"
mkdir -p "$job"
touch "$job/server.out"
cat >"$job/server.properties" <<PROPERTIES
listeners=PLAINTEXT://$address
http.listen=127.0.0.1:$http_port
log.dirs=$job/data
num.partitions=2
PROPERTIES

say "3. starting the server on the fresh directory .work/main-job/data"
start_server 1
cat "$job/server.out"

number_and_key >"$job/input"
lines=$(wc -l <"$job/input")
packages=$(cut -f1 "$job/input" | sort -u | wc -l)
[ "$lines" -gt 0 ] || die "there is no package log and no package list on this machine"

say "4. $lines lines about $packages packages go in by kcat, keyed by package; two groups read"
# -E: a server that is gone for a moment is no reason for kcat to give up.
slowly | kcat -P -E -b "$address" -t "$topic" -K '\t' -X enable.idempotence=true \
    >"$job/kcat.out" 2>"$job/kcat.err" &
producer=$!
children+=("$producer")
readers=()
for group in "${groups[@]}"; do
    "$python" scripts/run/reader.py "$address" "$topic" "$group" "$lines" \
        >"$job/$group.result" 2>"$job/$group.err" &
    readers+=($!)
    children+=($!)
done

# The middle: a third of the lines is in the log, and the rest on its way.
deadline=$((SECONDS + 60))
until [ "$(lines_in_log)" -ge $((lines / 3)) ]; do
    kill -0 "$producer" 2>/dev/null || die "kcat ended early: $(tail -5 "$job/kcat.err")"
    [ $SECONDS -lt $deadline ] || die "no third of the lines after 60 s"
    sleep 0.2
done
kill -9 "$server"
while [ -e "/proc/$server" ]; do sleep 0.02; done
say "5. the server (process $server) was killed with -9 in the middle; starting it again"
start_server 2
echo "ready again, with $(lines_in_log) lines of $lines in the log"

wait "$producer" || die "kcat: $(tail -5 "$job/kcat.err")"
failed=0
for reader in "${readers[@]}"; do wait "$reader" || failed=1; done

say "6. what each group got"
printf '%-12s %10s %10s %10s %12s\n' group lines distinct repeats "key order"
for group in "${groups[@]}"; do
    cat "$job/$group.result"
    grep -v '^%' "$job/$group.err" | head -5 || true
done
[ $failed = 0 ] || die "a group did not get every line once and in order (see $job)"

work_through_queue

children=()
cat <<END

Every line arrived once and in the order of its key, over a kill -9 of the
server; every record was settled by one worker, over a kill -9 of another.
The server runs on (process $server, log in .work/main-job/server.log).
Go on with:

  # topics and partitions; the last lines of each partition
  kcat -b $address -L
  kcat -b $address -C -t $topic -o -3 -e -f '%k: %s\n'
  # another topic
  echo hello | kcat -b $address -P -t greetings
  # how far the queue has come, and the first records of a partition
  ${ratel#"$PWD/"} queue describe $queue -b $address
  ${ratel#"$PWD/"} queue peek $queue -b $address
  # numbers, consumer lag and the queue's among them
  curl http://127.0.0.1:$http_port/metrics
  # stop the server in order
  kill $server
END
