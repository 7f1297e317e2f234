#!/usr/bin/env bash
# Transactions through sarama. usage: transactions-sarama.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need go
program() {
    cp "$here"/go/* .
    go build -mod=readonly -o transactions .
}
once sarama "$(cat "$here"/go/* | cksum)" program
make_topics
"$cache/sarama/transactions" "$bootstrap" "$unique"
