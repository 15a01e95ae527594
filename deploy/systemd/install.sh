#!/usr/bin/env bash
# Installs an archive of `make pack` on a machine with systemd, as root, and goes back to the release before when the new
# one does not become ready:
#
#   install.sh ARCHIVE [SHA256]     without the hash, SHA256SUMS beside the archive tells it
#   install.sh --rollback
#
# Releases lie beside each other in /opt/metarecord/releases; /opt/metarecord/current is the one that runs. Settings in
# /etc/metarecord that are there stay.
set -euo pipefail

prefix=${METARECORD_PREFIX:-/opt/metarecord}
base_url=${G3N_BASE_URL:-http://127.0.0.1:8000}
ready_seconds=${READY_SECONDS:-120}
say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "only root may install; use sudo"

point() {
  ln -sfn "releases/$2" "$prefix/.$1.new"
  mv -T "$prefix/.$1.new" "$prefix/$1"
}
release_of() { local link; link=$(readlink "$prefix/$1") && basename "$link"; }

# The units, too, are those of the release.
put_in_place() {
  install -d /usr/local/bin /etc/systemd/system /etc/metarecord &&
    ln -sfn "$prefix/current/bin/g3n" /usr/local/bin/g3n &&
    install -m 644 "$prefix"/current/deploy/systemd/*.service "$prefix"/current/deploy/systemd/*.timer /etc/systemd/system/ &&
    { [ -e /etc/metarecord/metarecord.toml ] || install -m 644 "$prefix/current/deploy/systemd/metarecord.toml" /etc/metarecord/; } &&
    systemctl daemon-reload
}

# Asked at the address of the settings that come with it; another one is given as G3N_BASE_URL.
becomes_ready() {
  put_in_place || return 1
  systemctl restart metarecord.service || return 1
  # SECONDS counts whole ones: the first may be over at once.
  local until=$((SECONDS + ready_seconds + 1))
  while [ "$SECONDS" -lt "$until" ]; do
    # Whoever has this machine's address need not be named in the certificate.
    local any=()
    [[ $base_url != https:* ]] || any=(--any-certificate)
    if "$prefix/current/bin/g3n" health --ready "${any[@]}" --base-url "$base_url" >/dev/null 2>&1; then return 0; fi
    case $(systemctl show --property ActiveState --value metarecord.service) in failed | inactive) return 1 ;; esac
    sleep 0.2
  done
  return 1
}

switch() {
  local from=$1 to=$2
  point current "$to"
  if becomes_ready; then
    [ -z "$from" ] || [ "$from" = "$to" ] || point previous "$from"
    say "$to runs"
    return
  fi
  if [ -z "$from" ] || [ "$from" = "$to" ]; then fail "$to did not become ready, and there is none to go back to: journalctl -u metarecord"; fi
  say "$to did not become ready; going back to $from"
  point current "$from"
  becomes_ready || fail "$from does not become ready either: journalctl -u metarecord"
  fail "$to was rolled back; $from runs"
}

[ $# -gt 0 ] || fail "give an archive, or --rollback"
before=$(release_of current || true)
if [ "$1" = --rollback ]; then
  to=$(release_of previous) || fail "there is no release before ${before:-the first}"
  switch "$before" "$to"
  exit
fi

archive=$1
[ -f "$archive" ] || fail "$archive is not there"
found=$(sha256sum "$archive" | cut -d' ' -f1)
wanted=${2:-$(grep -F "  $(basename "$archive")" "$(dirname "$archive")/SHA256SUMS" | cut -d' ' -f1)}
[ "$found" = "$wanted" ] || fail "$archive is not what was packed: its hash is $found, not ${wanted:-told}"
mkdir -p "$prefix/releases"
rm -rf "$prefix/releases/.unpacking"
mkdir "$prefix/releases/.unpacking"
tar --extract --gzip --file "$archive" --directory "$prefix/releases/.unpacking" --strip-components=1 --no-same-owner
"$prefix/releases/.unpacking/bin/g3n" --version >/dev/null || fail "the program in $archive does not run on this machine"
release=$(cat "$prefix/releases/.unpacking/VERSION")-${found:0:10}
rm -rf "${prefix:?}/releases/$release"
mv -T "$prefix/releases/.unpacking" "$prefix/releases/$release"
switch "$before" "$release"
systemctl enable metarecord.service >/dev/null 2>&1 || say "the service is not started with the machine: systemctl enable metarecord"
