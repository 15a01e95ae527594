#!/usr/bin/env bash
# Packs, deploys, goes back from a release that does not start, and takes it all down, with a program that is already
# built: METARECORD_BIN.
set -euo pipefail
cd "$(dirname "$0")/../.."
# No profile, address or credential of this shell.
while read -r name; do unset "$name"; done < <(compgen -e G3N_)
binary=$(realpath "${METARECORD_BIN:-${CARGO_TARGET_DIR:-target}/debug/g3n}")

work=$(mktemp -d)
export PREFIX=$work/prefix DIST=$work/dist READY_SECONDS=60 STOP_SECONDS=30 GZIP_LEVEL=1
stop_all() {
  deploy/release.sh stop >/dev/null 2>&1 || true
  [ -z "${foreign:-}" ] || { kill -KILL "$foreign" 2>/dev/null || true; wait "$foreign" 2>/dev/null || true; }
  rm -rf "$work"
}
trap stop_all EXIT
fail() { echo "FAIL releases: $1"; [ ! -f "$work/out" ] || sed 's/^/    /' "$work/out"; exit 1; }
# Runs what must end well, or must not, and says something.
well() { "$@" >"$work/out" 2>&1 || fail "$*"; }
refused() {
  local told=$1
  shift
  if "$@" >"$work/out" 2>&1; then fail "not refused: $*"; fi
  grep -qF -- "$told" "$work/out" || fail "it does not say \"$told\": $*"
}
said() { grep -qF -- "$1" "$work/out" || fail "it does not say \"$1\""; }
archive() { echo "$DIST"/metarecord-"$1"-*.tar.gz; }

# Packed twice, the bytes are the same, whatever the umask and the time of the files.
well env BINARY="$binary" VERSION=1.0.0 deploy/pack.sh
first=$(sha256sum <"$(archive 1.0.0)")
cp -p "$binary" "$work/touched"
touch -d 2001-01-01 "$work/touched"
(umask 077 && BINARY=$work/touched VERSION=1.0.0 deploy/pack.sh >"$work/out" 2>&1) || fail "packing again"
[ "$first" = "$(sha256sum <"$(archive 1.0.0)")" ] || fail "packed twice, it is not the same"
(cd "$DIST" && sha256sum --check --quiet SHA256SUMS) || fail "SHA256SUMS"
for part in bin/g3n LICENSE-MIT LICENSE-APACHE SECURITY.md THIRD-PARTY.tsv sbom.cdx.json share/man/man1/g3n.1 share/completions/g3n.bash \
  deploy/systemd/metarecord.service README.md docs/journal-format.md licences/swagger-ui/NOTICE VERSION; do
  tar --list --file "$(archive 1.0.0)" >"$work/names"
  grep -qxE "metarecord-1.0.0-[^/]*/$part" "$work/names" || fail "the archive has no $part"
done

# The program is stripped, and its line tables lie beside the archive: put beside the program, they are taken for its own.
mkdir "$work/packed"
tar --extract --file "$(archive 1.0.0)" --directory "$work/packed" --strip-components=1
sections() { readelf --wide --section-headers "$1" >"$work/out" 2>/dev/null || fail "readelf $1"; }
sections "$work/packed/bin/g3n"
! grep -qE "\.debug_(info|line|str)|\.symtab" "$work/out" || fail "the packed program has its line tables"
said .gnu_debuglink
cp "$DIST"/metarecord-1.0.0-*.debug "$work/packed/bin/g3n.debug"
sections "$work/packed/bin/g3n.debug"
said .symtab
grep -qE "^[0-9a-f]{64}  metarecord-1\.0\.0-[^/]*\.debug$" "$DIST/SHA256SUMS" || fail "SHA256SUMS has no line tables"
well "$work/packed/bin/g3n" --version
# Links of the packed pages lead to files of the archive, or of the repository's code, which is not packed.
(cd "$work/packed" && grep -oE '\]\([a-z][A-Za-z0-9_./-]*' README.md | sed 's/^](//' | grep -vE '^(https?|src|tests|benches|examples|deploy|Makefile)' |
  while read -r page; do [ -e "$page" ] || echo "$page"; done) >"$work/out"
[ ! -s "$work/out" ] || fail "links of the packed README lead nowhere"
# A program is replaced while it runs, and what is no program is put there as it is.
well deploy/strip.sh "$binary" "$work/installed"
cmp -s "$work/installed/g3n" "$work/packed/bin/g3n" || fail "installed and packed programs differ"
"$work/installed/g3n" serve --dev --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 --data-dir "$work/running" >"$work/out" 2>&1 &
running=$!
well deploy/strip.sh "$binary" "$work/installed"
kill "$running"; wait "$running" || true

# The list of components is CycloneDX, names each package of THIRD-PARTY.tsv, and says nothing of this machine.
tar --extract --to-stdout --file "$(archive 1.0.0)" --wildcards '*/sbom.cdx.json' >"$work/sbom.json"
tar --extract --to-stdout --file "$(archive 1.0.0)" --wildcards '*/THIRD-PARTY.tsv' >"$work/third.tsv"
python3 - "$work/sbom.json" "$work/third.tsv" "$PWD" <<'EOF' >"$work/out" 2>&1 || fail "the list of components"
import json, sys

text = open(sys.argv[1]).read()
bom = json.loads(text)
assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5"), bom["specVersion"]
known = {(part["name"], part["version"]) for part in bom["components"]}
lines = [line.split("\t")[0].split(" ") for line in open(sys.argv[2])]
linked = {(line[0], line[1].lstrip("v")) for line in lines}
assert linked and linked <= known, linked - known
purls = {part.get("purl", "").split("/")[0] for part in bom["components"]}
assert purls == {"pkg:cargo", "pkg:npm"}, purls
assert sys.argv[3] not in text, "it tells where it was made"
EOF

# A build that fails packs nothing, also where an older program lies.
mkdir -p "$work/built/release"
cp "$binary" "$work/built/release/g3n"
if CARGO=false PACK_TARGET_DIR=$work/built VERSION=1.1.0 deploy/pack.sh >"$work/out" 2>&1; then fail "an older program is packed"; fi
[ ! -e "$(archive 1.1.0)" ] || fail "an older program was packed"

# A version that runs; what was written to it is there after each change of release.
mkdir -p "$PREFIX"
printf '%s\n' --dev --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 >"$PREFIX/arguments"
refused "no release is current" deploy/release.sh start
well deploy/release.sh deploy "$(archive 1.0.0)"
g3n() { G3N_CONFIG=$PREFIX/data/profiles.toml G3N_PROFILE=dev "$binary" "$@"; }
echo '{"kept": true}' >"$work/note.json"
well g3n mrs put --container demo --record-id kept --inline-payload-file "$work/note.json" --content-type application/json
kept() { well g3n mrs get --container demo --record-id kept; }
well deploy/release.sh status
said 1.0.0
well deploy/release.sh deploy "$(archive 1.0.0)"
said "is current and runs"

# An archive that was changed on its way is not unpacked.
mkdir "$work/copied"
cp "$(archive 1.0.0)" "$DIST/SHA256SUMS" "$work/copied/"
printf x >>"$work"/copied/*.gz
refused "is not what" deploy/release.sh deploy "$work"/copied/*.gz

# Releases that do not become ready: one ends at once, one stays and says nothing.
made_up() {
  # shellcheck disable=SC2016
  printf '#!/bin/sh\ncase $1 in serve) %s ;; completions|man|--version) ;; *) exit 1 ;; esac\n' "$2" >"$work/made-up"
  chmod +x "$work/made-up"
  well env BINARY="$work/made-up" VERSION="$1" deploy/pack.sh
}
made_up 2.0.0 'echo broken >&2; exit 1'
refused "was rolled back; 1.0.0" deploy/release.sh deploy "$(archive 2.0.0)"
said broken
kept
made_up 2.1.0 'trap "" TERM; while :; do sleep 1; done'
refused "was not ready within 1 s" env READY_SECONDS=1 STOP_SECONDS=5 deploy/release.sh deploy "$(archive 2.1.0)"
pgrep -f "$PREFIX/releases/2.1.0" >"$work/out" && fail "the release that hung still runs"
well deploy/release.sh start
kept

# A good one, and back.
well env BINARY="$binary" VERSION=3.0.0 deploy/pack.sh
well deploy/release.sh deploy "$(archive 3.0.0)"
kept
well deploy/release.sh rollback
said "1.0.0"
kept
well deploy/release.sh rollback
well deploy/release.sh list
grep -q '^3.0.0-.* (current)' "$work/out" || fail "list"
grep -q '^1.0.0-.* (previous)' "$work/out" || fail "list"

# Another process that has the id of ours by now is not taken for it, and not ended.
pid=$(cut -d' ' -f1 "$PREFIX/run/g3n.pid")
well deploy/release.sh stop
# Gone, or only waiting for the machine's first process to ask for its status.
[ ! -e "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status" || fail "it still runs"
sleep 600 &
foreign=$!
echo "$foreign 1" >"$PREFIX/run/g3n.pid"
well deploy/release.sh stop
said "nothing runs"
kill -0 "$foreign" || fail "a process that is not ours was ended"
kill "$foreign"
wait "$foreign" 2>/dev/null || true
foreign=

# Taken down only when it is development, meant, and nobody else's.
destroy() { CONFIRM=yes deploy/destroy.sh; }
refused "nobody can be asked" deploy/destroy.sh </dev/null
cp "$PREFIX/data/metarecord.json" "$work/marker"
sed -i 's/development/production/' "$PREFIX/data/metarecord.json"
refused "was made for production" destroy
cp "$work/marker" "$PREFIX/data/metarecord.json"
flock "$PREFIX/data/lock" sleep 600 &
foreign=$!
until ! flock --nonblock "$PREFIX/data/lock" true; do kill -0 "$foreign"; done
refused "in use by another process" destroy
kill -- "$(pgrep -P "$foreign" sleep)"
wait "$foreign" 2>/dev/null || true
foreign=
[ -d "$PREFIX/data/journal" ] || fail "refused, but the data is gone"

well deploy/release.sh start
code=$(sed -n 's/.*"secret_code" *: *"\([^"]*\)".*/\1/p' "$PREFIX/data/dev.json")
well g3n ops maintenance-schedule --secret-code "$code" --description tried --duration 60 --start 2099-01-01T00:00:00Z
well destroy
if [ -e "$PREFIX/data" ] || [ -e "$PREFIX/releases" ]; then fail "something is left"; fi
grep -q '"event":"maintenance.scheduled"' "$PREFIX"/archive/audit-*/audit/*.jsonl || fail "the audit was not archived"
grep -q '"hash"' "$PREFIX"/archive/audit-*/head.json || fail "the journal's head was not archived"
[ "$(ls "$PREFIX")" = archive ] || fail "more than the archive is left: $(ls "$PREFIX")"
well destroy
echo "PASS releases"
