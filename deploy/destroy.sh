#!/usr/bin/env bash
# Takes down what release.sh keeps in PREFIX, for good: the process, the data, the releases, the logs. The audit, the
# journal's head and what verifying said are archived first, in PREFIX/archive, which stays.
#
# Refused unless the data directory says that it was made for development. Asks at a terminal, or takes CONFIRM=yes.
set -euo pipefail
umask 077

prefix=${PREFIX:?set PREFIX to the directory that releases are kept in}
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "destroy: $*"; }
fail() { echo "destroy: $*; nothing was changed" >&2; exit 1; }

[ -d "$prefix" ] || { say "$prefix is not there; nothing to do"; exit 0; }
prefix=$(cd "$prefix" && pwd)
data=$prefix/data
[ ! -L "$data" ] || fail "$data is a link; remove what it leads to by hand, if that is meant"
if [ ! -e "$data" ]; then
  [ -d "$prefix/releases" ] || { say "nothing was deployed to $prefix"; exit 0; }
else
  marker=$data/metarecord.json
  [ -f "$marker" ] || fail "$data has no metarecord.json, so it is no data directory"
  # The mark is what the server itself goes by: one line of JSON that it has written.
  environment=$(sed -n 's/.*"environment" *: *"\([a-z]*\)".*/\1/p' "$marker")
  [ "$environment" = development ] || fail "$data was made for ${environment:-an unknown environment}; only development is destroyed by this"
fi

if [ "${CONFIRM:-}" != yes ]; then
  [ -t 0 ] || fail "nobody can be asked here; say CONFIRM=yes"
  read -r -p "Everything in $prefix but its archive will be gone for good. Type yes: " answer
  [ "$answer" = yes ] || fail "not confirmed"
fi

# A server that another hand started on this data is not ended, and its data stays.
PREFIX=$prefix "$here/release.sh" stop
if [ -e "$data/lock" ] && ! flock --nonblock "$data/lock" true; then
  fail "$data is in use by another process ($(cat "$data/lock")); stop that one first"
fi

g3n=${G3N:-$prefix/current/bin/g3n}
if [ -e "$data" ]; then
  time=$(date -u +%Y%m%dT%H%M%SZ)
  archive=$prefix/archive/audit-$time
  mkdir -p "$archive"
  cp "$data/metarecord.json" "$archive/"
  [ ! -d "$data/audit" ] || cp -R "$data/audit" "$archive/"
  # Damaged data may be why it is destroyed: then what was said of the damage is kept.
  "$g3n" journal head --data-dir "$data" --output json >"$archive/head.json" 2>"$archive/head.err" || true
  "$g3n" journal verify --data-dir "$data" --output json >"$archive/verify.json" 2>"$archive/verify.err" || true
  find "$archive" -name '*.err' -empty -delete
  if [ -d "$data/audit" ] && ! diff -r "$data/audit" "$archive/audit" >/dev/null; then
    fail "the copy of the audit in $archive is not what it was made from"
  fi
  [ -s "$archive/head.json" ] || [ -s "$archive/head.err" ] || fail "the journal's head could not be archived in $archive"
  sync "$archive"
  say "archived the audit ($(cat "$archive"/audit/*.jsonl 2>/dev/null | wc -l) lines) and the journal's head in $archive"
  rm -rf "$data"
fi
rm -rf "$prefix/releases" "$prefix/current" "$prefix/previous" "$prefix/run" "$prefix/log" "$prefix/arguments" "$prefix/.lock"
say "done; $prefix/archive stays"
