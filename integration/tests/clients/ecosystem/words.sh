# What the checks of the ecosystem have in common. Sourced by each, with the server's HOST:PORT.
#
# A check prints `ok WHAT` for each thing it saw, and ends with 1 and a sentence on the standard
# error where the server does not do as Apache Kafka does. `scripts/ecosystem.sh` runs all of them
# and may set:
#   SERVER_CONTROL  a folder: `restart_server` kills and starts the server through it
#   OTHER           HOST:PORT of an Apache Kafka beside the server
#   DATA_DIR        the server's own directory
set -euo pipefail
bootstrap=${1:?usage: $0 HOST:PORT}
check=$(basename "$0" .sh)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$here/../../../.." && pwd)/.work/ecosystem
scratch=$(mktemp -d)
unique=$check-$(date +%s%N)
small_jvm=(java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m)
mkdir -p "$cache"

fail() { echo "$check: $*" >&2; exit 1; }
ok() { echo "ok $*"; }
need() { command -v "$1" >/dev/null || { echo "$check: there is no $1 here" >&2; exit 77; }; }

# Programs that this check started and has not ended.
running=()
finish() {
    local status=$?
    set +e
    for program in "${running[@]}"; do
        kill -9 "$program" 2>/dev/null && wait "$program" 2>/dev/null
    done
    if [ $status = 0 ] || [ -z "${KEEP:-}" ]; then rm -rf "$scratch"; else
        echo "$check: logs are in $scratch" >&2
    fi
}
trap finish EXIT

# start LOG COMMAND...: run it in the background; its id is in $started.
start() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 </dev/null &
    started=$!
    running+=("$started")
}

# end PID [SIGNAL]: end what `start` started, and wait for it.
end() {
    kill "-${2:-TERM}" "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
    local left=() program
    for program in "${running[@]}"; do [ "$program" = "$1" ] || left+=("$program"); done
    running=("${left[@]}")
}

# within SECONDS WHAT COMMAND...: until the command succeeds.
within() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "not in time: $what"
        sleep 0.2
    done
}

# once FOLDER PINS COMMAND...: run the command in .work/ecosystem/FOLDER unless it has been run
# with these pins before.
once() {
    local folder=$cache/$1 pins=$2
    shift 2
    [ "$(cat "$folder/pins" 2>/dev/null)" != "$pins" ] || return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && "$@") >"$folder.install.log" 2>&1 ||
        fail "not installed: $(tail -5 "$folder.install.log")"
    echo "$pins" >"$folder/pins"
}

# What is in no registry of packages is built from a checkout, if somebody laid one there.
source_of() {
    source=$cache/sources/$1
    [ -d "$source" ] || { echo "$check: there is no checkout in $source" >&2; exit 77; }
}

venv() {
    python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check "$@"
}

node_modules() { npm install --no-audit --no-fund --no-save --no-package-lock "$@"; }

java_classes() {
    cp "$here/java/pom.xml" .
    mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
    javac -cp 'lib/*' -d classes "$here"/java/*.java
}

# Apache Kafka's jars and our own classes; the class path is in $classes.
install_java() {
    need mvn
    need javac
    once java "$(cat "$here"/java/* | cksum)" java_classes
    classes="$cache/java/classes:$cache/java/lib/*"
}

# Start the shell in which `tool` runs Apache Kafka's command-line tools.
open_tools() {
    mkfifo "$scratch/commands" "$scratch/codes"
    "${small_jvm[@]}" -cp "$classes" ToolShell "$scratch/out" "$scratch/errors" \
        <"$scratch/commands" >"$scratch/codes" 2>"$scratch/tools.log" &
    running+=($!)
    exec 8>"$scratch/commands" 9<"$scratch/codes"
}

# Run a main class with what `stdin` names; its exit code stays in $code, its words in $out.
run_tool() {
    local IFS=$'\x1f'
    printf '%s\x1f%s\n' "${stdin:-}" "$*" >&8
    stdin=
    read -r code <&9 || fail "the JVM of the tools is gone: $(tail -5 "$scratch/tools.log")"
    out=$(cat "$scratch/out")
}

# A tool that must succeed.
tool() {
    run_tool "$@"
    [ "$code" = 0 ] || fail "$* ends with $code: $out $(head -5 "$scratch/errors")"
}

# A tool that has something to complain of. Not all tell by their exit code.
complaint() {
    run_tool "$@"
    out+=$(cat "$scratch/errors")
}

# says WHAT PATTERN: the last tool said so.
says() { grep -qE -- "$2" <<<"$out" || fail "$1: no line like '$2' in: $out"; }
says_not() { ! grep -qE -- "$2" <<<"$out" || fail "$1: a line like '$2' in: $out"; }

at() { tool "$@" --bootstrap-server "$bootstrap"; }
# Some tools take the server's address only before their subcommand.
at_first() { local class=$1; shift; tool "$class" --bootstrap-server "$bootstrap" "$@"; }
refused() { complaint "$@" --bootstrap-server "$bootstrap"; }

tools=org.apache.kafka.tools
topics() { at $tools.TopicCommand "$@"; }
configs() { at kafka.admin.ConfigCommand "$@"; }
groups() { at $tools.consumer.group.ConsumerGroupCommand "$@"; }
share_groups() { at $tools.consumer.group.ShareGroupCommand "$@"; }
offsets() { at $tools.GetOffsetShell "$@"; }

free_port() {
    python3 -c 'import socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    print(probe.getsockname()[1])'
}

# The topics of one partition that a program reads from and writes to.
make_topics() {
    install_java
    open_tools
    topics --create --topic "$unique-source" --partitions 1
    topics --create --topic "$unique-target" --partitions 1
}

# Kill the server with -9 and start it again, where `scripts/ecosystem.sh` runs it.
may_restart() { [ -n "${SERVER_CONTROL:-}" ]; }
restart_server() {
    rm -f "$SERVER_CONTROL/done"
    touch "$SERVER_CONTROL/restart"
    within 60 "a restart of the server" test -e "$SERVER_CONTROL/done"
}
