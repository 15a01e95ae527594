#!/usr/bin/env bash
# Writes a CycloneDX 1.5 list of everything that is linked into g3n to the file given: the same bytes for the same Cargo.lock,
# SOURCE_DATE_EPOCH and target. cargo-cyclonedx makes it; where that is missing it is installed below target/tools.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
version=0.5.9
tools=$PWD/target/tools
export PATH=$PATH:$tools/bin
if ! cargo cyclonedx --version 2>/dev/null | grep -qF "$version"; then
  $cargo install --quiet --locked --root "$tools" --target-dir target/tools/build "cargo-cyclonedx@$version" >&2 || {
    echo "sbom: cargo-cyclonedx $version cannot be installed; install it, or pack with SBOM=0, without a list" >&2
    exit 1
  }
  rm -rf target/tools/build
fi

target=$(rustc -vV | sed -n 's/^host: //p')
# It writes beside Cargo.toml and nowhere else.
made=sbom-$$
trap 'rm -f "$made.json"' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --override-filename "$made" >&2
# Where the source lies is nobody's business, and differs from machine to machine.
sed "s|path+file://$PWD|path+file:///metarecord|g" "$made.json" >"$out"
