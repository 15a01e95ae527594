#!/usr/bin/env bash
# Makes dist/metarecord-VERSION-TARGET.tar.gz, beside it the program's line tables (.debug), and SHA256SUMS: the same bytes for
# the same commit and compiler.
#
# Settings: BINARY, a program that is already built, instead of building one; VERSION; DIST, the directory to write into;
# SBOM=0 leaves out the list of components, for a machine that cannot install what makes it.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
dist=${DIST:-dist}
build_dir=${PACK_TARGET_DIR:-target/pack}
level=${GZIP_LEVEL:-9}

# A commit has one time, so what is made of it has one too. Outside of a repository there is none.
commit_time() { git log -1 --format=%ct 2>/dev/null || echo 0; }
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(commit_time)}

# 0.1.0 at the tag v0.1.0; elsewhere the commit is told too, and whether it is the commit alone.
version() {
  local number
  number=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  git rev-parse --git-dir >/dev/null 2>&1 || { echo "$number"; return; }
  local dirty=''
  [ -z "$(git status --porcelain)" ] || dirty=.dirty
  if [ -z "$dirty" ] && [ "$(git tag --points-at HEAD --list "v$number")" = "v$number" ]; then
    echo "$number"
  else
    echo "$number+g$(git rev-parse --short=10 HEAD)$dirty"
  fi
}

# Neither where the source lies nor where packages are kept gets into the program, nor into the parts of it that are C.
build() {
  local registry=${CARGO_HOME:-$HOME/.cargo}
  local flags="--remap-path-prefix=$PWD=/metarecord --remap-path-prefix=$registry=/cargo"
  local c_flags="-ffile-prefix-map=$PWD=/metarecord -ffile-prefix-map=$registry=/cargo"
  RUSTFLAGS="$flags" CFLAGS="$c_flags" CARGO_INCREMENTAL=0 \
    $cargo build --release --locked --bin g3n --target-dir "$build_dir" >&2 || return 1
  echo "$build_dir/release/g3n"
}

# Each package that is linked in or served to browsers, with its version and licence.
third_parties() {
  {
    $cargo tree --locked --edges normal,build --prefix none --no-dedupe --format '{p}	{l}' |
      grep -v '^metarecord v' | sed 's/ (proc-macro)//'
    deploy/assets.sh '%s v%s\t%s\n'
  } | LC_ALL=C sort -u
}

version=${VERSION:-$(version)}
target=$(rustc -vV | sed -n 's/^host: //p')
name=metarecord-$version-$target
# A build that fails must not leave an older program to be packed.
if [ -n "${BINARY:-}" ]; then binary=$BINARY; else binary=$(build); fi
[ -x "$binary" ] || { echo "pack: $binary is not a program" >&2; exit 1; }

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/$name
mkdir -p "$root"/{bin,share/man/man1,share/completions,deploy}
cp "$binary" "$stage/g3n"
chmod 755 "$stage/g3n"
deploy/strip.sh "$stage/g3n" "$root/bin"
mkdir -p "$dist"
debug=$dist/$name.debug
rm -f "$debug"
[ ! -e "$root/bin/g3n.debug" ] || mv "$root/bin/g3n.debug" "$debug"

cp LICENSE-MIT LICENSE-APACHE SECURITY.md "$root/"
third_parties >"$root/THIRD-PARTY.tsv"
mkdir -p "$root/licences/swagger-ui"
cp assets/swagger-ui/{LICENSE,NOTICE,swagger-ui-bundle.js.LICENSE.txt} "$root/licences/swagger-ui/"
[ "${SBOM:-1}" = 0 ] || deploy/sbom.sh "$root/sbom.cdx.json"
# As in the repository, so that the pages' links lead somewhere.
cp README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md "$root/"
cp -R docs "$root/"
cp -R deploy/systemd deploy/release.sh deploy/destroy.sh "$root/deploy/"
"$root/bin/g3n" man --dir "$root/share/man/man1" >/dev/null
for shell in bash zsh fish; do "$root/bin/g3n" completions "$shell" >"$root/share/completions/g3n.$shell"; done
printf '%s\n' "$version" >"$root/VERSION"

archive=$dist/$name.tar.gz
# Names in one order, one time, one owner, modes without the umask of whoever packs, and no time in the head of the gzip.
chmod -R u=rwX,go=rX "$root"
tar --create --directory "$stage" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
  --owner=0 --group=0 --numeric-owner "$name" | gzip "-$level" --no-name >"$archive.new"
mv "$archive.new" "$archive"
# What was packed before stays listed as long as it is there.
(cd "$dist" && shopt -s nullglob && LC_ALL=C sha256sum -- *.debug *.tar.gz >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
echo "$archive"
