"""What the Python programs share: the records, what is expected of a log, how a check speaks."""

import sys
import time
from collections import defaultdict, namedtuple

PARTITIONS = 4
RECORDS = 200

Record = namedtuple("Record", "partition offset key value headers")


class Story:
    """A run: names that no other run uses, and one line for each check that held."""

    def __init__(self, client):
        self.client = client
        self.run = format(int(time.time() * 1000), "x")

    def topic(self, purpose):
        return f"{self.client}-{purpose}-{self.run}"

    def ok(self, what):
        print(f"ok {what}", flush=True)


def bootstrap():
    if len(sys.argv) != 2:
        sys.exit("usage: <program> HOST:PORT")
    return sys.argv[1]


def fail(sentence):
    sys.exit(sentence)


def expect(what, actual, expected):
    if actual != expected:
        fail(f"{what}: expected {expected!r}, got {actual!r}")


def wait_until(what, seconds, condition):
    """Poll a condition that another side brings about; its value when it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    fail(f"{what}: not within {seconds} s")


def make_records(label, count=RECORDS):
    """Keyed records with two headers, one of them twice, so that nothing may merge them."""
    for number in range(count):
        key = f"key-{number % 17}".encode()
        value = f"{label} {number} ".encode() + b"x" * (number % 90)
        headers = [("label", label.encode()), ("n", str(number).encode()), ("n", b"again")]
        yield key, value, headers


def check_log(what, seen, sent):
    """What was read is what was sent: each once, in order within a key, no offset left out."""
    expect(f"{what}: records", len(seen), len(sent))
    by_partition = defaultdict(list)
    for record in seen:
        by_partition[record.partition].append(record)
    for partition, records in by_partition.items():
        offsets = [record.offset for record in records]
        first = offsets[0]
        expect(f"{what}: offsets of {partition}", offsets,
               list(range(first, first + len(offsets))))
    sent_by_key = defaultdict(list)
    for key, value, headers in sent:
        sent_by_key[key].append((value, headers))
    seen_by_key = defaultdict(list)
    for record in seen:
        seen_by_key[record.key].append((record.value, [tuple(h) for h in record.headers]))
    for key, expected in sent_by_key.items():
        expect(f"{what}: the records of {key}", seen_by_key[key], expected)
