#!/usr/bin/env bash
# Kafka Streams, at least once. usage: streams-at-least-once.sh HOST:PORT
. "$(dirname "$0")/streams-words.sh"
echo "kafka streams 4.3.1, at least once"
streams at_least_once
