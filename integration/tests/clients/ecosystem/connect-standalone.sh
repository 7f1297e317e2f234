#!/usr/bin/env bash
# Kafka Connect, standalone: lines of a file go through a topic into another file; after a kill -9
# of the worker it goes on where it was. usage: connect-standalone.sh HOST:PORT
. "$(dirname "$0")/connect-words.sh"
echo "kafka connect 4.3.1, standalone"

cat >>"$scratch/worker.properties" <<P
offset.storage.file.filename=$scratch/offsets
P
connector_file source "$source" >"$scratch/source.properties"
connector_file sink "$sink" >"$scratch/sink.properties"
work() {
    start "$scratch/worker.log" "${connect_jvm[@]}" org.apache.kafka.connect.cli.ConnectStandalone \
        "$scratch/worker.properties" "$scratch/source.properties" "$scratch/sink.properties"
    worker=$started
}

seq 1 500 >"$input"
work
within 60 "500 lines through Connect" has_lines 500
cmp "$input" "$output" || fail "the sink's file differs from the source's"
ok "file source to topic to file sink"
# Standalone flushes its offsets each second; a kill before would only bring repeats.
sleep 3
end "$worker" KILL
seq 501 600 >>"$input"
work
within 60 "100 more lines after kill -9" has_lines 600
cmp "$input" "$output" || fail "the sink's file differs after the restart"
ok "after kill -9 of the worker: no line twice, none lost"
end "$worker"
ok "the worker stops in order"
