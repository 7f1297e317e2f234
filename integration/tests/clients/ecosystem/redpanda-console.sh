#!/usr/bin/env bash
# Redpanda Console, page by page, over the API that its pages are made from. It is in no registry of
# packages: a checkout of its tag v2.2.4 (the last one whose every library is to be had) belongs in
# .work/ecosystem/sources/console, else this is skipped. usage: redpanda-console.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need go
need python3
source_of console
version=$(git -C "$source" describe --tags)
echo "redpanda console $version"

program() {
    (cd "$source/backend" && go build -mod=readonly -o "$cache/console/console" ./cmd/api)
    venv websocket-client==1.8.0
}
once console "$version" program
install_java
open_tools
topics --create --topic "$unique" --partitions 2
port=$(free_port)
start "$scratch/console.log" env KAFKA_BROKERS="$bootstrap" SERVER_LISTENADDRESS=127.0.0.1 \
    SERVER_LISTENPORT="$port" SERVEFRONTEND=false "$cache/console/console"
is_up() { curl -s -f -o /dev/null "http://127.0.0.1:$port/api/cluster/overview"; }
within 60 "the console" is_up
"$cache/console/venv/bin/python" "$here/python/redpanda_console.py" "127.0.0.1:$port" "$unique"
