# shellcheck shell=bash
# Operating: signals and log files, what uploads decode to, paths, the document, holds, the audit.

logged() { grep -qs "$1" logs/*.jsonl; }
DAY=$(ls logs/*.jsonl)
mv "$DAY" logs/kept
kill -HUP "$server"
until_so "SIGHUP is told in a new file" logged SIGHUP
kill -0 "$server" || fail "SIGHUP ended the server"
is "$(curl -sS -o out -w '%{http_code}' "$BASE/health")" 200 '"ok":true' "after SIGHUP"
rm "$DAY"
asked() { curl -sS -o out "$BASE/mrs/list" -H 'x-request-id: after-removal'; [ -e "$DAY" ] && logged after-removal; }
until_so "a removed log file is begun again" asked
echo "SIGHUP has log files opened again, and the server goes on"

head -c 67108864 /dev/zero | gzip -n >zeros.gz
SIZE=$(stat -c %s zeros.gz) MD5=$(md5sum zeros.gz | cut -d' ' -f1)
is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"demo","record_id":"zeros","mode":"presign","content_type":"text/plain","size":'"$SIZE"',"content_md5":"'"$MD5"'"}')" 200 content_token "a promise"
is "$(curl -sS -o out -w '%{http_code}' -X PUT "$(field url)" -H 'content-type: text/plain' -H 'content-encoding: gzip' --data-binary @zeros.gz)" 400 '"tag":"decoded"' "64 MiB of zeros"
has '"tag":"too-large"' "64 MiB of zeros"
echo "what decodes to a thousand times its size is refused: too-large, decoded"

ODD=$'it\'s "odd" $HOME `id`\n\xff'
other_told() { grep -aqF 'curl -sS' odd.told; }
mkdir "$ODD"
"$g3n" serve --dev --data-dir "$ODD/data" --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 >/dev/null 2>odd.told &
other=$!
until_so "a server in an odd place is ready" other_told
# The line break of the path is within quotes.
sed -n '/^export G3N_CONFIG=/,/^export SESSION=/p' odd.told >odd.sh
ends 0 '"tenant_id":"DEMO"' env -i "PATH=$PATH" bash -c '. ./odd.sh; "$1" whoami' - "$g3n"
ends 2 'the variable G3N_PROFILE is not UTF-8 text' env -i G3N_PROFILE=$'\xff' "$g3n" whoami
ends 78 'did you mean G3N_HTTP_LISTEN?' env -i G3N_HTP_LISTEN=127.0.0.1:1 "$g3n" config server
stop other
echo "export G3N_CONFIG=.. survives any path, and variables that are misspelled or no text are refused"

curl -sS "$BASE/openapi.json" >document
[ -z "$(grep -o '"operationId": *"[^"]*"' document | sort | uniq -d)" ] || fail "the document has an operationId twice"
has_in_document() { grep -qE -- "$1" document || fail "the document has no $1"; }
has_in_document '"operationId": *"mrsRecordPut"'
has_in_document '"servers": *\['
has_in_document '"contact"'
has_in_document '"format": *"binary"'
# It had 8,000 lines for 67 operations once.
operations=$(grep -c '"operationId"' "$root/docs/openapi.json")
[ "$(wc -l <"$root/docs/openapi.json")" -lt $((operations * 8000 / 67)) ] || fail "docs/openapi.json is too long for $operations operations"
head_of "$BASE/openapi.json"
ETAG=$(sed -n 's/^etag: //p' out)
head_of "$BASE/openapi.json" -H "if-none-match: $ETAG"; has '^http/1.1 304' "the document again"
echo "the document has each operationId once, servers, a contact and binary bodies, and an ETag"

OPERATOR=("$g3n" --config data/profiles.toml --profile dev --orgcode "$ORG")
ends 0 '"actor":"ann"' "${OPERATOR[@]}" ops hold-set --container demo --reason 'a claim' --actor ann
ends 0 '"by":"operator"' "${OPERATOR[@]}" ops hold-list
has '"actor":"ann"' "hold-list"
ends 0 ' ann ' "${OPERATOR[@]}" ops hold-list --output table
ends 0 ' ann ' "${OPERATOR[@]}" ops audit --output table
is "$(get /mrs/record/meta -d orgcode="$ORG" -d container=demo -d record_id=page)" 200 'a claim' "meta of what is held"
is "$(invoke mrs_hold_list '{"orgcode":"'"$ORG"'"}')" 200 '"actor":"ann"' "who set it"
is "$(invoke uas_user_create '{"email":"ben@example.com","passcode":"a passcode that is long","actor":"ann"}')" 200 user_id "a user"
is "$(invoke ops_audit '{"limit":256}')" 200 uas_user_create "the audit"
has 'mrs_hold_set|hold_set' "the audit"
has '"actor":"ann"' "the audit"
is "$(invoke mrs_hold_release '{"orgcode":"'"$ORG"'","container":"demo","reason":"over"}')" 200 '' "its release"
for _ in 1 2; do
  is "$(post /mrs/ttl/set '{"orgcode":"'"$ORG"'","container":"demo","record_id":"r","doom_at":null,"expected_revision":1}')" 200 '"revision":1' "a ttl cleared"
done
echo "operators' acts are in the audit with who, meta shows a hold, and a ttl that is cleared twice adds no revision"

is "$(invoke utl_export '{"orgcode":"'"$ORG"'"}')" 200 export_id "an export"
made() { invoke utl_offboarding_status '{"orgcode":"'"$ORG"'"}' >status; grep -q '"status":"completed"' out; }
until_so "the export is made" made
is "$(get /utl/export/file -d orgcode="$ORG" -d name=events.jsonl.gz)" 200 '"url"' "a file of it"
URL=$(field url) SIZE=$(grep -o '"size":[0-9]*' out | head -n 1 | cut -d: -f2)
curl -sSI "$URL" | tr -d '\r' >out
has "^content-length: $SIZE$" "HEAD of an export"
head_of "$URL"
has "^content-length: $SIZE$" "GET of an export"
echo "HEAD of an export has the length of GET"
TRACED=a-put-to-trace
is "$(curl -sS -o out -w '%{http_code}' "$BASE/mrs/record" -H "$H" -H "x-request-id: $TRACED" -d '{"orgcode":"'"$ORG"'","container":"demo","record_id":"traced","content_type":"application/json","payload":1}')" 200 '"revision":1' "a record to trace"
