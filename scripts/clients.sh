#!/usr/bin/env bash
# Tell one story through a Kafka client that was written elsewhere, against any server:
#
#   scripts/clients.sh install NAME...         fetch what the clients need, once, into .work/
#   scripts/clients.sh run NAME HOST:PORT      tell the story; the server must be running
#   scripts/clients.sh names                   the clients there are
#
# The programs are in integration/tests/clients/. Each prints `ok <what it checked>` lines, or
# says what is wrong and ends with 1.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/.work/clients
stories=$root/integration/tests/clients

names="kcat confluent-kafka kafka-python aiokafka kafkajs franz-go
java java-share java-transactions java-consumer java-migration"
# Checks of `scripts/ecosystem.sh` that are short enough for the tests of every change; each
# installs what it needs itself.
short="tools-topics tools-groups tools-cluster tools-configs tools-local tools-transactions"
short+=" consoles"

die() { echo "clients: $*" >&2; exit 1; }

# need COMMAND: a language that is not on this machine ends with 77, so that who called can tell.
need() { command -v "$1" >/dev/null || { echo "clients: there is no $1 here" >&2; exit 77; }; }

# once NAME PINS COMMAND...: run the command in .work/clients/NAME unless it has been run with
# these pins before.
once() {
    local name=$1 pins=$2
    shift 2
    local folder=$work/$name
    [ "$(cat "$folder/pins" 2>/dev/null)" = "$pins" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && "$@") >"$work/$name.install.log" 2>&1 ||
        die "$name is not installed: $(tail -5 "$work/$name.install.log")"
    echo "$pins" >"$folder/pins"
}

venv() {
    python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check "$@"
}

python_client() {
    need python3
    once "$1" "$*" venv "${@:2}"
}

node_modules() {
    npm install --no-audit --no-fund --no-save --no-package-lock "$@"
}

go_program() {
    cd "$stories/franz-go"
    go build -mod=readonly -o "$work/franz-go/story" .
}

java_classes() {
    cp "$stories/java/pom.xml" .
    mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib
    javac -cp 'lib/*' -d classes "$stories"/java/*.java
}

sources() { cat "$@" | cksum; }

install() {
    case $1 in
        kcat) scripts/install.sh ;;
        confluent-kafka | confluent-migration)
            python_client confluent-kafka confluent-kafka==2.16.1
            ;;
        kafka-python)
            python_client "$1" kafka-python==3.0.12 lz4==4.4.4 python-snappy==0.7.3 \
                zstandard==0.23.0
            ;;
        aiokafka) python_client "$1" aiokafka==0.14.0 cramjam==2.11.0 ;;
        kafkajs)
            need npm
            once "$1" "$*" node_modules kafkajs@2.2.4 kafkajs-snappy@1.1.0
            ;;
        franz-go)
            need go
            once "$1" "$(sources "$stories"/franz-go/*)" go_program
            ;;
        java | java-share | java-transactions | java-consumer | java-migration)
            need mvn
            need javac
            once java "$(sources "$stories"/java/*)" java_classes
            ;;
        *) [[ " $short " == *" $1 "* ]] || die "no client $1; there are: $names $short" ;;
    esac
}

run() {
    local name=$1 bootstrap=$2 python=$work/$1/venv/bin/python
    export PYTHONDONTWRITEBYTECODE=1
    case $name in
        kcat) exec bash "$stories/kcat.sh" "$bootstrap" ;;
        confluent-kafka) exec "$python" "$stories/python/confluent_kafka_story.py" "$bootstrap" ;;
        confluent-migration)
            exec "$work/confluent-kafka/venv/bin/python" \
                "$stories/python/confluent_kafka_migration.py" "$bootstrap"
            ;;
        kafka-python) exec "$python" "$stories/python/kafka_python_story.py" "$bootstrap" ;;
        aiokafka) exec "$python" "$stories/python/aiokafka_story.py" "$bootstrap" ;;
        kafkajs) NODE_PATH=$work/kafkajs/node_modules exec node "$stories/kafkajs/story.js" \
            "$bootstrap" ;;
        franz-go) exec "$work/franz-go/story" "$bootstrap" ;;
        java) exec java -cp "$work/java/classes:$work/java/lib/*" Story "$bootstrap" ;;
        java-transactions)
            exec java -cp "$work/java/classes:$work/java/lib/*" TransactionStory "$bootstrap" ;;
        java-share) exec java -cp "$work/java/classes:$work/java/lib/*" ShareStory "$bootstrap" ;;
        java-consumer)
            exec java -cp "$work/java/classes:$work/java/lib/*" ConsumerStory "$bootstrap"
            ;;
        java-migration)
            exec java -cp "$work/java/classes:$work/java/lib/*" MigrationStory "$bootstrap"
            ;;
        *) exec bash "$stories/ecosystem/$name.sh" "$bootstrap" ;;
    esac
}

mkdir -p "$work"
case ${1:-} in
    install)
        shift
        for name in "$@"; do install "$name"; done
        ;;
    run)
        [ $# = 3 ] || die "usage: scripts/clients.sh run NAME HOST:PORT"
        install "$2"
        run "$2" "$3"
        ;;
    names) echo "$names $short" ;;
    *) die "usage: scripts/clients.sh install NAME... | run NAME HOST:PORT | names" ;;
esac
