#!/usr/bin/env bash
# Fuzz one target, or each of them: scripts/fuzz.sh [seconds] [target ...]
# Needs no nightly toolchain. Installs cargo-fuzz if it is missing. What fails is written to
# integration/fuzz/artifacts; put it into the corpus once it is mended, and it is replayed by
# `cargo test -p ratel-integration --test corpus` from then on.
set -euo pipefail
cd "$(dirname "$0")/../integration"

seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(request_decode batch_parse segment_recovery)
fi
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version 0.13.2

for target in "${targets[@]}"; do
    # New inputs go to a directory of their own; the kept corpus is only read.
    mkdir -p "fuzz/found/$target"
    cargo fuzz run --sanitizer none "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=300
done
