#!/usr/bin/env bash
# The long campaign: many kills under load, each run with a seed of its own, and disks and
# descriptors that run out again and again.
#
#   scripts/faults.sh [KILLS [RUNS]]              300 kills in all by default, in runs of 100
#   scripts/faults.sh queue [SECONDS [SEED...]]   a queue and its workers for so long (300), once
#                                                 for each seed, or with one by chance
#   scripts/faults.sh exactly-once [IDS [SEED]]   so many ids (1,000,000) through transactions of
#                                                 workers that are killed, as is the server
#
# A run that fails prints its seed and the command that repeats it.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
export RATEL_BIN=$target/checked/ratel

scripts/install.sh
cargo build --profile checked --workspace --lib --bins --tests --quiet
if [ "${1:-}" = queue ]; then
    seconds=${2:-300}
    seeds=("${@:3}")
    [ ${#seeds[@]} != 0 ] || seeds=("$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')")
    for seed in "${seeds[@]}"; do
        echo "a queue for $seconds s, seed $seed"
        QF1_SECONDS=$seconds QF1_SEED=$seed \
            cargo test --profile checked --workspace --quiet --test queue_faults -- --nocapture
    done
    echo "${#seeds[@]} passed, 0 failed"
    exit
fi
if [ "${1:-}" = exactly-once ]; then
    ids=${2:-1000000} seed=${3:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
    echo "exactly once: $ids ids, seed $seed"
    EOS_IDS=$ids EOS_SEED=$seed \
        cargo test --profile checked --workspace --quiet --test exactly_once -- --nocapture
    echo "1 passed, 0 failed"
    exit
fi
kills=${1:-100} runs=${2:-3}
for run in $(seq "$runs"); do
    seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    echo "run $run of $runs: $kills kills, seed $seed"
    FT1_KILLS=$kills FT1_SEED=$seed \
        cargo test --profile checked --workspace --quiet --test faults -- --nocapture
    cargo test --profile checked --workspace --quiet --test exhaustion -- --nocapture
done
echo "$runs passed, 0 failed"
