#!/usr/bin/env bash
# Types the runbook's steps into a shell in a copy of this working copy, one after the other, and shows how each went.
#
# Blocks marked `local` must work. Those marked `says` must work or say why not. `serve` starts a server that runs meanwhile.
# `long` ones and `reference` ones (another machine's) are shown as skipped; RUNBOOK_ALL=1 runs the long ones. With METARECORD_BIN, a program that is already built, nothing is compiled: cargo's part is only to hand it out.
set -euo pipefail
cd "$(dirname "$0")/.."
# Not for the steps: the tests are among them, and they type the runbook too.
all=${RUNBOOK_ALL:-0}
unset RUNBOOK_ALL
work=$(mktemp -d)
copy=$work/metarecord
mkdir -p "$copy"
tar --exclude=./.git --exclude=./target --exclude=./dist --exclude=./deployed --exclude=./data -cf - . | tar -xf - -C "$copy"

# Nothing of this shell's gets in: no credentials, no cloud, no ports that may be taken.
for name in $(compgen -e | grep -E '^(G3N|SMOKE|AWS|MAKE|MFLAGS|DATA_DIR|SERVE_ARGS|PREFIX|VERSION|BINARY|DIST)' || true); do unset "$name"; done
export AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
export HOME=$work GIT_CONFIG_NOSYSTEM=1
export CARGO_INSTALL_ROOT=$work/installed PATH=$work/installed/bin:$PATH
export LISTEN=127.0.0.1:0 OPERATOR_LISTEN=127.0.0.1:0 GZIP_LEVEL=1
export SERVE_ARGS='--dev --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0'

if [ -n "${METARECORD_BIN:-}" ]; then
  METARECORD_BIN=$(realpath "$METARECORD_BIN")
  real_cargo=${CARGO:-cargo}
  cat >"$work/cargo" <<END
#!/bin/sh
case \$1 in
  build) ;;
  run) while [ "\$1" != -- ]; do shift; done; shift; exec '$METARECORD_BIN' "\$@" --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 ;;
  *) exec '$real_cargo' "\$@" ;;
esac
END
  chmod +x "$work/cargo"
  export CARGO=$work/cargo G3N=$METARECORD_BIN BINARY=$METARECORD_BIN METARECORD_BIN
else
  unset CARGO
fi

server=
clean() {
  # The server is below make and cargo; its own id is in its lock.
  [ ! -f "$copy/data/lock" ] || kill "$(sed -n 's/^process //p' "$copy/data/lock")" 2>/dev/null || true
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  [ ! -f "$copy/deployed/run/g3n.pid" ] || PREFIX=$copy/deployed "$copy/deploy/release.sh" stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean EXIT

cd "$copy"
git init --quiet
git add --all
git -c user.name=a -c user.email=a@example.com commit --quiet --message begin
failed=0
began=$SECONDS
tell() { printf "%-4s %3d s  %s%s\n" "$1" "$((SECONDS - began))" "$2" "${3:+: $3}"; }
# The last line that says something, as a reason.
reason() { grep -vE '^make(\[|:)' "$work/out" | grep -v '^ *$' | tail -n 1 | cut -c1-160; }

# In this very shell, so that what one line sets is there for the next.
typed() { eval "$1" >"$work/out" 2>&1 </dev/null; }

serve() {
  eval "$1" >"$work/served" 2>&1 </dev/null &
  server=$!
  local _
  for _ in $(seq 600); do
    [ ! -s data/dev.json ] || break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  for _ in $(seq 100); do ! grep -q '^export SESSION' "$work/served" || break; sleep 0.1; done
  # As whoever reads it pastes them.
  eval "$(grep '^export ' "$work/served")"
  [ -n "${BASE:-}" ] || { cp "$work/served" "$work/out"; return 1; }
}

step() {
  local kind=$1 line=$2
  began=$SECONDS
  case $kind in
    local) if typed "$line"; then tell PASS "$line"; else tell FAIL "$line" "$(reason)"; failed=1; fi ;;
    says)
      if typed "$line"; then tell PASS "$line"
      elif [ -n "$(reason)" ] && ! grep -qE 'No rule to make target|command not found|unbound variable' "$work/out"; then tell SKIP "$line" "$(reason)"
      else tell FAIL "$line" "it says nothing of why not"; failed=1; fi ;;
    serve) if serve "$line"; then tell PASS "$line"; else tell FAIL "$line" "$(reason)"; failed=1; fi ;;
    long)
      if [ "$all" = 1 ]; then step local "$line"; else
        # What it would do is looked at all the same.
        if eval "make --dry-run ${line#make }" >/dev/null 2>&1; then tell SKIP "$line" "it takes long; RUNBOOK_ALL=1 runs it"
        else tell FAIL "$line" "there is no such target"; failed=1; fi
      fi ;;
    reference) tell SKIP "$line" "another machine's" ;;
    *) tell FAIL "$line" "a block of the runbook is marked $kind"; failed=1 ;;
  esac
}

steps=0
kind=
while IFS= read -r text; do
  case $text in
    '```sh'*) kind=${text#'```sh'}; kind=${kind# }; kind=${kind:-unmarked} ;;
    '```') kind= ;;
    *) if [ -n "$kind" ] && [ -n "$text" ]; then step "$kind" "$text"; steps=$((steps + 1)); fi ;;
  esac
done <docs/runbook.md

# Every page that it leads to is there, and every section.
while IFS= read -r link; do
  file=${link%%#*}
  [ -z "$file" ] || [ -e "docs/$file" ] || { tell FAIL "$link" "there is no such page"; failed=1; }
done < <(grep -oE '\]\([^)]+\)' docs/runbook.md | sed 's/^](//; s/)$//' | grep -v '^http')
if [ -f deploy/prometheus/alerts.yml ]; then
  while IFS= read -r anchor; do
    grep '^## ' docs/runbook.md | sed 's/^## //' | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n-' | grep -qx -- "$anchor" ||
      { tell FAIL "$anchor" "an alert leads to a section that is not there"; failed=1; }
  done < <(sed -n 's/.*runbook: *docs\/runbook.md#//p' deploy/prometheus/alerts.yml)
fi
[ "$steps" -gt 20 ] || { tell FAIL runbook "only $steps steps were found"; failed=1; }
[ $failed = 0 ] || exit 1
echo "PASS runbook ($steps steps)"
