#!/usr/bin/env bash
# The calls of AKHQ, kafka-ui and Redpanda Console, page by page, through the Java admin client:
# none of them is in a registry of packages. Where there is a checkout of Redpanda Console,
# redpanda-console.sh runs that. usage: consoles.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
echo "the calls of consoles, kafka-clients 4.3.1"
"${small_jvm[@]}" -cp "$classes" Consoles "$bootstrap" "$unique"
