#!/bin/sh
# Builds bindings.wasm and writes SHA256SUMS. Installs nothing; README.md says what it needs.
set -eu
cd "$(dirname "$0")"
target=wasm32-unknown-unknown

if [ -n "${WASM_RUSTC:-}" ]; then # a compiler without the target, but with the sources of std
    export RUSTC="$WASM_RUSTC" RUSTC_BOOTSTRAP=1
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld)
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
    set -- -Zbuild-std=std,panic_abort
elif [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    set --
else
    echo "bindings needs: rustup target add $target (or WASM_RUSTC, see README.md)" >&2
    exit 3
fi

# No path of this machine ends up in the guest.
crates=$(cargo fetch --quiet --locked && ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/* | head -n 1)
CARGO_ENCODED_RUSTFLAGS=$(printf -- '--remap-path-prefix=%s\037--remap-path-prefix=%s\037--remap-path-prefix=%s' \
    "$PWD=bindings" "$crates=crates" "$("${RUSTC:-rustc}" --print sysroot)=rust")
export CARGO_ENCODED_RUSTFLAGS

cargo build --quiet --release --locked --target "$target" --target-dir target "$@"
install -m 644 "target/$target/release/bindings.wasm" .
{ echo "# $("${RUSTC:-rustc}" --version)"; sha256sum bindings.wasm; } > SHA256SUMS
