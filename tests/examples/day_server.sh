# shellcheck shell=bash
# The first day with a server: its own address in urls, what a refused start leaves, its first commands, and what a caller is told.

# Urls begin with an address that callers reach, and never with a name of somebody else's.
cat >everywhere.sh <<'SCRIPT'
set -euo pipefail
ip link set lo up
PATH=$(dirname "$1"):$PATH
"$1" serve --data-dir everywhere --listen 0.0.0.0:8000 --operator-listen 127.0.0.1:8001 >/dev/null 2>everywhere.told &
server=$!
trap 'kill -TERM $server; wait $server' EXIT
for _ in $(seq 600); do grep -q 'operator token' everywhere.told && break; sleep 0.1; done
mkdir -p pasted && cd pasted
# The commands that the server prints, as they stand, all at once.
sed -n '/^export /,/^$/p' ../everywhere.told >commands.sh
[ "$(grep -c '^g3n ' commands.sh)" = 3 ]
# shellcheck source=/dev/null
. ./commands.sh >/dev/null
session=$(g3n usm session-create --email you@example.com --passcode-file passcode.txt --bare)
for host in 127.0.0.1:8000 localhost:9 evil.example '[::]:8000' 0.0.0.0:8000; do
  curl -sS "http://127.0.0.1:8000/mrs/record" -H "x-session-guid: $session" -H "host: $host" -H 'x-forwarded-host: evil.example' \
    -d '{"orgcode":"ACME","container":"urls","content_type":"text/plain","size":1,"content_md5":"00000000000000000000000000000000"}' |
    grep -o '"url":"http://[^/]*' | cut -d/ -f3
done
SCRIPT
if unshare --net true 2>/dev/null; then
  ends 0 127.0.0.1:8000 unshare --net bash everywhere.sh "$g3n"
  printf '%s\n' 127.0.0.1:8000 localhost:9 127.0.0.1:8000 127.0.0.1:8000 127.0.0.1:8000 | diff - out || fail "the hosts in urls"
  grep -q 'Warning: 0.0.0.0:8000 uses plain HTTP' everywhere.told || fail "plain HTTP is not told"
  grep -q 'Warning: http.public_url is not set' everywhere.told || fail "the unknown url is not told"
else
  echo "SKIP listening on all addresses: nobody may make a network of their own here"
fi

# A start that is refused has written nothing.
ends 78 'development mode listens on loopback only' "$g3n" serve --dev --data-dir refused --listen 0.0.0.0:0
[ ! -e refused ] || fail "a refused start has made its directory"
touch file
ends 1 'is a file, and a directory is needed' "$g3n" serve --data-dir file --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0

# A window that is scheduled for now is there at once.
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
is "$(invoke ops_maintenance_schedule '{"secret_code":"'"$CODE"'","description":"d","duration":600,"start":"'"$now"'"}')" 200 '"status":"active"' "a window of now"
is "$(get /mrs/list -d orgcode="$ORG" -d container=demo)" 503 maintenance-mode "a list during it"
is "$(invoke ops_maintenance_end '{"secret_code":"'"$CODE"'"}')" 200 '"status":"ended"' "its end"
is "$(get /mrs/list -d orgcode="$ORG" -d container=demo)" 200 '' "a list after it"

# Credentials are told for what is wrong with them.
is "$(curl -sS -o out -w '%{http_code}' "$BASE/whoami")" 401 'No credential was sent. Sign in with' "no credential"
is "$(curl -sS -o out -w '%{http_code}' "$BASE/whoami" -H 'x-session-guid: abc')" 401 'This session is not open' "a wrong session"
is "$(curl -sS -o out -w '%{http_code}' "$OPERATORS/invoke/ops_audit" -d '{}')" 403 'No operator token was sent' "no operator token"
is "$(curl -sS -o out -w '%{http_code}' "$OPERATORS/invoke/ops_audit" -H 'authorization: Bearer op_wrong' -d '{}')" 403 'The operator token is wrong' "a wrong operator token"
is "$(post /mrs/record/complete '{"orgcode":"'"$ORG"'","container":"demo","record_id":"r"}')" 400 'content_token is missing' "no content token"

# A download that any client can take.
printf 'hello, hello, hello' >plain
gzip -c plain >plain.gz
md5=$(md5sum plain.gz | cut -d' ' -f1) size=$(wc -c <plain.gz)
is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"demo","record_id":"decoded-1","content_type":"text/plain","size":'"$size"',"content_md5":"'"$md5"'"}')" 200 '' "a put"
url=$(field url) token=$(field content_token)
curl -sS -T plain.gz -H 'content-encoding: gzip' "$url"
is "$(post /mrs/record/complete '{"orgcode":"'"$ORG"'","container":"demo","record_id":"decoded-1","size":'"$size"',"content_md5":"'"$md5"'","content_token":"'"$token"'"}')" 200 \
  '"content_size_decoded":19' "its completion"
grep -qF "\"content_md5_decoded\":\"$(md5sum plain | cut -d' ' -f1)\"" out || fail "the MD5 of what it decodes to"
is "$(get /mrs/record -d orgcode="$ORG" -d container=demo -d record_id=decoded-1)" 200 'decoded=1' "its download"
curl -sS "$(field url_decoded)" | diff - plain || fail "the decoded content"
echo "a server tells its address, its first commands and what is wrong; windows begin at once, and downloads can come decoded"
