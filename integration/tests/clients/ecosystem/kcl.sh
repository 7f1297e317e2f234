#!/usr/bin/env bash
# kcl, franz-go's command line: what it shows of a server, and what it does with a topic. It is in
# no registry of packages: a checkout belongs in .work/ecosystem/sources/kcl, else this is skipped.
# usage: kcl.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need go
source_of kcl
commit=$(git -C "$source" rev-parse --short HEAD)
echo "kcl $commit"

program() { (cd "$source" && go build -mod=readonly -o "$cache/kcl/kcl" .); }
once kcl "$commit" program
topic=$unique group=$unique-group
# kcl WORD...: its words stay in $out.
kcl() {
    out=$("$cache/kcl/kcl" --no-config-file -B "$bootstrap" "$@" 2>&1) ||
        fail "kcl $* ends with $?: $out"
}

kcl misc probe-version
says "the version of Kafka" "^Kafka (at least|between) v(3|4)"
ok "it takes the server for ${out#Kafka }"
kcl cluster info
says "brokers" "^[0-9]+\* +127.0.0.1"
kcl topic create "$topic" -p 2 -k retention.ms=7200000
kcl topic list
says "topics" "^$topic +[0-9a-f]{32} +2 "
kcl topic describe "$topic"
says "a partition" "^1 +[0-9]+ +[0-9]+ +\[[0-9]+\]"
kcl config describe "$topic" -t topic
says "configuration" "^retention.ms +7200000 +DYNAMIC_TOPIC_CONFIG"
kcl config alter "$topic" -t topic -i --set segment.ms=3600000
kcl logdirs describe
says "folders" " $topic +1 "
ok "topics, configurations, folders"
out=$(seq 20 | "$cache/kcl/kcl" --no-config-file -B "$bootstrap" produce "$topic" -f '%v\n' 2>&1)
kcl consume "$topic" -g "$group" -n 20 -f '%v\n'
[ "$(sort -n <<<"$out")" = "$(seq 20)" ] || fail "consumed: $out"
kcl misc list-offsets "$topic"
[ "$(awk -v t="$topic" '$2 == t { sum += $6 } END { print sum }' <<<"$out")" = 20 ] ||
    fail "offsets: $out"
kcl topic trim-prefix "$topic" --offset end --yes
ok "produced, consumed, trimmed"
kcl group list
says "groups" " $group +consumer +(classic|consumer) "
kcl group describe "$group"
says "the group" "$topic"
kcl share-group list
kcl txn list
kcl quota describe --any user
kcl user describe
kcl reassign list
kcl client-metrics list
ok "groups, share groups, transactions, quotas, users, reassignments, subscriptions to metrics"
kcl topic delete "$topic"
ok "a topic deleted"
