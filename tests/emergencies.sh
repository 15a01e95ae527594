#!/usr/bin/env bash
# Does to servers what the pages of docs/emergency are about, then what they say, and looks whether it helps. The commands
# that set the machine's own clock are tried by deploy/booted.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
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

# What a server is started by: nothing, or what gives it another clock.
by=(env)
# A server in the production environment, reached as operators do.
start() {
  DATA=$work/$1
  : >told
  # Nobody waits here for a clock to be corrected before something is removed.
  "${by[@]}" "$g3n" serve --data-dir "$DATA" --set ops.destroy_wait_seconds=1 --listen 127.0.0.1:0 --operator-listen "unix:$work/$1.sock" >told 2>&1 &
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
# Whatever it says of its end: a database that could not write has not ended in order.
stop_soon() { kill -TERM "$server"; timeout 30 tail --pid="$server" -f /dev/null || fail "it does not end"; wait "$server" || true; server=; }
sign_in() { G3N_SESSION_GUID=$("$g3n" usm session-create --email ann@example.com --passcode-file passcode --bare); export G3N_SESSION_GUID; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" out | head -n 1; }
put() { run mrs put --container demo --record-id "$1" --inline-payload-file "${2:-note.json}" --content-type application/json "${@:3}"; }
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
install -m 600 keys/signing.key keys/signing-keys.json keys/operator.token one/keys/
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

# The clock: two days ahead, and then right again.
faketime=$(find "$root/target/tools" /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1 || true)
if [ -n "$faketime" ]; then
  start one || fail "it does not start"
  sign_in
  well put due-1 note.json --doom-at "$(date -u -d '+1 day' +%Y-%m-%dT%H:%M:%SZ)"
  kept
  stop
  ahead=$(date -u -d '+2 days' +%Y-%m-%d)
  by=(env LD_PRELOAD="$faketime" FAKETIME=+2d FAKETIME_DONT_FAKE_MONOTONIC=1)
  start one || fail "with a clock that is ahead it does not start"
  ends 4 invalid-session run mrs get --container demo --record-id n-1
  sign_in
  due_is_doomed() { run mrs list --container demo --status doomed >out 2>&1 && grep -q due-1 out; }
  for _ in $(seq 300); do ! due_is_doomed || break; sleep 0.1; done
  due_is_doomed || fail "what is due by a clock that is ahead is not shown as doomed"
  stop
  by=(env)
  start one || fail "with the right clock it does not start again"
  well run journal tail --data-dir "$DATA" --lines 100
  grep -q "$ahead" out || fail "the journal does not show what the wrong clock wrote"
  sign_in
  ! due_is_doomed || fail "a clock that was ahead has doomed a record for good"
  well run mrs get --record-id due-1 --container demo
  grep -q kept out || fail "the record is not there again"
  well put due-2
  well run mrs get --container demo --record-id due-2
  if grep -q "\"updated_at\":\"$ahead" out; then fail "what is written now has the wrong clock's time"; fi
  stop
  well run journal verify --data-dir one
  echo "a clock that was ahead: what it showed as doomed is there again, and the history goes on in order"
else
  echo "SKIP clock: libfaketime is not here; tests/tools.sh gets it"
fi

# A flood: an address is kept out before the server, and let in again, in a network of its own.
if [ "$(id -u)" = 0 ] && command -v nft >/dev/null && command -v ip >/dev/null && unshare --net true 2>/dev/null; then
  page=$root/docs/emergency/flood.md
  # shellcheck disable=SC2016
  well unshare --net -- env G3N="$g3n" PAGE="$page" bash -euc '
    ip link set lo up
    ip address add 192.0.2.7/24 dev lo
    "$G3N" serve --data-dir flood --listen 127.0.0.1:8000 --operator-listen "unix:$PWD/flood.sock" >flood.out 2>&1 &
    server=$!
    trap "kill $server; wait $server || true" EXIT
    for _ in $(seq 600); do ! grep -q "^Ready after" flood.out || break; sleep 0.1; done
    from() { curl -sS --max-time 5 --interface "$1" http://127.0.0.1:8000/health >/dev/null 2>&1; }
    lines() { sed -n "s/^ *\(nft $1.*\)/\1/p" "$PAGE"; }
    from 192.0.2.7
    [ "$(lines add | wc -l)" = 3 ]
    eval "$(lines add)"
    if from 192.0.2.7; then echo "it is not kept out"; exit 1; fi
    from 127.0.0.1
    eval "$(lines delete)"
    from 192.0.2.7
  '
  echo "a flood is kept out by the lines of its page, nobody else is, and the last line takes it back"
else
  echo "SKIP flood: nft and a network of its own are needed, as root"
fi

# The disk: full, and then not.
not_ready() { if run health --ready >out 2>&1; then return 1; fi; }
until_it() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; fail "it never happened: $*"; }
if [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
  mkdir full
  mount -t tmpfs -o size=24m tmpfs full
  mounted=$work/full
  mkdir full/one
  # The reserve is made anew, by the size of the disk.
  tar -C one --exclude=./reserve --exclude=./reserve.start -cf - . | tar -C full/one -xf -
  start full/one || fail "it does not start"
  sign_in
  dd if=/dev/zero of=full/fill bs=1k >/dev/null 2>&1 || true
  until_it not_ready
  printf '{"a":"%s"}' "$(head -c 150000 /dev/zero | tr '\0' x)" >big.json
  ends 1 unavailable put big-1 big.json
  ends 1 disk-low put n-4
  kept
  well df -h "$DATA"
  well du -sh "$DATA"/*
  well run ofm org-status-set --orgcode ACME --status suspended
  well run ofm org-status-set --orgcode ACME --status verified
  cleans_up() { run mrs cleanup --container demo --all >out 2>&1; }
  until_it cleans_up
  # What took the disk takes what the reserve has given back too, and the server still stops and starts.
  dd if=/dev/zero of=full/fill-2 bs=1k >/dev/null 2>&1 || true
  stop_soon
  start full/one || fail "it does not start on a full disk"
  kept
  rm full/fill full/fill-2
  is_ready() { run health --ready >out 2>&1; }
  until_it is_ready
  sign_in
  well put n-4
  kept
  stop
  well run journal verify --data-dir full/one
  echo "a full disk: reads go on, operators act, it stops and starts, and with room it takes changes again"
else
  echo "SKIP disk-full: only root may make a small disk"
fi
echo "PASS emergencies"
