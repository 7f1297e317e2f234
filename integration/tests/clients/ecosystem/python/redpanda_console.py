"""Looks at every page of Redpanda Console through the API behind it.

usage: redpanda_console.py HOST:PORT TOPIC, a topic of two partitions without records.
"""

import base64
import json
import sys
import time
import urllib.error
import urllib.request

import websocket

console, topic = sys.argv[1:]


def ask(path, method="GET", body=None):
    request = urllib.request.Request(
        f"http://{console}/api/{path}", method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {path}: {error.code}: {error.read().decode()}")
    return json.loads(text) if text else None


def expect(what, actual, expected):
    if actual != expected:
        sys.exit(f"{what}: expected {expected!r}, got {actual!r}")


def messages(first, count):
    """The page of a topic's messages, which come over a websocket."""
    page = websocket.create_connection(
        f"ws://{console}/api/topics/{topic}/messages", timeout=30)
    page.send(json.dumps({"topicName": topic, "startOffset": first, "partitionId": -1,
                          "maxResults": count}))
    seen = []
    while True:
        said = json.loads(page.recv())
        if said["type"] == "error":
            sys.exit(f"messages: {said['message']}")
        if said["type"] == "message":
            seen.append((said["message"]["partitionID"], said["message"]["offset"]))
        if said["type"] == "done":
            page.close()
            return sorted(seen)


def cluster():
    overview = ask("cluster/overview")["kafka"]
    expect("health", overview["status"], "HEALTHY")
    expect("brokers", overview["brokersOnline"], 1)
    node = ask("brokers")[0]["brokerId"]
    names = {entry["name"] for entry in ask(f"brokers/{node}/config")["brokerConfigs"]}
    expect("a broker's configuration", {"log.retention.ms", "num.partitions"} - names, set())
    keys = {row["keyName"] for row in ask("api-versions")["apiVersions"]}
    expect("APIs", {"DescribeLogDirs", "OffsetDelete", "SASLHandshake"} - keys, set())
    page = ask("console/endpoints")["endpointCompatibility"]
    # Its own list of what a broker must know for the page to be shown.
    expect("pages that are hidden",
           [row["endpoint"] for row in page["endpoints"] if not row["isSupported"]], [])
    print(f"ok the cluster: Kafka {page['kafkaVersion']}, no page hidden")


def records():
    rows = [{"key": base64.b64encode(b"key").decode(), "partitionId": number % 2, "headers": [],
             "value": base64.b64encode(f"value {number}".encode()).decode()}
            for number in range(20)]
    for transaction in (False, True):
        ask("topics-records", "POST", {
            "topicNames": [topic], "useTransactions": transaction, "compressionType": 0,
            "records": rows})
    # In a transaction ends each partition with a marker, which is written a moment later.
    deadline = time.monotonic() + 30
    while True:
        partitions = ask(f"topics/{topic}/partitions")["partitions"]
        ends = [row["waterMarkHigh"] for row in partitions]
        if ends == [21, 21] or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    expect("ends", ends, [21, 21])
    expect("sizes", all(row["partitionLogDirs"][0]["size"] > 0 for row in partitions), True)
    both = [(partition, offset) for partition in (0, 1) for offset in range(20)]
    expect("messages from the beginning", messages(-2, 100), both)
    # It counts offsets, of which each partition's last is the marker.
    expect("the newest messages", len(messages(-1, 10)), 8)
    expect("offsets by time", [row["offset"] for row in ask(
        f"topics-offsets?topicNames={topic}&timestamp=0")["topicOffsets"][0]["partitions"]],
        [0, 0])
    print("ok records: produced, in a transaction too, shown, found by time")


def topics():
    names = [row["topicName"] for row in ask("topics")["topics"]]
    expect("topics", topic in names, True)
    ask(f"topics/{topic}/configuration", "PATCH",
        {"configs": [{"key": "retention.ms", "op": "SET", "value": "7200000"}]})
    entries = ask(f"topics/{topic}/configuration")["topicDescription"]["configEntries"]
    expect("retention", {row["name"]: row["value"] for row in entries}["retention.ms"], "7200000")
    ask("topics-configs")
    ask("operations/topic-details")
    expect("reassignments", ask("operations/reassign-partitions")["topics"], [])
    ask(f"topics/{topic}/records", "DELETE", {"partitions": [{"partitionId": 0, "offset": 5}]})
    low = ask(f"topics/{topic}/partitions")["partitions"][0]["waterMarkLow"]
    expect("beginning after deletion", low, 5)
    print("ok topics: list, configuration, details, deletion of records")


cluster()
records()
topics()
ask("consumer-groups")
ask(f"topics/{topic}/consumers")
expect("quotas", ask("quotas")["items"], [])
expect("users", ask("users")["users"], [])
print("ok quotas and users")
ask(f"topics/{topic}", "DELETE")
print("ok a topic deleted")
