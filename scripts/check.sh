#!/usr/bin/env bash
# What every commit must pass: format, lints, unit and machine tests, documentation.
# The whole proof, with real clients and faults, is scripts/test.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    local name=$1 began=$SECONDS
    shift
    "$@" || { echo "check: $name failed" >&2; exit 1; }
    echo "check: $name ok, $((SECONDS - began)) s"
}

step format cargo fmt --all --check
step lints cargo clippy --workspace --all-targets --quiet -- -D warnings
step tests cargo test --workspace --lib --bins --quiet
step documentation env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps \
    --document-private-items --quiet
