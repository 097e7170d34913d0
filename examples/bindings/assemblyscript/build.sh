#!/bin/sh
# Builds bindings.wasm and writes SHA256SUMS. Installs nothing; README.md says what it needs.
set -eu
cd "$(dirname "$0")"

if [ ! -x node_modules/.bin/asc ]; then
    echo "bindings needs: npm ci --ignore-scripts (in $PWD)" >&2
    exit 3
fi

npm run --silent build
{ echo "# assemblyscript $(node_modules/.bin/asc --version)"; sha256sum bindings.wasm; } > SHA256SUMS
