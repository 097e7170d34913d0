#!/bin/sh
# Builds relay.wasm and writes SHA256SUMS. Installs nothing; README.md says what it needs.
set -eu
cd "$(dirname "$0")"

if ! command -v clang > /dev/null || ! command -v wasm-ld > /dev/null; then
    echo "relay needs: clang and lld (apt-get install clang lld)" >&2
    exit 3
fi

clang --target=wasm32 -fuse-ld="$(command -v wasm-ld)" -Os -ffreestanding -nostdlib \
    -Wall -Wextra -Werror -Wl,--no-entry -Wl,--strip-all -o relay.wasm relay.c
chmod 644 relay.wasm
{ echo "# $(clang --version | head -n 1), $(wasm-ld --version)"; sha256sum relay.wasm; } > SHA256SUMS
