#!/usr/bin/env bash
# Does to servers what the pages of docs/emergency are about, then types what they say, line by line from the pages
# themselves, and looks whether it helps. The commands that set the machine's own clock are typed by deploy/booted.sh.
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
by=(env) destroy_wait=1
# A server in the production environment, reached as operators do.
start() {
  DATA=$work/$1
  : >told
  # Where no clock is wrong, nobody waits for it to be corrected before something is removed.
  # shellcheck disable=SC2046
  "${by[@]}" env $(cat "$work/environment" 2>/dev/null || true) "$g3n" serve --data-dir "$DATA" --set ops.destroy_wait_seconds="$destroy_wait" --listen 127.0.0.1:0 --operator-listen "unix:$work/$1.sock" >told 2>&1 &
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

# What a page's line calls: the program, and the service, which is the server of the directory that DATA names. Everything
# else that it calls is there.
g3n() { "$g3n" "$@"; }
# shellcheck disable=SC2329
systemctl() {
  local name=${DATA#"$work/"}
  [ "$2" = metarecord ] || fail "systemctl $*"
  case $1 in
  stop) [ -z "$server" ] || stop ;;
  start) start "$name" ;;
  restart) stop_soon && start "$name" ;;
  *) fail "systemctl $*" ;;
  esac
}
id='' typed='' skipped=''
# The lines of a page's block of commands, by its number, as they stand there.
block() { awk -v n="$2" '/^ *```/ {open = !open; if (open) {of_text = !/^ *```$/; if (!of_text) count++} next} open && !of_text && count == n {sub(/^ +/, ""); print}' "$root/docs/emergency/$1.md"; }
# Types a block, with the paths of this machine, and ID as id has it. Each line must end with 0, or with what it says.
typed() {
  local line here wanted code
  while IFS= read -r line <&4; do
    typed+="$1: $line"$'\n'
    here=$(sed -E "s|/var/lib/metarecord-backups/latest|$work/latest|g; s|/var/lib/metarecord|$work/one|g; s|/run/metarecord/operators.sock|$work/${DATA#"$work/"}.sock|g; s|/etc/metarecord/environment|$work/environment|g; s|\\bID\\b|$id|g" <<<"$line")
    wanted=0 code=0
    if [[ $line =~ '# exit '([0-9]+) ]]; then wanted=${BASH_REMATCH[1]}; fi
    set +o pipefail
    eval "$here" >out 2>&1 </dev/null || code=$?
    set -o pipefail
    [ "$code" = "$wanted" ] || fail "$1: $line ended with $code"
  done 4< <(block "$1" "$2")
}

printf 'a passcode that is long\n' >passcode
printf 'a secret code that is long\n' >code
printf 'another code that is long\n' >code-2
echo '{"kept": true}' >note.json
start one || fail "it does not start"
typed README 1
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
typed runaway-tenant 1
grep -q 'mrs/ACME' out || fail "the newest entries do not say whose they are"
id=$account
typed runaway-tenant 2
ends 4 invalid-session by_key
ends 4 invalid-session run whoami
sign_in
typed runaway-tenant 3
ends 1 org-write-blocked put n-3
kept
typed runaway-tenant 4
ends 1 org-read-blocked run mrs get --container demo --record-id n-1
typed runaway-tenant 5
kept
well put n-3
echo "a tenant that runs away is stopped in three steps, and comes back"

# The secret code is forgotten: what works without it, and the way to another server.
ends 4 secret-code-mismatch run ops maintenance-schedule --secret-code-file code-2 --description d --duration 60 --start 2099-01-01T00:00:00Z
typed forgotten-secret-code 1
grep -q 'secret.set' out || fail "the audit does not tell when the code was set"
well run mrs hold-set --container demo --record-id n-2 --reason tried
well run mrs hold-release --container demo --record-id n-2
well run ops hold-set --orgcode ACME --reason tried
well run ops hold-release --orgcode ACME
well run jobs list
until_it() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; fail "it never happened: $*"; }
# What removes waits for the first seconds after a start, and says how long.
cleans_up() { run mrs cleanup --container demo --all >out 2>&1; }
until_it cleans_up
well run mrs reconcile --container demo --all
well run backup create "$work/without-code" --data-dir "$DATA"
typed forgotten-secret-code 2
stop
start two || fail "a new server does not start"
export G3N_PASSCODE='a passcode that is long'
cp code-2 code.txt
# The id is what the second line prints.
id=$(run uas user-get --email ann@example.com 2>/dev/null | sed -n 's/.*"user_id":"\([^"]*\)".*/\1/p' || true)
[ -z "$id" ] || fail "the new server knows users"
user_id() { sed -n 's/.*"user_id":"\([^"]*\)".*/\1/p' "$1" | head -n 1; }
while IFS= read -r line <&5; do
  [[ $line != *import* ]] || id=$made
  typed+="forgotten-secret-code: $line"$'\n'
  eval "$(sed -E "s|\\bID\\b|$id|g" <<<"$line")" >out 2>&1 </dev/null || fail "forgotten-secret-code: $line"
  [[ $line != *user-create* ]] || made=$(user_id out)
done 5< <(block forgotten-secret-code 3)
unset G3N_PASSCODE
sign_in
kept
well run ops maintenance-schedule --secret-code-file code-2 --description d --duration 60 --start 2099-01-01T00:00:00Z
stop
echo "an org whose server has lost its secret code goes on elsewhere"

# Key files: new ones end sessions and no passcodes, old ones bring them back.
start one || fail "it does not start"
sign_in
named=$("$g3n" ops token-create --name auditors --scope read --bare)
well env G3N_OPERATOR_TOKEN="$named" "$g3n" --output json ops audit
well run mrs put --container demo --record-id n-4 --inline-payload-file note.json --content-type application/json
well run mrs list --limit 1
page=$(field next_token)
# An upload that is promised and not sent yet.
promise='"orgcode":"ACME","container":"demo","record_id":"up-1","size":23,"content_md5":"00000000000000000000000000000000"'
gateway() { curl -sS "$G3N_BASE_URL$1" -H "x-session-guid: $G3N_SESSION_GUID" -d "$2"; }
well gateway /mrs/record "{$promise,\"mode\":\"presign\",\"content_type\":\"text/plain\",\"content_encoding\":\"gzip\"}"
upload_url=$(field url) content_token=$(field content_token)
well run uas user-create --email bob@example.com --passcode-file passcode
bob=$(field user_id)
stop
cp -a one/keys keys
rm -rf one/keys
start one || fail "without keys it does not start"
ends 4 invalid-session run whoami
ends 4 invalid-session by_key
ends 1 invalid-next-token env G3N_SESSION_GUID="$("$g3n" usm session-create --email ann@example.com --passcode-file passcode --bare)" "$g3n" --output json mrs list --limit 1 --next-token "$page"
ends 4 not-authorized env G3N_OPERATOR_TOKEN="$named" "$g3n" --output json ops audit
sign_in
kept
well gateway /mrs/record/complete "{$promise,\"content_token\":\"$content_token\"}"
grep -q invalid-content-token out || fail "a content token of a lost key is taken"
well curl -sS -X PUT "$G3N_BASE_URL/content/${upload_url##*/content/}" -H 'content-type: text/plain' -H 'content-encoding: gzip' -d 12345
grep -q not-authorized out || fail "a url of a lost key is taken"
# Addresses are not taken twice, and who had one is found by it.
ends 6 conflict run uas user-create --email ann@example.com --passcode-file passcode
ends 6 last-owner run ofm member-add --email ann@example.com
well run ofm member-add --email bob@example.com
grep -q "\"user_id\":\"$bob\"" out || fail "somebody else is invited than the user with the address"
well curl -sS --unix-socket "$work/one.sock" http://operators/invoke/uas_user_erase -H "Authorization: Bearer $G3N_OPERATOR_TOKEN" -d '{"email":"bob@example.com","reason":"tried","dry_run":true,"secret_code":"a secret code that is long"}'
grep -q "$bob" out || fail "somebody else would be erased than the user with the address"
well run ops maintenance-schedule --secret-code-file code --description d --duration 60 --start 2099-01-01T00:00:00Z
id=$account
typed lost-keys 2
stop
cp keys/* .
typed lost-keys 1
ends 4 invalid-session run whoami
sign_in
kept
well run ops token-list
stop
echo "lost keys: people sign in again; found keys count again"

# The projections: gone, and then damaged.
start one || fail "it does not start"
typed lost-projections 1
kept
typed lost-projections 2
grep -q '"differing_rows":0' out || true
stop
well run journal rebuild --data-dir one
grep -q '"differing_rows":0' out || fail "rows differ"
rm -rf one/projections.aside
echo "projections come back by themselves"

# The journal: a byte of its log.
start one || fail "it does not start"
well run backup create "$work/latest" --data-dir "$DATA"
sign_in
well put after-the-backup
stop
cp -a one damaged
segment=$(find damaged/journal -name '*.jsonl' | head -n 1)
sed -i 's/n-2/n-3/' "$segment"
ends 1 '"good":false' run journal verify --data-dir damaged
if start damaged; then fail "it starts with a damaged journal"; fi
grep -q 'damaged entry at .*jsonl, byte ' told || fail "it does not tell where the damage is"
DATA=$work/damaged
typed damaged-journal 1
[ -d damaged.damaged ] || fail "the damaged directory was not copied"
typed damaged-journal 2
sign_in
kept
ends 5 not-found run mrs get --container demo --record-id after-the-backup
stop
well run journal verify --data-dir damaged
typed damaged-journal 3
[ -s before.jsonl ] || fail "what is before the damage cannot be read"
[ -n "$(find . -maxdepth 1 -name 'damaged.replaced-*')" ] || fail "the existing data was not kept"
echo "a damaged journal is told with its place, a backup is restored, and what is before the damage can be read"

# The clock: two days ahead, and then right again.
faketime=$(find "$root/target/tools" /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1 || true)
if [ -n "$faketime" ]; then
  start one || fail "it does not start"
  sign_in
  well put due-1 note.json --doom-at "$(date -u -d '+1 day' +%Y-%m-%dT%H:%M:%SZ)"
  kept
  stop
  ahead=$(date -u -d '+2 days' +%Y-%m-%d)
  destroy_wait=60 by=(env LD_PRELOAD="$faketime" FAKETIME=+2d FAKETIME_DONT_FAKE_MONOTONIC=1)
  start one || fail "with a clock that is ahead it does not start"
  ends 4 invalid-session run mrs get --container demo --record-id n-1
  sign_in
  due_is_doomed() { run mrs list --container demo --status doomed >out 2>&1 && grep -q due-1 out; }
  for _ in $(seq 300); do ! due_is_doomed || break; sleep 0.1; done
  due_is_doomed || fail "what is due by a clock that is ahead is not shown as doomed"
  well put ahead-1
  well run mrs tag-add --container demo --record-id n-2 --tag ahead
  stop
  by=(env) destroy_wait=1
  start one || fail "with the right clock it does not start again"
  sign_in
  typed wrong-clock 2
  well run journal tail --data-dir "$DATA" --lines 100
  grep -q "$ahead" out || fail "the journal does not show what the wrong clock wrote"
  ! due_is_doomed || fail "a clock that was ahead has doomed a record for good"
  well run mrs get --record-id due-1 --container demo
  grep -q kept out || fail "the record is not there again"
  well put due-2
  well run mrs get --container demo --record-id due-2
  if grep -q "\"updated_at\":\"$ahead" out; then fail "what is written now has the wrong clock's time"; fi
  # What as_of shows of a moment in between.
  well run mrs tag-add --container demo --record-id n-2 --tag right
  now=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
  as_of() { run mrs meta --container demo --record-id "$1" --as-of "$now"; }
  well as_of due-2
  ends 5 not-found as_of ahead-1
  well as_of n-2
  grep -q '"revision":3' out || { grep -o '"revision":[0-9]*' out; fail "as_of shows a change of the clock that was ahead, or one behind it"; }
  well run mrs meta --container demo --record-id n-2
  if ! grep -q RIGHT out; then fail "without as_of the newest change is not shown"; fi
  well run journal export --format jsonl --as-of "$now" --data-dir "$DATA" --out as-of.jsonl
  if grep -q due-2 as-of.jsonl; then fail "an export as of now has what was recorded at a later time"; fi
  stop
  well run journal verify --data-dir one
  echo "a clock that was ahead: what it showed as doomed is there again, and the history continues in order"
else
  skipped+=' wrong-clock'
  echo "SKIP clock: libfaketime is not here; tests/tools.sh gets it"
fi

# A flood: who it is, a lower limit, and an address that is kept out before the server, in a network of its own.
start one || fail "it does not start"
ends 4 invalid-session run mrs list --session-guid 00000000000000000000000000000000
typed flood 1
typed flood 3
grep -q '200' out || fail "the setting is not shown"
tr '\0' '\n' <"/proc/$server/environ" | grep -q '^G3N_LIMITS_ADDRESS_PER_SECOND=200$' || fail "the server was not started with the lower limit"
stop
rm environment
if [ "$(id -u)" = 0 ] && command -v nft >/dev/null && command -v ip >/dev/null && unshare --net true 2>/dev/null; then
  lines=$(block flood 2)
  typed+=$(sed 's/^/flood: /' <<<"$lines")$'\n'
  # shellcheck disable=SC2016
  well unshare --net -- env G3N="$g3n" LINES_OF_PAGE="$lines" bash -euc '
    ip link set lo up
    ip address add 192.0.2.7/24 dev lo
    "$G3N" serve --data-dir flood --listen 127.0.0.1:8000 --operator-listen "unix:$PWD/flood.sock" >flood.out 2>&1 &
    server=$!
    trap "kill $server; wait $server || true" EXIT
    for _ in $(seq 600); do ! grep -q "^Ready after" flood.out || break; sleep 0.1; done
    from() { curl -sS --max-time 5 --interface "$1" http://127.0.0.1:8000/health >/dev/null 2>&1; }
    of_page() { grep "^nft $1" <<<"$LINES_OF_PAGE"; }
    from 192.0.2.7
    [ "$(of_page add | wc -l)" = 3 ]
    eval "$(of_page add)"
    if from 192.0.2.7; then echo "it is not kept out"; exit 1; fi
    from 127.0.0.1
    eval "$(of_page delete)"
    from 192.0.2.7
  '
  echo "a flood is kept out by the lines of its page, nobody else is, and the last line takes it back"
else
  skipped+=' flood'
  echo "SKIP flood: nft and a network of its own are needed, as root"
fi

# The disk: full, and then not.
not_ready() { if run health --ready >out 2>&1; then return 1; fi; }
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
  # A write that failed makes the server open its journal again by itself, which takes a moment.
  operators_act() { run ofm org-status-set --orgcode ACME --status parked >out 2>&1 || run ofm org-status-set --orgcode ACME --status verified >out 2>&1; }
  until_it operators_act
  typed disk-full 2
  typed disk-full 3
  well run ofm org-status-set --orgcode ACME --status verified
  until_it cleans_up
  typed disk-full 4
  # What took the disk takes what the reserve has given back too, and the server still stops and starts.
  dd if=/dev/zero of=full/fill-2 bs=1k >/dev/null 2>&1 || true
  typed disk-full 1
  kept
  rm full/fill full/fill-2
  is_ready() { run health --ready >out 2>&1; }
  until_it is_ready
  sign_in
  typed disk-full 5
  well put n-5
  kept
  stop
  well run journal verify --data-dir full/one
  echo "a full disk: reads go on, operators act, it stops and starts, and with room it takes changes again"
else
  skipped+=' disk-full'
  echo "SKIP disk-full: only root may make a small disk"
fi

# Nothing that the pages say to type was left out.
for page in "$root"/docs/emergency/*.md; do
  name=$(basename "$page" .md)
  [[ " $skipped " != *" $name "* ]] || continue
  for number in $(seq 20); do
    [ "$name-$number" != wrong-clock-1 ] || continue
    while IFS= read -r line; do
      grep -qxF -- "$name: $line" <<<"$typed" || fail "$name: nobody has typed $line"
    done < <(block "$name" "$number")
  done
done
echo "PASS emergencies"
