# shellcheck shell=bash
# Clocks that are set, by libfaketime where it is here: the wall clock by the file offset, and its own count of time goes on.
is "$(invoke ops_maintenance_schedule '{"secret_code":"'"$CODE"'","description":"d","duration":3600,"start":"2016-03-01T02:00:00Z"}')" 400 invalid-input "a slip in the year"
is "$(get /mrs/list -d orgcode="$ORG")" 200 '"success":true' "tenants are served"
echo "a window whose start is long past is refused, and tenants are served"

if [ -z "$faketime" ]; then
  echo "SKIP the clock: libfaketime is not here; tests/tools.sh gets it"
  return 0
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

until_so "the jump is seen" jumped
confirm
echo kept | gzip -n >kept.gz
SIZE=$(stat -c %s kept.gz) MD5=$(md5sum kept.gz | cut -d' ' -f1)
for revision in '' ',"expected_revision":2'; do
  is "$(post /mrs/record '{"orgcode":"'$ORG'","container":"demo","record_id":"spoilt","mode":"presign","content_type":"text/plain","size":'"$SIZE"',"content_md5":"'"$MD5"'"'"$revision"'}')" 200 content_token "a promise"
  CONTENT_TOKEN=$(field content_token)
  curl -sS -o put -X PUT "$(field url)" -H 'content-type: text/plain' -H 'content-encoding: gzip' --data-binary @kept.gz
  find clocked/content -name '*.gz' | sort >files.before
  is "$(post /mrs/record/complete '{"orgcode":"'$ORG'","container":"demo","record_id":"spoilt","content_token":"'"$CONTENT_TOKEN"'","size":'"$SIZE"',"content_md5":"'"$MD5"'"}')" 200 active "completing"
  find clocked/content -name '*.gz' | sort >files.after
done
mkdir -p clocked/content/a-stray
printf x | dd of="$(comm -13 files.before files.after)" bs=1 seek=12 conv=notrunc status=none
is "$(invoke mrs_reconcile '{"orgcode":"'$ORG'","container":"demo","mode":"repair"}')" 200 '"repaired":1' "a repair"
is "$(get /mrs/record/versions -d orgcode="$ORG" -d container=demo -d record_id=spoilt)" 200 '"lost":true' "versions of what is lost"
is "$(get /mrs/record/meta -d orgcode="$ORG" -d container=demo -d record_id=spoilt)" 200 '"content_lost":true' "meta of what is lost"
ends 1 'copies of damaged content' "$g3n" doctor --dev --output json --data-dir clocked
has 'a-stray' "the doctor on what lies in content/"
clock +400d
until_so "the jump is seen" jumped
confirm
is "$(invoke jobs_run '{"job":"damaged-copies"}')" 200 damaged-copies "the job for damaged copies"
removed() { [ -z "$(find clocked/content -name '*.damaged')" ]; }
until_so "the copies of damaged content are removed" removed
echo "what is lost is marked, and copies of damaged content have an end"

stop server
clock +0
serve server clocked --log-dir "$work/behind"
grep -q '"cause":"clock-behind"' behind/*.jsonl || fail "a clock behind the journal is not told"
echo "a clock behind the journal is told at the start"
