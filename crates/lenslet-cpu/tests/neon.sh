#!/bin/sh
# Builds tests for 64-bit Arm on a Debian machine of another kind and runs them under emulation: all kernels with NEON, and
# what stands on them. That takes some 20 minutes, most of them to build; arguments, if any, are handed to `cargo test`
# instead (`neon.sh -p lenslet-cpu --lib conv2d`).
set -e
cd "$(dirname "$0")/../../.."
if ! { command -v aarch64-linux-gnu-gcc && command -v qemu-aarch64; } > /dev/null; then
    echo "first: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
    exit 1
fi
rustup target add aarch64-unknown-linux-gnu
export CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
# Fewer random sizes: an emulated processor is slow.
export PROPTEST_CASES="${PROPTEST_CASES:-16}"
if [ $# -gt 0 ]; then
    exec cargo test --locked "$@"
fi
cargo test --locked -p lenslet-cpu -p lenslet-graph --tests
cargo test --locked -p lenslet --test pytorch --test threads
