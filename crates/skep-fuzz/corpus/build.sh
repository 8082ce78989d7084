#!/bin/sh
# Builds the corpus: small objects of two compilers and both byte orders, without DWARF.
# The results are committed; run this again only to change them.
set -eu
cd "$(dirname "$0")"

build() { # compiler, target, name, flags...
	compiler=$1 target=$2 name=$3 source=$4
	shift 4
	"$compiler" -O2 -target "$target" -mcpu=v3 -I. "$@" -Wall -Wno-unused -c "$source" -o "$name.obj"
	llvm-strip-14 -g "$name.obj"
}

build clang-14 bpfel core-14 core.c -g
build clang-19 bpfel core-19 core.c -g -DTYPE_MATCHES
build clang-19 bpfeb core-19-be core.c -g -DTYPE_MATCHES
build clang-14 bpfel maps-14 maps.c -g
build clang-19 bpfel maps-19 maps.c -g -mcpu=v4
build clang-14 bpfel packets-14 packets.c
build clang-19 bpfeb packets-19-be packets.c -g
for half in 1 2; do
	build clang-14 bpfel half-$half-14 halves.c -g -DHALF=$half
	build clang-19 bpfel half-$half-19 halves.c -g -DHALF=$half
	build clang-19 bpfeb half-$half-19-be halves.c -g -DHALF=$half
done

# Static probe points of programs.
clang-14 -target x86_64-linux-gnu -c points.S -o points.o
ld -z noseparate-code -z max-page-size=0x10 --build-id=none -o points-x86-64.obj points.o
clang-14 -target aarch64-linux-gnu -c points.S -o points-arm64.obj
clang-14 -target aarch64_be-linux-gnu -c points.S -o points-arm64-be.obj
rm points.o

# What rustc leaves of a program, before it is finished: cargo's own is where Skep reads it.
package=$(mktemp -d)
mkdir "$package/src"
cp rust.rs "$package/src/lib.rs"
cat >"$package/Cargo.toml" <<TOML
[package]
name = "rust"
version = "0.1.0"
edition = "2024"
[dependencies]
skep-ebpf = { path = "$PWD/../../skep-ebpf" }
[workspace]
TOML
cargo run -p skep-cli -- build "$package" -o "$package/rust.o"
cp "$package/target/bpfel-skep/bpf/deps/rust.unfinished.o" rust.obj
rm -r "$package"
