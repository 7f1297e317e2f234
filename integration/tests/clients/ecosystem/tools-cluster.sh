#!/usr/bin/env bash
# Apache Kafka's command-line tools for the cluster as a whole. usage: tools-cluster.sh HOST:PORT
. "$(dirname "$0")/words.sh"
install_java
open_tools
topic=$unique
echo "kafka tools 4.3.1: the cluster"

at $tools.ClusterTool cluster-id
says "cluster id" "Cluster ID: [A-Za-z0-9_-]{22}"
at $tools.ClusterTool list-endpoints
says "endpoints" "^[0-9]+ +[0-9.a-z]+ +[0-9]+ .*unfenced +broker"
ok "kafka-cluster"
at $tools.BrokerApiVersionsCommand
says "versions" "Produce\\(0\\): .*usable: 1"
ok "kafka-broker-api-versions"
at_first $tools.FeatureCommand describe
says "features" "metadata.version +SupportedMinVersion: [34]\.[0-9]+-IV[0-9]+"
tool $tools.FeatureCommand version-mapping --release-version 4.1
says "features of a release" "metadata.version=27"
ok "kafka-features"
at_first $tools.MetadataQuorumCommand describe --status
says "quorum" "^LeaderId: +[0-9]+"
says "quorum" "^CurrentObservers: +\[\]"
at_first $tools.MetadataQuorumCommand describe --replication
says "quorum's members" "^[0-9]+\s.*\sLeader"
ok "kafka-metadata-quorum"

topics --create --topic "$topic" --partitions 2
at $tools.LeaderElectionCommand --election-type preferred --topic "$topic" --partition 0
says "election" "Valid replica already elected for partitions $topic-0"
at $tools.LeaderElectionCommand --election-type unclean --topic "$topic" --partition 1
says_not "unclean election" "Error"
refused $tools.LeaderElectionCommand --election-type preferred --topic "$topic" --partition 7
says "election of nothing" "UnknownTopicOrPartition"
ok "kafka-leader-election"

topics --describe --topic "$topic"
node=$(grep -oE 'Leader: [0-9]+' <<<"$out" | head -1 | cut -d' ' -f2)
plan() {
    printf '{"version":1,"partitions":[{"topic":"%s","partition":0,"replicas":[%s]}]}' \
        "$topic" "$1" >"$scratch/plan.json"
}
reassign=$tools.reassign.ReassignPartitionsCommand
printf '{"version":1,"topics":[{"topic":"%s"}]}' "$topic" >"$scratch/topics.json"
at $reassign --generate --topics-to-move-json-file "$scratch/topics.json" --broker-list "$node"
says "proposal" "Proposed partition reassignment configuration"
plan "$node"
at $reassign --execute --reassignment-json-file "$scratch/plan.json"
says "reassignment to where it is" "Successfully started partition reassignment"
at $reassign --list
says "reassignments" "No partition reassignments found"
at $reassign --verify --preserve-throttles --reassignment-json-file "$scratch/plan.json"
says "verification" "Reassignment of partition $topic-0 is completed"
plan 4711
refused $reassign --execute --reassignment-json-file "$scratch/plan.json"
says "reassignment to nobody" "Unknown broker id 4711"
ok "kafka-reassign-partitions"

# Security is off in both servers, and each of these says so, or that it knows no such call.
off="SecurityDisabledException|UnsupportedVersionException|UnsupportedByAuthenticationException"
refused $tools.AclCommand --list
says "access rules" "SecurityDisabledException"
refused $tools.AclCommand --add --allow-principal User:alice --operation read --topic "$topic"
says "a new access rule" "SecurityDisabledException|UnsupportedVersionException"
refused $tools.AclCommand --remove --force --topic "$topic"
says "no access rule" "$off"
ok "kafka-acls: security is off"
touch "$scratch/empty"
for action in "--describe" "--create --max-life-time-period -1" \
    "--renew --renew-time-period -1 --hmac AAAA" "--expire --expiry-time-period -1 --hmac AAAA"; do
    # shellcheck disable=SC2086
    refused $tools.DelegationTokenCommand $action --command-config "$scratch/empty"
    says "tokens: $action" "$off"
done
ok "kafka-delegation-tokens: security is off"

at $tools.GroupsCommand --list
says "groups" "^GROUP +TYPE +PROTOCOL"
ok "kafka-groups"
at $tools.ClientMetricsCommand --list
ok "kafka-client-metrics --list"

topics --create --topic "$unique-input" --partitions 2
tool $tools.ProducerPerformance --topic "$unique-input" --num-records 100 --record-size 10 \
    --throughput -1 --command-property bootstrap.servers="$bootstrap"
at $tools.ConsumerPerformance --topic "$unique-input" --group "$unique-app" --num-records 100 \
    --timeout 20000
topics --create --topic "$unique-app-store-changelog" --partitions 1
at $tools.StreamsResetter --application-id "$unique-app" --input-topics "$unique-input" --force
says "input that is read again" "Topic: $unique-input Partition: 1 Offset: 0"
groups --describe --group "$unique-app"
says "the group after the reset" "$unique-app +$unique-input +1 +0 "
topics --list
says_not "internal topics are gone" "$unique-app-store-changelog"
ok "kafka-streams-application-reset"
topics --delete --topic "$unique.*"
