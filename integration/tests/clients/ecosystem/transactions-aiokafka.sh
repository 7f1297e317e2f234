#!/usr/bin/env bash
# Transactions through aiokafka. usage: transactions-aiokafka.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need python3
once aiokafka 0.14.0 venv aiokafka==0.14.0
make_topics
"$cache/aiokafka/venv/bin/python" "$here/python/transactions_aiokafka.py" "$bootstrap" "$unique"
