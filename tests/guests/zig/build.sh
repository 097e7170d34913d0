#!/bin/sh
# Builds guest.wasm and writes SHA256SUMS. Installs nothing; ../README.md says what it needs.
set -eu
cd "$(dirname "$0")"

if command -v zig > /dev/null; then zig=zig
elif command -v python-zig > /dev/null; then zig=python-zig
else
    echo "the Zig guest needs: Zig 0.15 (https://ziglang.org/download, or pip install ziglang==0.15.2)" >&2
    exit 3
fi

# wapc.zig is that of the quick start.
"$zig" build-exe -target wasm32-freestanding -O ReleaseSmall -fstrip -fno-entry -rdynamic -femit-bin=guest.wasm \
    --dep wapc -Mroot=guest.zig -Mwapc=../../../examples/quickstart/shout/wapc.zig
rm -f guest.wasm.o
chmod 644 guest.wasm
{ echo "# zig $("$zig" version)"; sha256sum guest.wasm; } > SHA256SUMS
