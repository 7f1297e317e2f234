# What the checks of Kafka Connect have in common.
. "$(dirname "${BASH_SOURCE[0]}")/words.sh"
need curl
install_java
connect_jvm=("${small_jvm[@]}" -cp "$classes")
input=$scratch/input output=$scratch/output topic=$unique
rest=127.0.0.1:$(free_port)
source=FileStreamSource
sink=FileStreamSink
cat >"$scratch/worker.properties" <<P
bootstrap.servers=$bootstrap
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.flush.interval.ms=1000
listeners=HTTP://$rest
plugin.discovery=service_load
P

# connector_file source|sink CLASS: its settings as a file.
connector_file() {
    echo "name=$unique-$1"
    echo "connector.class=org.apache.kafka.connect.file.${2}Connector"
    echo "tasks.max=1"
    if [ "$1" = source ]; then
        printf 'file=%s\ntopic=%s\n' "$input" "$topic"
    else
        printf 'file=%s\ntopics=%s\n' "$output" "$topic"
    fi
}

touch "$input" "$output"
has_lines() { [ "$(wc -l <"$output")" -ge "$1" ]; }
