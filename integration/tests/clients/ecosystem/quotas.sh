#!/usr/bin/env bash
# Every quota of clients as Kafka's Java clients see it. usage: quotas.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
echo "quotas, kafka-clients 4.3.1"
"${small_jvm[@]}" -cp "$classes" Quotas "$bootstrap" "$unique"
