#!/usr/bin/env bash
# Install what building and testing need and Debian has, where it is missing. The toolchains of
# the languages themselves (Rust; for the tests also Go, Java with Maven, Node and Python) are
# expected to be here.
set -euo pipefail

missing=()
command -v kcat >/dev/null || missing+=(kcat)
command -v cmake >/dev/null || missing+=(cmake)
command -v make >/dev/null || missing+=(make)
command -v c++ >/dev/null || missing+=(g++)
command -v pkg-config >/dev/null || missing+=(pkg-config)
command -v curl >/dev/null || missing+=(curl)
command -v ps >/dev/null || missing+=(procps)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "install: please install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -yq "${missing[@]}" >/dev/null
fi

command -v cargo >/dev/null || {
    echo "install: there is no cargo; install Rust's toolchain first" >&2
    exit 1
}
