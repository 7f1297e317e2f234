#!/usr/bin/env bash
# Measures ratel beside Apache Kafka in one run, A B A B, and writes docs/performance.md.
#
#   scripts/bench.sh               the whole matrix (about an hour)
#   scripts/bench.sh --quick       a few cells, to see that everything runs; writes nothing
#   scripts/bench.sh --minutes 20  begin no cell after 20 minutes
#   scripts/bench.sh --only NAME   the cells whose name contains NAME (repeatable)
#   scripts/bench.sh --only queue  the cells of share groups (about ten minutes); writes their part
#                                  of docs/performance.md
#   LIMITS=DIR scripts/bench.sh    show the machine's floor too: DIR/run.sh FILE TEST... measures it
#
# Needs Rust, Java, Maven and Python; everything else it fetches into .work/.
set -euo pipefail
cd "$(dirname "$0")/.."

work=.work/bench
kafka_version=4.3.1
mkdir -p "$work"

cargo build --release --quiet -p ratel-server
cargo build --release --quiet -p ratel-integration --example load

kafka=.work/kafka-$kafka_version
if [ ! -d "$kafka/libs" ]; then
    mkdir -p "$kafka"
    cat > "$kafka/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>$kafka_version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
      <version>$kafka_version</version></dependency>
  </dependencies>
</project>
XML
    (cd "$kafka" && mvn -q dependency:copy-dependencies -DoutputDirectory=libs.new &&
        mv libs.new libs)
fi

venv=.work/bench-venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'matplotlib==3.10.*'
fi

if [ -n "${LIMITS:-}" ]; then
    rm -f "$work/limits.txt"
    bash "$LIMITS/run.sh" "$PWD/$work/limits.txt" crc tcp write fsync
fi

target=${CARGO_TARGET_DIR:-target}
exec "$venv/bin/python" scripts/bench/run.py --ratel "$target/release/ratel" \
    --load "$target/release/examples/load" --kafka "$kafka/libs" --work "$work" "$@"
