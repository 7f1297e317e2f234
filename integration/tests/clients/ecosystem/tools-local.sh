#!/usr/bin/env bash
# Those of Apache Kafka's command-line tools that ask no server or ask it for what it has not, and
# the proof that no tool of the distribution is left out. usage: tools-local.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
open_tools
echo "kafka tools 4.3.1: the local ones, and that none is left out"

cat >"$scratch/broker.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:9093
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
controller.listener.names=CONTROLLER
log.dirs=$scratch/formatted
P
tool kafka.tools.StorageTool random-uuid
says "an id" "^[A-Za-z0-9_-]{22}\$"
id=$out
tool kafka.tools.StorageTool format --standalone -t "$id" -c "$scratch/broker.properties"
tool kafka.tools.StorageTool info -c "$scratch/broker.properties"
says "a formatted folder" "cluster.id=$id"
# A folder of Apache Kafka's own is told from any other, and no folder of the server is harmed.
if [ -n "${DATA_DIR:-}" ] && [ ! -e "$DATA_DIR/meta.properties" ]; then
    sed -i "s|^log.dirs=.*|log.dirs=$DATA_DIR|" "$scratch/broker.properties"
    complaint kafka.tools.StorageTool info -c "$scratch/broker.properties"
    says "the server's folder" "is not formatted"
fi
ok "kafka-storage"
tool org.apache.kafka.shell.MetadataShell --snapshot "$scratch/formatted/bootstrap.checkpoint" ls /
says "what a snapshot holds" "^image\$"
ok "kafka-metadata-shell"

mkdir "$scratch/plugins"
cp "$cache"/java/lib/connect-file-*.jar "$scratch/plugins"
tool $tools.ConnectPluginPath list --plugin-path "$scratch/plugins"
says "plugins" "connect.file.FileStreamSinkConnector.*sink.true"
says "plugins" "^Compatible plugins: .2\$"
ok "connect-plugin-path"
# The server is no JVM: its metrics are served over HTTP.
complaint $tools.JmxTool --one-time \
    --jmx-url "service:jmx:rmi:///jndi/rmi://127.0.0.1:$(free_port)/jmxrmi"
says "no JMX" "Could not connect to JMX url"
ok "kafka-jmx: there is nothing to ask"
complaint $tools.OAuthCompatibilityTool
says "no provider of tokens" "sasl.oauthbearer.token.endpoint.url value is required"
ok "Kafka's tool for OAuth providers: there is none"

# Of the main classes in the jars, these are no tools: a test of Raft alone, and some that print a
# table of configuration keys for the documentation. Trogdor, which breaks brokers for Kafka's own
# system tests, is in a jar that is not here.
no_tools='TestRaftServer|Mirror[A-Za-z]*Config'
tool ToolNames
says "the names" "tools.TopicCommand"
left=
while read -r name; do
    [[ ${name##*.} =~ ^($no_tools)$ ]] || grep -qE "\.${name##*.}( |\$)" "$here"/*.sh ||
        left+=" $name"
done < <(grep -v '\$' <<<"$out")
[ -z "$left" ] || fail "tools without a check:$left"
ok "every tool of the distribution has a check: $(grep -cv '\$' <<<"$out") main classes"
