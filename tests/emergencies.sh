#!/usr/bin/env bash
# Does to servers what the pages of docs/emergency are about, then what they say, and looks whether it helps. The clock and
# a flood are the machine's and the network's: their pages were tried by hand.
set -euo pipefail
cd "$(dirname "$0")/.."
while read -r name; do unset "$name"; done < <(compgen -e G3N_)
g3n=$(realpath "${METARECORD_BIN:-${CARGO_TARGET_DIR:-target}/debug/g3n}")
work=$(mktemp -d)
server='' mounted=''
clean() {
  [ -z "$server" ] || { kill -KILL "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  [ -z "$mounted" ] || umount "$mounted" || true
  rm -rf "$work"
}
trap clean EXIT
cd "$work"
fail() { echo "FAIL emergencies: $1"; cat out told 2>/dev/null || true; exit 1; }
well() { "$@" >out 2>&1 || fail "$*"; }
# Ends with a code, and says something.
ends() {
  local wanted=$1 told=$2 code=0
  shift 2
  "$@" >out 2>&1 || code=$?
  if [ "$code" != "$wanted" ] || ! grep -qF -- "$told" out; then fail "$* ended with $code, and not with $wanted and $told"; fi
}
run() { "$g3n" --output json "$@"; }

# A server in the production environment, reached as operators do.
start() {
  DATA=$work/$1
  : >told
  "$g3n" serve --data-dir "$DATA" --listen 127.0.0.1:0 --operator-listen "unix:$work/$1.sock" >told 2>&1 &
  server=$!
  for _ in $(seq 600); do
    grep -q '^Ready after' told && break
    kill -0 "$server" 2>/dev/null || { wait "$server" || true; server=; return 1; }
    sleep 0.1
  done
  G3N_BASE_URL=$(sed -n 's/^Ready after .* gateway \([^,]*\),.*/\1/p' told)
  G3N_OPERATOR_TOKEN=$(cat "$DATA/keys/operator.token")
  export G3N_BASE_URL G3N_OPERATOR_TOKEN G3N_OPERATOR_URL=unix:$work/$1.sock G3N_ORGCODE=ACME
}
stop() { kill -TERM "$server"; wait "$server" || fail "it did not end well"; server=; }
sign_in() { G3N_SESSION_GUID=$("$g3n" usm session-create --email ann@example.com --passcode-file passcode --bare); export G3N_SESSION_GUID; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" out | head -n 1; }
put() { run mrs put --container demo --record-id "$1" --inline-payload-file "${2:-note.json}" --content-type application/json; }
kept() { well run mrs get --container demo --record-id n-1; }

printf 'a passcode that is long\n' >passcode
printf 'a secret code that is long\n' >code
printf 'another code that is long\n' >code-2
echo '{"kept": true}' >note.json
start one || fail "it does not start"
well run uas user-create --email ann@example.com --passcode-file passcode
well run ofm org-create --orgcode ACME --owner-email ann@example.com
well run ops secret-set --secret-code-file code
sign_in
well put n-1
well put n-2

# A tenant runs away: its key, then its changes, then its reads end, and come back.
well run usm service-account-create --label loader
account=$(field service_account_id)
key=$("$g3n" usm api-key-create --service-account-id "$account" --role mrs_writer --bare)
by_key() { env -u G3N_SESSION_GUID "$g3n" --output json mrs list --api-key "$key"; }
well by_key
well run usm api-key-revoke-all --service-account-id "$account"
ends 4 invalid-session by_key
well run ofm org-status-set --orgcode ACME --status suspended --reason tried
ends 1 org-write-blocked put n-3
kept
well run ofm org-status-set --orgcode ACME --status frozen --reason tried
ends 1 org-read-blocked run mrs get --container demo --record-id n-1
well run ofm org-status-set --orgcode ACME --status verified --reason tried
kept
echo "a tenant that runs away is stopped in three steps, and comes back"

# The secret code is forgotten: what works without it, and the way to another server.
ends 4 secret-code-mismatch run ops maintenance-schedule --secret-code-file code-2 --description d --duration 60 --start 2099-01-01T00:00:00Z
well run ops audit
grep -q 'secret.set' out || fail "the audit does not tell when the code was set"
well run utl export-make
well run utl export --operator --out "$work/acme"
stop
start two || fail "a new server does not start"
well run ops secret-set --secret-code-file code-2
well run uas user-create --email ann@example.com --passcode-file passcode
well run utl import "$work/acme" --owner-user-id "$(field user_id)"
sign_in
kept
well run ops maintenance-schedule --secret-code-file code-2 --description d --duration 60 --start 2099-01-01T00:00:00Z
stop
echo "an org whose server has lost its secret code goes on elsewhere"

# Key files: new ones end sessions and no passcodes, old ones bring them back.
cp -a one/keys keys
rm -rf one/keys
start one || fail "without keys it does not start"
sign_in
kept
stop
install -m 600 keys/signing.key keys/operator.token one/keys/
start one || fail "with its keys it does not start"
ends 4 invalid-session run whoami
sign_in
kept
stop
echo "lost keys: people sign in again; found keys count again"

# The projections: gone, and then damaged.
mv one/projections aside
start one || fail "without projections it does not start"
kept
stop
well run journal rebuild --data-dir one
grep -q '"differing_rows":0' out || fail "rows differ"
echo "projections come back by themselves"

# The journal: a byte of its log.
cp -a one damaged
segment=$(find damaged/journal -name '*.jsonl' | head -n 1)
sed -i 's/n-2/n-3/' "$segment"
ends 1 '"good":false' run journal verify --data-dir damaged
if start damaged; then fail "it starts with a damaged journal"; fi
grep -q 'damaged entry at .*jsonl, byte ' told || fail "it does not tell where the damage is"
if run journal export --data-dir damaged --out before.jsonl >out 2>&1; then fail "damage is passed over"; fi
[ -s before.jsonl ] || fail "what is before the damage cannot be read"
if run backup --help >/dev/null 2>&1; then
  well run backup create "$work/copy" --data-dir one
  well run backup verify "$work/copy"
  well run backup restore "$work/copy" --data-dir damaged --replace
  start damaged || fail "what was restored does not start"
  sign_in
  kept
  stop
  well run journal verify --data-dir damaged
fi
echo "a damaged journal is told with its place, and what is before it can be read"

# The disk: full, and then not.
if [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
  mkdir full
  mount -t tmpfs -o size=24m tmpfs full
  mounted=$work/full
  cp -a one full/one
  start full/one || fail "it does not start"
  sign_in
  dd if=/dev/zero of=full/fill bs=1k >/dev/null 2>&1 || true
  printf '{"a":"%s"}' "$(head -c 150000 /dev/zero | tr '\0' x)" >big.json
  ends 1 unavailable put big-1 big.json
  ends 1 unavailable put n-4
  if run health --ready >out 2>&1; then fail "it says that it is ready"; fi
  kept
  rm full/fill
  ends 1 unavailable put n-4
  stop
  start full/one || fail "it does not start again"
  sign_in
  well put n-4
  kept
  stop
  well run journal verify --data-dir full/one
  echo "a full disk: reads go on, and with room a restart takes changes again"
else
  echo "SKIP disk-full: only root may make a small disk"
fi
echo "PASS emergencies"
