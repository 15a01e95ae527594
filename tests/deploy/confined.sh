#!/usr/bin/env bash
# Runs what the container file runs, as it says it, in what a container engine would make of it: a root of nothing but the
# program and its C library that cannot be written to, a user who is not root, no capability. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
# No profile, address or credential of this shell.
while read -r name; do unset "$name"; done < <(compgen -e G3N_)
binary=$(realpath "${METARECORD_BIN:-${CARGO_TARGET_DIR:-target}/debug/g3n}")
file=deploy/container/Containerfile
skip() { echo "SKIP confined: $1"; [ "${STRICT:-0}" = 1 ] && exit 1; exit 0; }

if [ "${1:-}" = inside ]; then
  # In a mount namespace of its own: root, how the data is mounted, the command.
  root=$2 data=$3
  shift 3
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc -o ro proc "$root/proc"
  mount --bind "$root/data" "$root/data"
  mount -o remount,bind,ro "$root"
  mount -o "remount,bind,$data" "$root/data"
  exec chroot "$root" /setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
fi

[ "$(id -u)" = 0 ] || skip "only root may make such a root"
unshare --mount true 2>/dev/null || skip "mount namespaces cannot be made here"
work=$(mktemp -d)
server=
clean() {
  [ -z "$server" ] || { kill -KILL "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  rm -rf "$work"
}
trap clean EXIT
fail() { echo "FAIL confined: $1"; cat "$work/out" 2>/dev/null || true; exit 1; }

# What the file says must not be lost on the way.
grep -qx 'USER 65532:65532' "$file" || fail "$file lets it be root"
if grep -nE 'header_identity|anyone_may|--dev' "$file"; then fail "$file asks for development"; fi
mapfile -t command < <(sed -n 's/^CMD \[\(.*\)\]$/\1/p' "$file" | tail -n 1 | sed 's/^"//; s/"$//; s/", "/\n/g')
mapfile -t entry < <(sed -n 's/^ENTRYPOINT \["\(.*\)"\]$/\1/p' "$file")
[ "${command[0]}" = serve ] || fail "$file does not serve"
# A free port instead of its own.
command=("${command[@]/0.0.0.0:8000/127.0.0.1:0}")

root=$work/root
mkdir -p "$root"/{proc,data,"$(dirname "${entry[0]}")"}
cp "$binary" "$root${entry[0]}"
cp "$(command -v setpriv)" "$root/setpriv"
for program in "$root${entry[0]}" "$root/setpriv"; do
  for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference --no-clobber "$library" "$root$library"
  done
done
chown 65532:65532 "$root/data"
chmod 755 "$work" "$root"

confined() { exec unshare --mount "$0" inside "$root" "$@"; }
started() { (confined rw "${entry[0]}" "${command[@]}") >"$work/out" 2>&1 & server=$!; }
url() { sed -n 's/^Ready after .* gateway \([^,]*\),.*/\1/p' "$work/out"; }
g3n() { G3N_BASE_URL=$(url) G3N_OPERATOR_URL=unix:$root/data/operators.sock "$binary" "$@"; }
ready() {
  for _ in $(seq 600); do
    kill -0 "$server" 2>/dev/null || fail "it ended"
    [ -n "$(url)" ] && g3n health --ready >/dev/null 2>&1 && return
    sleep 0.1
  done
  fail "it is not ready"
}
stop() {
  kill -TERM "$server"
  local code=0
  wait "$server" || code=$?
  server=
  [ $code = 0 ] || fail "it ended with $code"
}

started
ready
status() { grep -qP "$1" "/proc/$server/status" || fail "its status has no $1"; }
status '^Uid:\t65532\t65532'
status '^CapEff:\t0+$'
status '^NoNewPrivs:\t1'
if nsenter --target "$server" --mount -- touch "$root/written" 2>"$work/touched"; then fail "its root can be written to"; fi
grep -q 'Read-only' "$work/touched" || fail "its root is not read-only"

G3N_OPERATOR_TOKEN=$(cat "$root/data/keys/operator.token")
export G3N_OPERATOR_TOKEN G3N_ORGCODE=ACME
printf 'a passcode that is long\n' >"$work/passcode"
g3n uas user-create --email ann@example.com --passcode-file "$work/passcode" >/dev/null
g3n ofm org-create --orgcode ACME --owner-email ann@example.com >/dev/null
G3N_SESSION_GUID=$(g3n usm session-create --email ann@example.com --passcode-file "$work/passcode" --bare)
export G3N_SESSION_GUID
head -c 3000000 /dev/urandom >"$work/blob"
g3n mrs put --container demo --record-id blob-1 --file "$work/blob" --content-type application/octet-stream >/dev/null 2>&1
kept() { g3n mrs get --container demo --record-id blob-1 --out "$work/back" >/dev/null 2>&1 && cmp "$work/blob" "$work/back"; }
kept || fail "a file does not come back"
stop
started
ready
kept || fail "a file does not come back after a restart"
stop

# What it must not do. Each is seen to be refused.
refused() {
  local told=$1 mode=$2 code=0
  shift 2
  (confined "$mode" "${entry[0]}" "${command[@]}" "$@") >"$work/out" 2>&1 || code=$?
  if [ $code = 0 ] || ! grep -qF -- "$told" "$work/out"; then fail "not refused: $mode $*"; fi
}
refused "header identity lets every caller claim any identity" rw --set auth.header_identity=true --set auth.allow_insecure_header_identity=true
refused "Read-only file system" ro
echo "PASS confined"
