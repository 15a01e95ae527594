# shellcheck shell=bash
# HTTP as RFC 9110 has it, and bodies and heads that are none.

# A record of text, with its download url in U and its upload url in PUT.
text_record() {
  printf '<script>alert(1)</script>' | gzip -n >page.gz
  SIZE=$(stat -c %s page.gz) MD5=$(md5sum page.gz | cut -d' ' -f1)
  is "$(post "$2/mrs/record" '{"orgcode":"'"$ORG"'","container":"demo","record_id":"'"$1"'","mode":"presign","content_type":"text/html","size":'"$SIZE"',"content_md5":"'"$MD5"'"}')" 200 content_token "a promise"
  local token; token=$(field content_token) PUT=$(field url)
  is "$(curl -sS -o out -w '%{http_code}' -X PUT "${PUT/"$BASE"/"$BASE$2"}" -H 'content-type: text/html' -H 'content-encoding: gzip' --data-binary @page.gz)" 200 '' "an upload"
  is "$(post "$2/mrs/record/complete" '{"orgcode":"'"$ORG"'","container":"demo","record_id":"'"$1"'","content_token":"'"$token"'","size":'"$SIZE"',"content_md5":"'"$MD5"'"}')" 200 active "completing"
  is "$(get "$2/mrs/record" -d orgcode="$ORG" -d container=demo -d record_id="$1")" 200 download "a download url"
  U=$(field url)
}
text_record page ''
PAGE=$U
curl -sSI "$U" | tr -d '\r' >out
has "^HTTP/1.1 200" "HEAD"
has "^content-length: $SIZE$" "HEAD of content"
head_of "$U"
has "^content-length: $SIZE$" "GET of content"
cmp -s body page.gz || fail "GET of content: other bytes"
head_of "$U" -H 'if-match: "x"'; has '^http/1.1 412' "If-Match of another"
head_of "$U" -H "if-none-match: \"$MD5\""; has '^http/1.1 304' "If-None-Match of the same"
head_of "$U" -H 'range: bytes=2-5'; has '^http/1.1 206' "a range"; has "^content-range: bytes 2-5/$SIZE$" "a range"
head_of "$U" -H 'range: bytes=9999-'; has '^http/1.1 416' "a range beyond the end"
head_of "$BASE/mrs/list?orgcode=$ORG"; has '^http/1.1 401' "no credential"; has '^www-authenticate: bearer' "401"
head_of "$BASE/mrs/record" -H "$H" -H 'content-type: application/xml' -d '<a/>'; has '^http/1.1 415' "XML"
head_of "$BASE/mrs/list?prefix=$(head -c 20000 /dev/zero | tr '\0' a)" -H "$H"; has '^http/1.1 414' "a long query"
head_of "$BASE/health" -X DELETE; has '^http/1.1 405' "a wrong method"; has '^allow: ' "405"
head_of "$BASE/mrs/record" -H "$H" -H 'Expect: 100-continue' -d '{}'; has '^http/1.1 100' "Expect"; has '^http/1.1 400' "Expect"
echo "HEAD has the length of GET, and conditions, ranges, 401, 405, 414, 415 and Expect are as RFC 9110 has them"

is "$(curl -sS -o out -w '%{http_code}' "$BASE/prod/health")" 200 '"ok":true' /prod/health
is "$(curl -sS -o out -w '%{http_code}' "${U/"$BASE"/"$BASE/prod"}")" 200 '' /prod/content
cmp -s out page.gz || fail "/prod/content: other bytes"
text_record behind /prod
U=$PAGE
is "$(post /prod/mrs/doom '{"orgcode":"'"$ORG"'","container":"demo","record_id":"behind","expected_revision":2}')" 200 doomed "dooming behind /prod"
echo "behind /prod all is as without it, from the promise of an upload to the download"

serve other staged --set http.public_url=https://records.example/apis/records/ --set http.stage=prod
talk_to staged
# A proxy takes callers of that name to the server.
at_server() { sed "s,https://records.example,$BASE," <<<"$1"; }
is "$(post /prod/mrs/record '{"orgcode":"'"$ORG"'","container":"demo","record_id":"staged","mode":"presign","content_type":"text/html","size":'"$SIZE"',"content_md5":"'"$MD5"'"}')" 200 https://records.example/apis/records/content/ "a promise behind a public url"
CONTENT_TOKEN=$(field content_token)
is "$(curl -sS -o out -w '%{http_code}' -X PUT "$(at_server "$(field url)")" -H 'content-type: text/html' -H 'content-encoding: gzip' --data-binary @page.gz)" 200 '' "an upload by its path"
is "$(post /apis/records/mrs/record/complete '{"orgcode":"'"$ORG"'","container":"demo","record_id":"staged","content_token":"'"$CONTENT_TOKEN"'","size":'"$SIZE"',"content_md5":"'"$MD5"'"}')" 200 active "completing by its path"
is "$(get /prod/mrs/record -d orgcode="$ORG" -d container=demo -d record_id=staged)" 200 download "a download url behind a public url"
is "$(curl -sS -o out -w '%{http_code}' "$(at_server "$(field url)")")" 200 '' "a download by its path"
cmp -s out page.gz || fail "a download by its path: other bytes"
stop other
talk_to data
echo "with http.stage and a public_url with a path, uploads and downloads work"

# Of 20 downloads over one connection at least one is not held up for the 40 ms of a delayed ACK.
for _ in $(seq 20); do printf 'url = "%s"\noutput = "body"\n' "$U"; done >downloads
curl -sS -w '%{num_connects} %{time_total}\n' -K downloads >times
[ "$(cut -d' ' -f1 times | tr -d '\n')" = 10000000000000000000 ] || fail "downloads take more than one connection"
sort -k2 times | head -n 1 | awk '{ exit !($2 < 0.03) }' || fail "each download takes 30 ms: $(cat times)"
echo "small downloads leave without waiting for the ACK of their head"

refused() {
  has "^HTTP/1.1 $1 " "$3"
  has '^x-request-id: .' "$3"
  has "\"tag\":\"$2\"" "$3"
}
raw 'GET /health HTTP/1.1\r\n\r\n'; refused 400 invalid-input "no Host"
raw 'GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'; refused 400 invalid-input "two Hosts"
raw 'POST /mrs/record HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'; refused 400 invalid-input "CL and TE"
raw 'GET /health HTTP/1.1\r\nHost: a\r\nx: a\000b\r\n\r\n'; refused 400 invalid-input NUL
raw 'GET /health HTTP/1.1\r\nHost: a\r\nx: %s\r\n\r\n' "$(head -c 200000 /dev/zero | tr '\0' a)"; refused 431 head-too-large "a huge header"
raw 'POST /mrs/record HTTP/1.1\r\nHost: a\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n' "$H"; refused 400 invalid-input "a bad chunk size"
raw 'GET /health HTTP/1.1\nHost: a\n\n'; refused 400 invalid-input "bare line feeds"
raw 'GET /mrs/list HTTP/1.1\r\nHost: a\r\nx-orgcode: A1\r\nx-orgcode: B1\r\nConnection: close\r\n\r\n'; refused 400 invalid-orgcode "two x-orgcode"
echo "heads and chunks that are none are answered in the envelope, with a request id"

is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"demo","record_id":"r","content_type":"application/json","payload":1}')" 200 '"revision":1' "a record"
is "$(post /mrs/doom '["'"$ORG"'",null,"demo",null,null,null,null,"r",1]')" 400 'must be a JSON object' "an array"
is "$(invoke ofm_usage '["'"$ORG"'"]')" 400 'must be a JSON object' "an array for an operator function"
is "$(get /mrs/record/meta -d orgcode="$ORG" -d container=demo -d record_id=r)" 200 '"status":"active"' "the record after it"
ends 78 'is a section: write [http]' "$g3n" config server --settings <(echo 'http = ["127.0.0.1:1"]')
ends 78 'http.cors_origins is a list' "$g3n" config server --settings <(printf '[http]\ncors_origins = ["https://a"]\n')
echo "an array is neither a body nor a section nor a value"

words() { lacks 'struct|element|floating|u64|deseriali|column 1|expected |`' "$1"; }
is "$(post /usm/session/validate '[]')" 400 invalid-input "an array for a session"; words "an array"
is "$(post /usm/session/validate '{"session_guid":7}')" 400 session_guid "a number for a session"; words "a number"
is "$(post /mrs/record '{"size":1.5}')" 400 size "a fraction"; words "a fraction"
is "$(get /mrs/list -d orgcode="$ORG" -d limit=many)" 400 limit "a limit in words"; words "a query"
is "$(get /mrs/list -d orgcode="$ORG" -d colour=red)" 400 colour "an unknown field"; words "an unknown field"
is "$(post /mrs/doom $'\xef\xbb\xbf{}')" 400 'byte order mark' "a byte order mark"; words "a byte order mark"
printf '{"orgcode":"%s","container":"demo","content_type":"application/json","payload":1}' "$ORG" | gzip -n >body.gz
is "$(curl -sS -o out -w '%{http_code}' "$BASE/mrs/record" -H "$H" --data-binary @body.gz)" 400 gzip "gzip that is not said"; words "gzip"
is "$(curl -sS -o out -w '%{http_code}' "$BASE/mrs/record" -H "$H" -H 'Content-Encoding: gzip' --data-binary @body.gz)" 200 record_id "gzip that is said"
is "$(curl -sS -o out -w '%{http_code}' "$BASE/mrs/record" -H "$H" -H 'Content-Encoding: br' --data-binary @body.gz)" 415 content-encoding "another coding"
echo "messages are in the caller's words, and a body may be gzip when that is said"

head_of "$U"
has '^content-disposition: attachment; filename="page"$' "a download"
has "^content-security-policy: sandbox; default-src 'none'$" "a download"
has '^x-content-type-options: nosniff$' "a download"
lacks '^access-control' "a download of no page"
is "$(get /mrs/record -d orgcode="$ORG" -d container=demo -d record_id=page -d disposition=inline)" 200 download "an inline url"
head_of "$(field url)"
has '^content-disposition: inline' "an inline download"
has "^content-security-policy: sandbox; default-src 'none'$" "an inline download"
head_of -X OPTIONS "$BASE/mrs/record" -H 'Origin: https://app.example' -H 'Access-Control-Request-Method: POST'
has '^access-control-allow-origin: https://app.example$' "a preflight of a page that is listed"
head_of -X OPTIONS "$BASE/mrs/record" -H 'Origin: https://other.example' -H 'Access-Control-Request-Method: POST'
lacks '^access-control-allow' "a preflight of another"
echo "what is downloaded runs nothing here, and only pages that are listed may call"

LIST="$BASE/mrs/list?orgcode=$ORG"
is "$(curl -sS -o out -w '%{http_code}' "$LIST" -H "$H" -H 'Authorization: Basic eDp5')" 200 items "Basic beside a session"
is "$(curl -sS -o out -w '%{http_code}' "$LIST" -H "$H" -H 'Authorization: Bearer x')" 401 invalid-session "Bearer beside a session"
echo "only a Bearer token beside a session is a conflict"

KEYED='{"orgcode":"'"$ORG"'","container":"demo","content_type":"application/json","payload":1'
keyed() { curl -sS -o out -w '%{http_code}' "$BASE/mrs/record" -H "$H" -H "Idempotency-Key: $1" -d "$2"; }
is "$(keyed '"by header"' "$KEYED}")" 200 record_id "a key by header"
FIRST=$(field record_id)
is "$(keyed '"by header"' "$KEYED}")" 200 "$FIRST" "the same again"
is "$(post /mrs/record "$KEYED,\"idempotency_key\":\"by header\"}")" 200 "$FIRST" "the same by field"
make_account() { curl -sS -o out -w '%{http_code}' "$BASE/usm/service_account/create" -H "$H" -H 'Idempotency-Key: "an account"' -d '{"orgcode":"'"$ORG"'"}'; }
is "$(make_account)" 200 service_account_id "an account by a key"
ACCOUNT=$(field service_account_id)
is "$(make_account)" 200 "$ACCOUNT" "the same account again"
is "$(keyed '"another"' "$KEYED,\"idempotency_key\":\"by header\"}")" 400 invalid-idempotency-key "both and different"
is "$(post /mrs/record "${KEYED%1}{\"a\":1,\"a\":2},\"idempotency_key\":\"twice\"}")" 200 record_id "a member twice"
is "$(post /mrs/record "${KEYED%1}{\"a\":2},\"idempotency_key\":\"twice\"}")" 409 idempotency-conflict "the member once"
echo "Idempotency-Key is the field by another name, and a member that comes twice makes another request"

deep() { printf '%s%s,"payload":%s%s,"idempotency_key":"deep"}' "${KEYED%,*}" '' "$(head -c "$1" /dev/zero | tr '\0' '[')" "$(head -c "$1" /dev/zero | tr '\0' ']')"; }
deep 12000 >deep
is "$(curl -sS -o out -w '%{http_code}' "$BASE/mrs/record" -H "$H" -d @deep)" 400 invalid-json "a payload nested 12,000 deep"
is "$(curl -sS -o out -w '%{http_code}' "$BASE/health")" 200 '"ok":true' "the server after it"
echo "a body that is nested too deep is refused, and the server goes on"
