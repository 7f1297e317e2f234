#!/usr/bin/env bash
# Kafka Connect, distributed: two workers, connectors over REST, a worker killed with -9, the
# server too where it may be, offsets kept, shown and reset. usage: connect-distributed.sh HOST:PORT
. "$(dirname "$0")/connect-words.sh"
echo "kafka connect 4.3.1, distributed"

cat >>"$scratch/worker.properties" <<P
group.id=$unique
offset.storage.topic=$unique-offsets
offset.storage.replication.factor=1
offset.storage.partitions=5
config.storage.topic=$unique-configs
config.storage.replication.factor=1
status.storage.topic=$unique-status
status.storage.replication.factor=1
status.storage.partitions=2
session.timeout.ms=6000
heartbeat.interval.ms=1000
scheduled.rebalance.max.delay.ms=2000
P
# work NAME ADDRESS: a worker with its REST interface there.
work() {
    sed "s|^listeners=.*|listeners=HTTP://$2|" "$scratch/worker.properties" \
        >"$scratch/$1.properties"
    start "$scratch/$1.log" "${connect_jvm[@]}" org.apache.kafka.connect.cli.ConnectDistributed \
        "$scratch/$1.properties"
}
ask() { curl -s -f -H 'Content-Type: application/json' "$@"; }
# create source|sink CLASS: hand the connector to the workers.
create() {
    connector_file "$1" "$2" | grep -v ^name= | python3 -c 'import json, sys
print(json.dumps(dict(line.rstrip().split("=", 1) for line in sys.stdin)))' |
        ask -X PUT -d @- "http://$rest/connectors/$unique-$1/config" >/dev/null
}
is_up() { ask "http://$1/connectors" >/dev/null; }
runs() { [ "$(ask "http://$rest/connectors/$unique-$1/status" | grep -o RUNNING | wc -l)" = 2 ]; }
offset_is() { ask "http://$rest/connectors/$unique-source/offsets" | grep -q "\"position\":$1"; }
sink_is() { ask "http://$rest/connectors/$unique-sink/offsets" | grep -q "\"kafka_offset\":$1"; }

other=127.0.0.1:$(free_port)
work first "$rest"
first=$started
within 60 "the first worker" is_up "$rest"
work second "$other"
second=$started
within 60 "the second worker" is_up "$other"
ok "two workers and their compacted topics"
seq 1 500 >"$input"
within 30 "a source" create source "$source"
within 30 "a sink" create sink "$sink"
within 60 "500 lines through Connect" has_lines 500
within 30 "the source's state" runs source
within 30 "the sink's state" runs sink
cmp "$input" "$output" || fail "the sink's file differs from the source's"
ok "file source to topic to file sink, configured over REST"
within 30 "the source's offset" offset_is "$(wc -c <"$input")"
within 60 "the sink's offset" sink_is 500
ok "offsets over REST"

end "$second" KILL
seq 501 600 >>"$input"
within 90 "100 more lines after kill -9 of a worker" has_lines 600
sort -nu "$output" | cmp - "$input" || fail "lines are lost after the worker's death"
ok "a worker killed with -9: the other takes over"

lines=$(wc -l <"$output")
ask -X POST "http://$rest/connectors/$unique-source/restart?includeTasks=true" >/dev/null
within 30 "a restarted source" runs source
if may_restart; then
    restart_server
    seq 601 700 >>"$input"
    within 90 "100 more lines after kill -9 of the server" has_lines $((lines + 100))
    sort -nu "$output" | cmp - "$input" || fail "lines are lost after the server's death"
    ok "the server killed with -9: Connect goes on"
fi
within 30 "the source's offset" offset_is "$(wc -c <"$input")"
end "$first" TERM
work third "$rest"
within 60 "a new worker" is_up "$rest"
within 60 "connectors that the new worker knows" runs sink
within 60 "the source's state" runs source
offset_is "$(wc -c <"$input")" || fail "the source's offset is lost"
before=$(wc -l <"$output")
echo 701 >>"$input"
within 60 "a line after all workers were new" has_lines $((before + 1))
[ "$(tail -1 "$output")" = 701 ] || fail "the new worker read again: $(tail -3 "$output")"
ok "all workers new: connectors and offsets kept"

ask -X PUT "http://$rest/connectors/$unique-source/stop" >/dev/null
is_stopped() { ask "http://$rest/connectors/$unique-source/status" | grep -q '"state":"STOPPED"'; }
within 30 "a stopped source" is_stopped
within 30 "a reset" ask -o "$scratch/reset" -X DELETE \
    "http://$rest/connectors/$unique-source/offsets"
ask -X PUT "http://$rest/connectors/$unique-source/resume" >/dev/null
within 60 "the file read again after a reset" has_lines $((before + 1 + $(wc -l <"$input")))
ok "offsets reset: the source begins anew"
for kind in source sink; do ask -X DELETE "http://$rest/connectors/$unique-$kind"; done
ok "connectors deleted"
