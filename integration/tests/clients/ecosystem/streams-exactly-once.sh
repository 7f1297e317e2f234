#!/usr/bin/env bash
# Kafka Streams, exactly once. usage: streams-exactly-once.sh HOST:PORT
. "$(dirname "$0")/streams-words.sh"
echo "kafka streams 4.3.1, exactly once"
streams exactly_once_v2
