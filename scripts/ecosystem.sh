#!/usr/bin/env bash
# What people run on top of Kafka, run on ratel: one check a row, each the real thing from its own
# registry. Longer than the tests of every change, so run by hand and before a release.
#
#   scripts/ecosystem.sh                       all checks on a server of this tree
#   scripts/ecosystem.sh --only NAME...        those whose name contains one of these
#   scripts/ecosystem.sh --on kafka            on Apache Kafka: how the checks are known to be right
#   scripts/ecosystem.sh --at HOST:PORT        on a server that runs already
#
# The checks are in integration/tests/clients/ecosystem/. What each said is kept in
# .work/ecosystem/logs. Needs Rust, Java, Maven, Node, Go and Python; a check that lacks its means
# is skipped. RATEL_BIN is the binary to test instead of a release build of this tree.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/kafka.sh

scripts/install.sh
install_kafka
if [ -z "${RATEL_BIN:-}" ]; then
    cargo build --quiet --release -p ratel-server --bin ratel
    RATEL_BIN=${CARGO_TARGET_DIR:-target}/release/ratel
fi
exec python3 scripts/ecosystem/run.py --ratel "$RATEL_BIN" --kafka "$kafka_libs" \
    --work .work/ecosystem "$@"
