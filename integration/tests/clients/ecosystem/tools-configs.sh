#!/usr/bin/env bash
# kafka-configs and kafka-client-metrics on everything that they can configure; a topic that is
# compacted and compressed by the server. usage: tools-configs.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
open_tools
topic=$unique client=$unique-client user=$unique-user group=$unique-group
echo "kafka tools 4.3.1: configurations"

topics --create --topic "$topic" --config cleanup.policy=compact,delete \
    --config compression.type=zstd
configs --alter --entity-type topics --entity-name "$topic" \
    --add-config retention.ms=7200000,segment.bytes=2097152
configs --describe --entity-type topics --entity-name "$topic"
says "configuration" "retention.ms=7200000"
says "configuration" "cleanup.policy=compact,delete"
says "configuration" "compression.type=zstd"
configs --alter --entity-type topics --entity-name "$topic" --delete-config retention.ms
configs --describe --all --entity-type topics --entity-name "$topic"
says "default" "^  retention.ms=604800000 "
refused kafka.admin.ConfigCommand --alter --entity-type topics --entity-name "$topic" \
    --add-config cleanup.policy=never
says "a wrong value" "InvalidConfigurationException"
refused kafka.admin.ConfigCommand --alter --entity-type topics --entity-name "$topic" \
    --add-config no.such.key=1
says "a wrong key" "InvalidConfigurationException|Unknown topic config"
ok "kafka-configs of topics"

topics --describe --topic "$topic"
node=$(grep -oE 'Leader: [0-9]+' <<<"$out" | head -1 | cut -d' ' -f2)
configs --describe --all --entity-type brokers --entity-name "$node"
says "broker configuration" "^  message.max.bytes=1048588 "
broker=(--entity-type brokers --entity-name "$node")
configs --alter "${broker[@]}" --add-config log.cleaner.threads=2
configs --describe "${broker[@]}"
says "of one broker" "log.cleaner.threads=2 .*DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2"
configs --alter "${broker[@]}" --delete-config log.cleaner.threads
configs --alter --entity-type brokers --entity-default --add-config message.max.bytes=1048600
configs --describe --entity-type brokers --entity-default
says "of all brokers" "DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=1048600"
configs --alter --entity-type brokers --entity-default --delete-config message.max.bytes
refused kafka.admin.ConfigCommand --alter "${broker[@]}" --add-config log.dirs=/tmp
says "a key that only a restart changes" "InvalidRequestException|InvalidConfigurationException"
configs --describe --entity-type broker-loggers --entity-name "$node"
says "loggers" "^  root=INFO "
loggers=(--entity-type broker-loggers --entity-name "$node")
configs --alter "${loggers[@]}" --add-config ratel_server.net=DEBUG,ratel_storage=FATAL
configs --describe "${loggers[@]}"
says "a logger" "^  ratel_server.net=DEBUG sensitive=false"
says "a logger in another" "^  ratel_storage.local=FATAL "
configs --alter "${loggers[@]}" --delete-config ratel_server.net,ratel_storage
configs --describe "${loggers[@]}"
says "a logger without a level of its own" "^  ratel_server.net=INFO "
refused kafka.admin.ConfigCommand --alter "${loggers[@]}" --add-config root=LOUD
says "a wrong level" "InvalidConfigurationException"
refused kafka.admin.ConfigCommand --alter "${loggers[@]}" --delete-config root
says "the root logger" "InvalidRequestException"
ok "kafka-configs of brokers"

configs --alter --entity-type clients --entity-name "$client" \
    --add-config producer_byte_rate=1000000,consumer_byte_rate=2000000
configs --describe --entity-type clients --entity-name "$client"
says "quota of a client" "consumer_byte_rate=2000000.0, producer_byte_rate=1000000.0"
configs --alter --entity-type users --entity-name "$user" --entity-type clients --entity-default \
    --add-config request_percentage=50
configs --describe --entity-type users --entity-name "$user" --entity-type clients
says "quota of a user's clients" "$user.*request_percentage=50.0"
configs --alter --entity-type clients --entity-name "$client" \
    --delete-config producer_byte_rate,consumer_byte_rate
configs --describe --entity-type clients --entity-name "$client"
says_not "a quota that was deleted" "byte_rate"
configs --alter --entity-type users --entity-name "$user" --entity-type clients --entity-default \
    --delete-config request_percentage
ok "kafka-configs of clients and users"

configs --alter --entity-type groups --entity-name "$group" \
    --add-config consumer.session.timeout.ms=50000,consumer.heartbeat.interval.ms=6000
configs --describe --entity-type groups --entity-name "$group"
says "group" "consumer.session.timeout.ms=50000 .*DYNAMIC_GROUP_CONFIG"
ok "kafka-configs of groups"

at $tools.ClientMetricsCommand --alter --name "$unique" --metrics org.apache.kafka. \
    --interval 10000
at $tools.ClientMetricsCommand --describe --name "$unique"
says "subscription to metrics" "interval.ms=10000"
at $tools.ClientMetricsCommand --list
says "subscriptions to metrics" "$unique"
at $tools.ClientMetricsCommand --delete --name "$unique"
ok "kafka-client-metrics"

at_first $tools.FeatureCommand upgrade --feature transaction.version=2
says "features" "transaction.version was upgraded to 2"
at_first $tools.FeatureCommand describe
says "features" "transaction.version .*FinalizedVersionLevel: 2"
says "features" "group.version .*FinalizedVersionLevel: 1"
ok "kafka-features upgrade"
topics --delete --topic "$topic"
