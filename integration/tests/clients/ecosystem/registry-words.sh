# What the checks of schema registries have in common: the story, through the API that Confluent's
# clients speak. A check says how its registry is started (`registry NAME`, which leaves the
# program's id in $registry) and where its API is ($api).
. "$(dirname "${BASH_SOURCE[0]}")/words.sh"
need python3
need curl
port=$(free_port)
ask() { curl -s -f -H 'Content-Type: application/vnd.schemaregistry.v1+json' "$@"; }
answers() { ask -o /dev/null "$api/subjects"; }
schema() {
    printf '{"schema": "{\\"type\\": \\"record\\", \\"name\\": \\"%s\\", \\"fields\\": [%s]}"}' \
        "$1" "{\\\"name\\\": \\\"id\\\", \\\"type\\\": \\\"$2\\\"}"
}

tell_registry() {
    registry first
    for number in $(seq 20); do
        schema "record$number" int | ask -o /dev/null -d @- \
            "$api/subjects/subject-$number/versions" ||
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
}
