#!/usr/bin/env bash
# A disk that is full, in a mount namespace that ends with this script: what examples.sh types on one.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$root/tests/examples/common.sh"

away() {
  for one in $server; do kill -KILL "$one" 2>/dev/null || true; wait "$one" 2>/dev/null || true; done
  umount "$work/disk" 2>/dev/null || true
  clean
}
trap away EXIT
mkdir disk
mount -t tmpfs -o size=48m tmpfs disk
serve server disk/data
talk_to disk/data
LARGE=$(head -c 50000 /dev/zero | tr '\0' x)
for number in $(seq 10); do
  printf '{"orgcode":"%s","container":"demo","record_id":"w-%s","content_type":"application/json","payload":"%s"}' "$ORG" "$number" "$LARGE" >put
  is "$(post /mrs/record @put)" 200 '"revision":1' "a record"
done
stop server
# To the last byte.
head -c 100M /dev/zero >disk/fill 2>/dev/null || true

"$g3n" serve --dev --data-dir disk/data --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 >log 2>told &
server=$!
ready() { grep -q '^Ready after' told; }
until_so "it starts on a full disk" ready
BASE=$(sed -n 's/^Ready after .*gateway \([^,]*\),.*/\1/p' told | head -n 1)
small='{"orgcode":"'"$ORG"'","container":"demo","record_id":"n","content_type":"application/json","payload":1}'
is "$(get /mrs/record -d orgcode="$ORG" -d container=demo -d record_id=w-7)" 200 "$LARGE" "a read on a full disk"
is "$(get /ready)" 503 '"tag":"read-only"' "/ready on a full disk"
for _ in put doom; do
  is "$(post /mrs/record "$small")" 503 '"tag":"read-only"' "a change on a full disk"
done
head_of "$BASE/mrs/record" -H "$H" -d "$small"
has '^retry-after: 60$' "a change on a full disk"
grep -q 'read-only\|takes no changes' log || fail "the log does not say it"
rm disk/fill
taken() { [ "$(post /mrs/record "$small" 2>/dev/null)" = 200 ]; }
until_so "it takes changes once there is room" taken
is "$(get /mrs/record -d orgcode="$ORG" -d container=demo -d record_id=w-3)" 200 "$LARGE" "a read afterwards"
stop server
echo "on a full disk it starts, serves reads, says so, and takes changes by itself once there is room"
