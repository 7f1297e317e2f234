#!/usr/bin/env bash
# Measures ratel beside Apache Kafka in one run, A B A B, and writes docs/performance.md.
#
#   scripts/bench.sh               the whole matrix (about an hour)
#   scripts/bench.sh --quick       a few cells, to see that everything runs; writes nothing
#   scripts/bench.sh --minutes 20  begin no cell after 20 minutes
#   scripts/bench.sh --only NAME   the cells whose name contains NAME (repeatable)
#   scripts/bench.sh --only queue  the cells of share groups (about ten minutes); writes their part
#                                  of docs/performance.md
#   scripts/bench.sh --only transactions   the cells of transactions (a few minutes)
#   scripts/bench.sh --only rebalance  rebalances of 100 members (two minutes); writes nothing
#   scripts/bench.sh --only compaction  ten million keys cleaned (half an hour); writes nothing
#   LIMITS=DIR scripts/bench.sh    show the machine's floor too: DIR/run.sh FILE TEST... measures it
#
# Needs Rust, Java, Maven and Python; everything else it fetches into .work/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/kafka.sh

work=.work/bench
mkdir -p "$work"

cargo build --release --quiet -p ratel-server
cargo build --release --quiet -p ratel-integration --example load

install_kafka

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
    --load "$target/release/examples/load" --kafka "$kafka_libs" --work "$work" "$@"
