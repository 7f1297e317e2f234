#!/usr/bin/env bash
# The story through clients of years ago: librdkafka 1.9 and 2.3, kafka-clients 2.1 and 3.9.
# Longer than the tests of every change, so run by hand and before a release.
#
#   scripts/ecosystem.sh                start a server of this tree and tell it the stories
#   scripts/ecosystem.sh HOST:PORT      tell them to any server
set -euo pipefail
cd "$(dirname "$0")/.."
stories=$PWD/integration/tests/clients/ecosystem
work=$PWD/.work/ecosystem
mkdir -p "$work"
passed=0 failed=0

die() { echo "ecosystem: $*" >&2; exit 1; }

# A program outside the workspace, with the librdkafka that this rdkafka-sys brings along.
librdkafka() {
    local rdkafka=$1 sys=$2 folder=$work/librdkafka-$2
    if [ ! -f "$folder/Cargo.lock" ]; then
        mkdir -p "$folder/src"
        cat >"$folder/Cargo.toml" <<TOML
[package]
name = "story"
version = "0.1.0"
edition = "2021"

[dependencies]
rdkafka = { version = "=$rdkafka", features = ["libz", "zstd"] }
tokio = { version = "1", features = ["rt-multi-thread"] }

[workspace]
TOML
        cp "$stories/librdkafka/story.rs" "$folder/src/main.rs"
        (cd "$folder" && cargo update --quiet -p rdkafka-sys --precise "$sys")
    fi
    cp "$stories/librdkafka/story.rs" "$folder/src/main.rs"
    # Old C that newer compilers only warn about by default is let through.
    (cd "$folder" && CFLAGS="${CFLAGS:-} -w" CARGO_TARGET_DIR=$folder/target \
        cargo build --quiet) || return
    timeout 300 "$folder/target/debug/story" "$address"
}

java_client() {
    local version=$1 folder=$work/kafka-clients-$1
    if [ ! -d "$folder/classes" ]; then
        mkdir -p "$folder"
        cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ratel</groupId>
  <artifactId>story</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-clients</artifactId>
      <version>$version</version>
    </dependency>
  </dependencies>
</project>
POM
        (cd "$folder" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib)
    fi
    javac -cp "$folder/lib/*" -d "$folder/classes" "$stories/java/OldStory.java"
    timeout 300 java -cp "$folder/classes:$folder/lib/*" OldStory "$address"
}

tell() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if ("$@") >"$work/$name.log" 2>&1; then
        passed=$((passed + $(grep -c '^ok ' "$work/$name.log")))
        grep -E '^(ok|librdkafka|kafka-clients) ' "$work/$name.log"
    else
        failed=$((failed + 1))
        tail -30 "$work/$name.log"
        echo "FAILED after $((SECONDS - start)) s"
    fi
}

scripts/install.sh
if [ $# = 1 ]; then
    address=$1
else
    cargo build --quiet --release -p ratel-server
    rm -rf "$work/data" "$work/server.out"
    port=29492
    address=127.0.0.1:$port
    cat >"$work/server.properties" <<PROPERTIES
listeners=PLAINTEXT://$address
http.listen=127.0.0.1:0
log.dirs=$work/data
group.initial.rebalance.delay.ms=0
PROPERTIES
    "${CARGO_TARGET_DIR:-target}/release/ratel" serve --config "$work/server.properties" \
        >"$work/server.out" 2>"$work/server.log" &
    server=$!
    trap 'kill $server' EXIT
    for _ in $(seq 100); do
        grep -qx 'ratel ready' "$work/server.out" && break
        sleep 0.1
    done
    grep -qx 'ratel ready' "$work/server.out" || die "no server: $(tail -5 "$work/server.log")"
fi

tell librdkafka-1.9 librdkafka 0.29.0 4.3.0+1.9.2
tell librdkafka-2.3 librdkafka 0.36.0 4.7.0+2.3.0
tell kafka-clients-2.1 java_client 2.1.1
tell kafka-clients-3.9 java_client 3.9.1
echo "$passed passed, $failed failed"
[ $failed = 0 ]
