#!/usr/bin/env bash
# The whole proof: house rules, units and machines, models, the wire with hostile input, faults
# under load, and the clients of other people. Each stage prints its seconds; the last line is
# `N passed, N failed`.
#
#   scripts/test.sh [STAGE...]      all stages, or only these: house unit engine wire faults clients
#
# A stage that lacks its means (a language, a mount) fails where CI=true and is counted as skipped
# elsewhere.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
logs=$root/.work/test
stages=${*:-house unit engine wire faults clients}
passed=0 failed=0 skipped=0 began=$SECONDS
export RATEL_BIN=$target/checked/ratel RUST_BACKTRACE=0
# Tests are built once, optimised and with every assertion on.
tests=(cargo test --profile checked --workspace --quiet --no-fail-fast)

rm -rf "$logs"
mkdir -p "$logs"

# stage NAME WHAT COMMAND...: run it, count what its runners say, show its end if it fails.
stage() {
    local name=$1 what=$2 log=$logs/$1.log start=$SECONDS status=0 p f s
    shift 2
    [[ " $stages " == *" ${name%%-*} "* ]] || return 0
    "$@" >"$log" 2>&1 || status=$?
    read -r p f s < <(count "$log")
    # A command that fails without a count (it did not build) is one failure.
    [ $status = 0 ] || [ "$f" != 0 ] || f=1
    # One that counts nothing (a linter) is one that passed.
    [ $status != 0 ] || [ $((p + f + s)) != 0 ] || p=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    if [ "$f" = 0 ]; then
        printf '%-10s %5d s  %5d passed  %s%s\n' "$name" $((SECONDS - start)) "$p" "$what" \
            "$([ "$s" = 0 ] || echo ", $s SKIPPED")"
        [ "$name" != clients ] || sed -n '/^client .*seconds/,/^$/p' "$log"
    else
        printf '%-10s %5d s  FAILED  %s\n' "$name" $((SECONDS - start)) "$what"
        grep -vE '^(running|test .* ok$|\.+ *[0-9/]*$|$)' "$log" | tail -60
    fi
}

# The tests that passed, failed and were left out, by the closing lines of the runners.
count() {
    awk '
        /^test result:/ { p += $4; f += $6; s += $8 }
        /^clients: [0-9]+ passed/ { p += $2; f += $4; s += $6 }
        /^SKIPPED/ { s += 1; p -= 1 }
        END { print p + 0, f + 0, s + 0 }' "$1"
}

# The integration tests of these names, as far as they exist.
named() {
    local name arguments=()
    for name in "$@"; do arguments+=(--test "$name"); done
    "${tests[@]}" "${arguments[@]}" -- --nocapture
}

# The names of the test programs in a crate, each a file or a folder with a main.rs, but for those
# with a stage of their own.
programs() {
    ls -d "$1"/tests/*.rs "$1"/tests/*/main.rs 2>/dev/null |
        sed -E 's|/main\.rs$||; s|.*/||; s|\.rs$||' |
        grep -vxE 'tidy|clients|faults|exactly_once|exhaustion|queue_faults|queue_breaks' | sort
}

build() {
    cargo build --profile checked --workspace --lib --bins --tests --quiet
}

house() {
    cargo fmt --all --check &&
        cargo clippy --profile checked --workspace --all-targets --quiet -- -D warnings &&
        RUSTDOCFLAGS="-D warnings" cargo doc --profile checked --workspace --no-deps \
            --document-private-items --quiet &&
        named tidy
}

mapfile -t engine_programs < <(programs storage; programs server)
mapfile -t wire_programs < <(programs integration)

scripts/install.sh || exit 1
printf '%-10s' build
start=$SECONDS
build || { echo "build: FAILED"; echo "0 passed, 1 failed"; exit 1; }
printf ' %5d s\n' $((SECONDS - start))

stage house "format, lints, documentation, house rules" house
stage unit "units, machines, models" "${tests[@]}" --lib --bins
[ ${#engine_programs[@]} = 0 ] ||
    stage engine "the engine on the real disk and in memory" named "${engine_programs[@]}"
stage wire "requests at every version, hostile input, restarts" named "${wire_programs[@]}"
stage faults "kill -9 under load, a full disk, no descriptors" \
    named faults queue_faults queue_breaks exactly_once exhaustion
stage clients "the story through other people's clients" \
    "${tests[@]}" --test clients

echo
echo "took $((SECONDS - began)) s; logs in .work/test"
if [ $skipped = 0 ]; then
    echo "$passed passed, $failed failed"
else
    echo "$passed passed, $failed failed, $skipped skipped"
fi
[ $failed = 0 ]
