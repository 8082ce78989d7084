#!/bin/sh
# What CI runs, and anyone can by hand. No privileges: the programs run in a virtual machine.
set -eu
cd "$(dirname "$0")"
cargo fmt --check
cargo clippy --workspace --all-targets -- -D warnings
cargo test --workspace
