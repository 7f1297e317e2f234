#!/usr/bin/env bash
# A schema registry that keeps its schemas in a topic of the server and elects its leader by the
# group protocol: Karapace. It is in no registry of packages: a checkout of its tag 3.15.2 (later
# ones need a Go library that is not to be had either) belongs in .work/ecosystem/sources/karapace,
# else this is skipped. usage: karapace.sh HOST:PORT
. "$(dirname "$0")/registry-words.sh"
source_of karapace
echo "karapace $(git -C "$source" describe --tags)"

# Its fork of avro is not to be had: the one that it forked is.
dependencies() {
    sed -E '/^(avro|#)/d' "$source/requirements/requirements.txt" >requirements.txt
    venv -r requirements.txt avro==1.11.3
}
# What its installation would write.
[ -e "$source/karapace/version.py" ] || (cd "$source" && python3 version.py >/dev/null)
once karapace "$(cksum <"$source/requirements/requirements.txt")" dependencies
registry() {
    cat >"$scratch/karapace.json" <<JSON
{"bootstrap_uri": "$bootstrap", "host": "127.0.0.1", "port": $port,
 "advertised_hostname": "127.0.0.1", "topic_name": "$unique-schemas", "group_id": "$unique",
 "replication_factor": 1, "karapace_registry": true, "karapace_rest": false}
JSON
    start "$scratch/registry-$1.log" env PYTHONPATH="$source" PYTHONDONTWRITEBYTECODE=1 \
        "$cache/karapace/venv/bin/python" -m karapace.karapace_all "$scratch/karapace.json"
    registry=$started
    within 120 "the registry" answers
}
api=http://127.0.0.1:$port
tell_registry
install_java
open_tools
topics --describe --topic "$unique-schemas"
says "the topic of the schemas" "PartitionCount: 1.*cleanup.policy=compact"
ok "the schemas are in a compacted topic of one partition"
