#!/usr/bin/env bash
# Transactions through kafka-python. usage: transactions-kafka-python.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need python3
once kafka-python 3.0.12 venv kafka-python==3.0.12
make_topics
"$cache/kafka-python/venv/bin/python" "$here/python/transactions_kafka_python.py" \
    "$bootstrap" "$unique"
