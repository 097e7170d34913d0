#!/bin/sh
# Builds guest.wasm and writes SHA256SUMS. Installs nothing; ../README.md says what it needs.
set -eu
cd "$(dirname "$0")"

# WASI_SYSROOT names a sysroot outside of clang's own paths, such as the one of the WASI SDK.
set -- ${WASI_SYSROOT:+"--sysroot=$WASI_SYSROOT"}
if ! echo '#include <stdio.h>' | clang --target=wasm32-wasi "$@" -E - > /dev/null 2>&1 || ! command -v wasm-ld > /dev/null; then
    echo "the C guest for WASI needs: clang, lld, wasi-libc (apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32)" >&2
    exit 3
fi

# wapc.h is that of the quick start, menu.h that of the C guest without a library.
clang --target=wasm32-wasi "$@" -fuse-ld="$(command -v wasm-ld)" -Os \
    -Wall -Wextra -Werror -Wl,--strip-all -I../c -I../../../examples/quickstart/relay -o guest.wasm guest.c
chmod 644 guest.wasm
{ echo "# $(clang --version | head -n 1), $(wasm-ld --version)"; sha256sum guest.wasm; } > SHA256SUMS
