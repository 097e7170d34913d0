#!/bin/sh
# Builds visits-1.wasm, visits-2.wasm and visits-3.wasm, and writes SHA256SUMS. Installs nothing; it needs what
# examples/quickstart/greeter/README.md says.
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
    echo "visits needs: rustup target add $target (or WASM_RUSTC, see examples/quickstart/greeter/README.md)" >&2
    exit 3
fi

# No path of this machine ends up in the guest.
crates=$(cargo fetch --quiet --locked && ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/* | head -n 1)
CARGO_ENCODED_RUSTFLAGS=$(printf -- '--remap-path-prefix=%s\037--remap-path-prefix=%s\037--remap-path-prefix=%s' \
    "$PWD=visits" "$crates=crates" "$("${RUSTC:-rustc}" --print sysroot)=rust")
export CARGO_ENCODED_RUSTFLAGS

for build in 1 2 3; do
    [ $build = 1 ] && feature= || feature=build-$build
    cargo build --quiet --release --locked --features "$feature" --target "$target" --target-dir target "$@"
    install -m 644 "target/$target/release/visits.wasm" "visits-$build.wasm"
done
{ echo "# $("${RUSTC:-rustc}" --version)"; sha256sum visits-?.wasm; } > SHA256SUMS
