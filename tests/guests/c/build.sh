#!/bin/sh
# Builds guest.wasm and writes SHA256SUMS. Installs nothing; ../README.md says what it needs.
set -eu
cd "$(dirname "$0")"

if ! command -v clang > /dev/null || ! command -v wasm-ld > /dev/null; then
    echo "the C guest needs: clang and lld (apt-get install clang lld)" >&2
    exit 3
fi

# wapc.h and arena.h are those of the quick start.
clang --target=wasm32 -fuse-ld="$(command -v wasm-ld)" -Os -ffreestanding -nostdlib \
    -Wall -Wextra -Werror -Wl,--no-entry -Wl,--strip-all -I../../../examples/quickstart/relay -o guest.wasm guest.c
chmod 644 guest.wasm
{ echo "# $(clang --version | head -n 1), $(wasm-ld --version)"; sha256sum guest.wasm; } > SHA256SUMS
