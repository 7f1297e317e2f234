#!/usr/bin/env bash
# Transactions through kafkajs. usage: transactions-kafkajs.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need npm
once kafkajs 2.2.4 node_modules kafkajs@2.2.4
make_topics
NODE_PATH=$cache/kafkajs/node_modules node "$here/node/transactions_kafkajs.js" \
    "$bootstrap" "$unique"
