#!/bin/sh
# Makes a Rust compiler for WebAssembly where no rustup target can be had: fetches Debian's `rustc-web` with the
# sources of its standard library (about 140 MB) and unpacks them into DIR. Installs nothing; remove DIR to undo it.
#
#     examples/rustc-web.sh DIR
#     WASM_RUSTC=DIR/rustc examples/quickstart/greeter/build.sh
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 64; }
mkdir -p "$1"
cd "$1"

# Two of the packages carry a version in their name.
versioned=$(apt-cache depends --recurse --no-suggests --no-recommends --no-conflicts --no-breaks --no-replaces \
    --no-enhances rustc-web | grep -oE '^(libstd-rust-web-[0-9.]+|libllvm[0-9]+)$' | sort -u)
# shellcheck disable=SC2086 # one argument a package
apt-get download rustc-web rust-web-src libstd-rust-web-dev $versioned
for package in *.deb; do
    dpkg -x "$package" .
    rm "$package"
done

cat > rustc <<END
#!/bin/sh
LD_LIBRARY_PATH=$PWD/usr/lib/x86_64-linux-gnu exec $PWD/usr/bin/rustc "\$@"
END
chmod +x rustc
./rustc --version
