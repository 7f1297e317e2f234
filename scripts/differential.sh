#!/usr/bin/env bash
# Asks ratel and Apache Kafka the same, error cases above all, and prints where they differ.
#
#   scripts/differential.sh            all scenarios
#   scripts/differential.sh NAME...    those whose name contains one of these
#   scripts/differential.sh all NAME   print every answer, not only differences
#   scripts/differential.sh random=SEED,COUNT   so many random requests that follow from the seed
#
# What is different on purpose is in integration/examples/differential/expected.txt and is
# explained in docs/compatibility.md (of random requests, in expected_random.txt); anything else
# ends the run with 1. A scenario with a difference is run again by itself: what is different in one
# of the two runs only is printed as UNSTEADY, and is no difference.
# Needs Rust, Java, Maven and Python; Kafka is fetched into .work/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/kafka.sh

cargo build --profile checked --quiet -p ratel-server --bin ratel
cargo build --profile checked --quiet -p ratel-integration --example differential
install_kafka

built=${CARGO_TARGET_DIR:-target}/checked
exec python3 scripts/differential/run.py --ratel "$built/ratel" \
    --differential "$built/examples/differential" --kafka "$kafka_libs" \
    --work .work/differential "$@"
