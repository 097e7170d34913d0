#!/bin/sh
# Builds shout.wasm and writes SHA256SUMS. Installs nothing; README.md says what it needs.
set -eu
cd "$(dirname "$0")"

if command -v zig > /dev/null; then zig=zig
elif command -v python-zig > /dev/null; then zig=python-zig
else
    echo "shout needs: Zig 0.15 (https://ziglang.org/download, or pip install ziglang==0.15.2)" >&2
    exit 3
fi

"$zig" build-exe shout.zig -target wasm32-freestanding -O ReleaseSmall -fstrip -fno-entry -rdynamic \
    -femit-bin=shout.wasm
rm -f shout.wasm.o
chmod 644 shout.wasm
{ echo "# zig $("$zig" version)"; sha256sum shout.wasm; } > SHA256SUMS
