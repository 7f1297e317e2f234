"""One worker of the main job: a member of a share group that takes records, works on each, and
says what became of it.

usage: worker.py HOST:PORT TOPIC GROUP DIARY [--reject PACKAGE] [--hold-after RECORDS]

What it did is in the file DIARY, one line each, written before the next thing is done: a verb, the
record's partition, offset, delivery count and number (which its value begins with), and its package
(its key). `took`: it was handed out; then one of `accepted`, `released` and `rejected`, once the
server has confirmed it, or `refused` where it did not. With --reject it rejects every record of one
package. Of the others it puts every 500th back the first time that it comes, as a job for later.

With --hold-after it works on so many records, takes some more, says `holding` and does nothing.
SIGTERM ends it in order.
"""

import argparse
import signal
import sys
import time

from confluent_kafka import AcknowledgeType, ShareConsumer

WORK_SECONDS = 0.001
RECORDS_AT_ONCE = 50
LATER = 500

DONE = {AcknowledgeType.ACCEPT: "accepted", AcknowledgeType.RELEASE: "released",
        AcknowledgeType.REJECT: "rejected"}


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("servers", "topic", "group", "diary"):
        parser.add_argument(name)
    parser.add_argument("--reject")
    parser.add_argument("--hold-after", type=int)
    return parser.parse_args()


def number(message):
    return int(message.value().split(b" ", 1)[0])


def verdict(message, reject):
    """What the work on a record comes to."""
    time.sleep(WORK_SECONDS)
    if message.key().decode() == reject:
        return AcknowledgeType.REJECT
    if number(message) % LATER == 0 and message.delivery_count() == 1:
        return AcknowledgeType.RELEASE
    return AcknowledgeType.ACCEPT


def main():
    asked = arguments()
    consumer = ShareConsumer({
        "bootstrap.servers": asked.servers,
        "group.id": asked.group,
        "share.acknowledgement.mode": "explicit",
        "max.poll.records": RECORDS_AT_ONCE,
    })
    consumer.subscribe([asked.topic])
    going, worked_on = [True], 0
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with open(asked.diary, "w", buffering=1, encoding="utf-8") as diary:
        def note(verb, message):
            print(verb, message.partition(), message.offset(), message.delivery_count(),
                  number(message), message.key().decode(), sep="\t", file=diary)

        while going:
            messages = []
            for message in consumer.poll(0.2):
                if message.error():
                    print(message.error(), file=sys.stderr)
                else:
                    messages.append(message)
                    note("took", message)
            if messages and asked.hold_after is not None and worked_on >= asked.hold_after:
                print("holding", len(messages), sep="\t", file=diary)
                signal.pause()
            verdicts = []
            for message in messages:
                verdicts.append(verdict(message, asked.reject))
                consumer.acknowledge(message, verdicts[-1])
            outcome = {(place.topic, place.partition): error
                       for place, error in consumer.commit_sync(30.0).items()}
            for message, kind in zip(messages, verdicts):
                error = outcome.get((message.topic(), message.partition()), "no answer")
                if error is not None:
                    print(error, file=sys.stderr)
                note(DONE[kind] if error is None else "refused", message)
            worked_on += len(messages)
    consumer.close()


main()
