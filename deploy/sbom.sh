#!/usr/bin/env bash
# Writes a CycloneDX 1.5 list of everything that is linked into g3n or served to browsers to the file given: the same bytes for
# the same Cargo.lock, assets, SOURCE_DATE_EPOCH and target. cargo-cyclonedx makes it; where that is missing it is installed below target/tools.
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
# It writes beside Cargo.toml and nowhere else, so it gets one beside which it may.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp Cargo.toml Cargo.lock build.rs "$place/"
for part in src tests benches examples; do ln -s "$PWD/$part" "$place/$part"; done
(cd "$place" && cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$target" --override-filename sbom >&2)
assets=$(deploy/assets.sh '{"type":"library","name":"%s","version":"%s","licenses":[{"expression":"%s"}]},' |
  sed -E 's/"name":"([^"]*)","version":"([^"]*)"/"bom-ref":"pkg:npm\/\1@\2",&,"purl":"pkg:npm\/\1@\2"/g')
# Where that was is nobody's business, and differs from time to time.
sed -e "s|path+file://$place|path+file:///metarecord|g" -e "s|^  \"components\": \[|&$assets|" "$place/sbom.json" >"$out"
