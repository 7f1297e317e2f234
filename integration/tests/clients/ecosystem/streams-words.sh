# What the checks of Kafka Streams have in common.
. "$(dirname "${BASH_SOURCE[0]}")/words.sh"
install_java
each=1000

run_app() {
    start "$scratch/app-$1.log" "${small_jvm[@]}" -cp "$classes" StreamsApp "$bootstrap" "$unique" \
        "$guarantee" "$scratch/state"
    app=$started app_log=$scratch/app-$1.log
}
is_running() { grep -q '^state RUNNING' "$app_log"; }
drive() {
    "${small_jvm[@]}" -cp "$classes" StreamsDriver "$bootstrap" "$unique" "$@" \
        >"$scratch/driver.log" 2>&1 ||
        fail "$*: $(tail -5 "$scratch/driver.log")" \
            "$(grep -hE '^(org|java).*Exception' "$scratch"/app-*.log | tail -5)"
}

# streams GUARANTEE: word count and windowed join; the application killed with -9 in the middle of
# its work, twice, once with its state lost, and the server where it may be.
streams() {
    guarantee=$1
    drive create
    run_app first
    within 60 "the application" is_running
    drive produce 0 $each
    drive produce $each $((2 * each)) &
    local feeding=$!
    sleep 1
    end "$app" KILL
    wait $feeding
    run_app second
    drive produce $((2 * each)) $((3 * each))
    end "$app" KILL
    rm -rf "$scratch/state"
    run_app third
    drive produce $((3 * each)) $((4 * each))
    if may_restart; then
        restart_server
        ok "the server killed with -9 under the application"
    fi
    drive produce $((4 * each)) $((5 * each))
    drive check $((5 * each)) "$guarantee"
    ok "word count and windowed join, killed -9 and restarted twice:" \
        "$(grep records "$scratch/driver.log" | tr '\n' ' ')"
    end "$app"
    run_app fourth
    within 60 "the application, once more" is_running
    drive check $((5 * each)) "$guarantee"
    ok "stopped in order and started again: nothing is put out twice"
    end "$app"
}
