# shellcheck shell=bash
# Repeating is harmless.
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
