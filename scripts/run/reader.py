"""One reader of the main job: a group of one that reads every line, and says what it got.

usage: reader.py HOST:PORT TOPIC GROUP LINES

Each value begins with its line's number. The result is one row: group, lines read, distinct
lines, repeats, and whether each key's numbers only grew. It ends with 1 unless every line came
exactly once and in order.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError

PATIENCE_SECONDS = 60
IDLE_SECONDS = 2


def main():
    servers, topic, group, lines = sys.argv[1:]
    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "auto.commit.interval.ms": 500,
        "topic.metadata.refresh.interval.ms": 500,
        "allow.auto.create.topics": True,
    })
    consumer.subscribe([topic])
    read, numbers, last_of_key, in_order = 0, set(), {}, True
    last_news = time.monotonic()
    while time.monotonic() - last_news < (IDLE_SECONDS if len(numbers) == int(lines)
                                          else PATIENCE_SECONDS):
        for message in consumer.consume(500, 0.2):
            if message.error():
                if message.error().code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART,
                                                  KafkaError._PARTITION_EOF):
                    print(message.error(), file=sys.stderr)
                continue
            last_news = time.monotonic()
            number = int(message.value().split(b" ", 1)[0])
            read += 1
            numbers.add(number)
            in_order = in_order and number > last_of_key.get(message.key(), 0)
            last_of_key[message.key()] = number
    consumer.close()
    repeats = read - len(numbers)
    print(f"{group:<12} {read:>10} {len(numbers):>10} {repeats:>10} "
          f"{'kept' if in_order else 'BROKEN':>12}")
    sys.exit(0 if (read, repeats, in_order) == (int(lines), 0, True) else 1)


main()
