#!/usr/bin/env bash
# Examples of what users of comparable systems report, typed as they stand against a running server: what happens when a
# request is repeated, and when the clock is set.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
while read -r name; do unset "$name"; done < <(compgen -e G3N_)
g3n=$(realpath "${METARECORD_BIN:-${CARGO_TARGET_DIR:-target}/debug/g3n}")
work=$(mktemp -d)
server=''
clean() {
  [ -z "$server" ] || { kill -KILL "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  rm -rf "$work"
}
trap clean EXIT
cd "$work"
fail() { echo "FAIL examples: $1"; cat out told 2>/dev/null || true; exit 1; }

# A server in development mode. With libfaketime its wall clock is set by the file `offset`, and its own count of time goes on.
faketime=$(find "$root/target/tools/" /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1 || true)
clock() { echo "$1" >offset; }
clock +0
by=(env)
[ -z "$faketime" ] || by=(env "LD_PRELOAD=$faketime" "FAKETIME_TIMESTAMP_FILE=$work/offset" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1)
"${by[@]}" "$g3n" serve --dev --data-dir data --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 --set ops.vacuum_pending_seconds=60 --set ops.clock_jump_seconds_max=60 >told 2>&1 &
server=$!
for _ in $(seq 600); do
  [ -e data/dev.json ] && break
  kill -0 "$server" 2>/dev/null || fail "the server does not start"
  sleep 0.1
done
fact() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" data/dev.json | head -n 1; }
BASE=$(fact base_url) OPERATORS=$(fact operator_url) ORG=$(fact orgcode) SESSION=$(fact session_guid)
TOKEN=$(fact operator_token) CODE=$(fact secret_code)
H="x-session-guid: $SESSION"

post() { curl -sS -o out -w '%{http_code}' "$BASE$1" -H "$H" -d "$2"; }
get() { curl -sSG -o out -w '%{http_code}' "$BASE$1" -H "$H" "${@:2}"; }
invoke() { curl -sS -o out -w '%{http_code}' "$OPERATORS/invoke/$1" -H "authorization: Bearer $TOKEN" -d "$2"; }
field() { grep -o "\"$1\":\"[^\"]*\"" out | head -n 1 | cut -d'"' -f4; }
# What a call must end with, and what its answer must hold.
is() { [ "$1" = "$2" ] || fail "$4: $1 and not $2"; grep -qF -- "$3" out || fail "$4: its answer does not say $3"; }
# Waits for what the server does by itself.
until_so() {
  for _ in $(seq 300); do
    "${@:2}" && return
    sleep 0.1
  done
  fail "$1"
}

# 3. Repeating is harmless
echo hello | gzip -n >hello.gz
SIZE=$(stat -c %s hello.gz) MD5=$(md5sum hello.gz | cut -d' ' -f1)
is "$(post /mrs/record '{"orgcode":"'$ORG'","container":"demo","record_id":"up","mode":"presign","content_type":"text/plain","size":'$SIZE',"content_md5":"'$MD5'"}')" 200 content_token promise
CONTENT_TOKEN=$(field content_token) URL=$(field url)
curl -sS -o put -X PUT "$URL" -H 'content-type: text/plain' -H 'content-encoding: gzip' --data-binary @hello.gz
COMPLETE='{"orgcode":"'$ORG'","container":"demo","record_id":"up","content_token":"'$CONTENT_TOKEN'","size":'$SIZE',"content_md5":"'$MD5'","expected_revision":1}'
for _ in 1 2; do is "$(post /mrs/record/complete "$COMPLETE")" 200 '"revision":2' "record/complete"; done
echo "record/complete sent twice is the record twice"

is "$(post /mrs/record '{"orgcode":"'$ORG'","container":"demo","content_type":"application/json","payload":"\ud800","idempotency_key":"half"}')" 200 '"success":true' 'half a surrogate pair'
echo 'a payload of "\ud800" with an idempotency key is taken'

KEYED='"orgcode":"'$ORG'","container":"demo","content_type":"application/json","payload":1,"idempotency_key":"set"'
is "$(post /mrs/record "{$KEYED,\"tags\":[\"a\",\"b\"],\"actor\":\"ann\",\"correlation_id\":\"c1\"}")" 200 record_id first
FIRST=$(field record_id)
is "$(post /mrs/record "{$KEYED,\"tags\":[\"b\",\"a\"],\"actor\":\"bob\",\"correlation_id\":\"c2\"}")" 200 "$FIRST" "other order and context"
echo "the order of tags, actor and correlation_id make no other request"

for number in $(seq 16); do
  curl -sS -o "at-once-$number" "$BASE/mrs/record" -H "$H" -d '{"orgcode":"'$ORG'","container":"demo","content_type":"application/json","payload":2,"idempotency_key":"at once"}' &
  callers[number]=$!
done
wait "${callers[@]}"
[ "$(cat at-once-* | grep -o '"record_id":"[^"]*"' | sort -u | wc -l)" = 1 ] || fail "commands at once with one key made more than one record"
echo "of commands at once with one key all get the first answer"

# 4. Time, without a clock that can be set
is "$(invoke ops_maintenance_schedule '{"secret_code":"'"$CODE"'","description":"d","duration":3600,"start":"2016-03-01T02:00:00Z"}')" 400 invalid-input "a slip in the year"
is "$(get /mrs/list -d orgcode="$ORG")" 200 '"success":true' "tenants are served"
echo "a window whose start is long past is refused, and tenants are served"

if [ -z "$faketime" ]; then
  echo "SKIP the clock: libfaketime is not here; tests/tools.sh gets it"
  echo "PASS examples"
  exit 0
fi
jumped() { get /ready >status; grep -q '"clock":"jumped"' out; }
confirm() { is "$(invoke ops_clock_confirm '{"reason":"as it should be"}')" 200 believed "clock-confirm"; }

is "$(invoke ops_vacuum_org '{"secret_code":"'"$CODE"'","orgcode":"'$ORG'","reason":"tried"}')" 200 pending "a vacuum"
VACUUM=$(field vacuum_id)
clock +120
until_so "the jump is seen" jumped
confirm
is "$(invoke ops_vacuum_status '{"vacuum_id":"'"$VACUUM"'"}')" 200 '"status":"pending"' "the vacuum after a jump"
is "$(invoke ops_vacuum_cancel '{"secret_code":"'"$CODE"'","vacuum_id":"'"$VACUUM"'"}')" 200 cancelled "cancelling it"
is "$(get /mrs/record/meta -d orgcode="$ORG" -d container=demo -d record_id=up)" 200 active "its data"
echo "a vacuum waits by elapsed time, and can be cancelled after the clock was set ahead"

DUE=$(date -u -d '+5 days' +%Y-%m-%dT%H:%M:%SZ)
is "$(post /mrs/record '{"orgcode":"'$ORG'","container":"demo","record_id":"due","content_type":"application/json","payload":1,"doom_at":"'"$DUE"'"}')" 200 doom_at "a due time"
clock +10d
until_so "the jump is seen" jumped
is "$(invoke jobs_run '{"job":"ttl-sweep"}')" 409 '"clock"' "the sweep after a jump"
clock +120
is "$(get /mrs/record/meta -d orgcode="$ORG" -d container=demo -d record_id=due)" 200 '"revision":1' "a record that was due by the wrong clock"
confirm
echo "a jump stops the sweep until an operator says that the time is right; nothing was lost"

is "$(post /mrs/record '{"orgcode":"'$ORG'","container":"demo","record_id":"'"$FIRST"'","expected_revision":1,"content_type":"application/json","payload":2}')" 200 '"revision":2' "changing the first"
clock +2d
until_so "the jump is seen" jumped
confirm
for _ in 1 2; do
  is "$(post /mrs/record "{$KEYED,\"tags\":[\"a\",\"b\"]}")" 200 '"revision":1' "a key past its time"
  [ "$(field record_id)" != "$FIRST" ] || fail "a key past its time names the first record"
done
echo "a key past its time is a new request with a fresh id"

now() { date -u -d "+2 days +$1" +%Y-%m-%dT%H:%M:%SZ; }
window() { is "$(invoke ops_maintenance_schedule '{"secret_code":"'"$CODE"'","description":"'"$1"'","duration":'"$2"',"start":"'"$(now "$3")"'"}')" 200 scheduled "a window"; }
window first 600 '0 seconds'
FIRST_WINDOW=$(field maintenance_id)
window second 600 '60 seconds'
SECOND_WINDOW=$(field maintenance_id)
status_of() { get /ops/maintenance/get -d maintenance_id="$1" >status; grep -q "\"status\":\"$2\"" out; }
until_so "the first begins" status_of "$FIRST_WINDOW" active
clock +53h
until_so "the second is missed" status_of "$SECOND_WINDOW" cancelled
is "$(invoke ops_maintenance_end '{"secret_code":"'"$CODE"'"}')" 200 ended "the end of the first"
is "$(invoke ops_audit '{"maintenance_id":"'"$SECOND_WINDOW"'"}')" 200 maintenance.missed "the audit"
echo "of two windows that overlap the second is cancelled when its time has passed"
kill -TERM "$server"
wait "$server" || fail "the server did not end well"
server=''
echo "PASS examples"
