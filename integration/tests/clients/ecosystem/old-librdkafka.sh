#!/usr/bin/env bash
# The story through librdkafka of years ago. usage: old-librdkafka.sh HOST:PORT
. "$(dirname "$0")/words.sh"
need cargo

# A program outside the workspace, with the librdkafka that this rdkafka-sys brings along.
tell() {
    local rdkafka=$1 sys=$2 folder=$cache/librdkafka-$2
    mkdir -p "$folder/src"
    if [ ! -f "$folder/Cargo.lock" ]; then
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
        cp "$here/librdkafka/story.rs" "$folder/src/main.rs"
        (cd "$folder" && cargo update --quiet -p rdkafka-sys --precise "$sys")
    fi
    cp "$here/librdkafka/story.rs" "$folder/src/main.rs"
    # Old C that newer compilers only warn about by default is let through.
    (cd "$folder" && CFLAGS="${CFLAGS:-} -w" CARGO_TARGET_DIR=$folder/target cargo build --quiet)
    "$folder/target/debug/story" "$bootstrap"
}

tell 0.29.0 4.3.0+1.9.2
tell 0.36.0 4.7.0+2.3.0
