# shellcheck shell=bash
# What stopped newcomers in their first hour, as they typed it.
export G3N_CONFIG=$PWD/data/profiles.toml G3N_PROFILE=dev

echo '{"a": 1}' >first.json
ID=$("$g3n" records put --container hour --inline-payload-file first.json --tag first --bare)
ends 0 '"tags":["FIRST"]' "$g3n" mrs meta --container hour --record-id "$ID"
ends 0 "$ID" "$g3n" mrs list --tag first
ends 0 "$ID" "$g3n" mrs list --tag FIRST
ends 2 '<--inline-payload-file <FILE>|--file <FILE>|--batch <FILE>>' "$g3n" mrs put --container hour
ends 2 'Usage: g3n ops ping' "$g3n" ops ping --orgcode DEMO
ends 5 'the newest that it has: 1.' "$g3n" mrs get --container hour --record-id "$ID" --version 9
ends 0 'used --limit 256' "$g3n" mrs list --limit 1000
ends 1 '1 to 256' "$g3n" mrs containers --limit 0
head -c 4096 /dev/urandom >first.bin
"$g3n" mrs put --container hour --record-id bin --file first.bin >out
ends 0 '"record_id":"bin"' "$g3n" mrs get --container hour --record-id bin --out got.bin --output json
lacks '/content/' "an answer to get --out"
cmp first.bin got.bin || fail "get --out has other bytes"
ends 74 'No space left on device' "$g3n" mrs get --container hour --record-id bin --out /dev/full
"$g3n" mrs put --container hour --record-id quiet --inline-payload-file first.json >&- || fail "a put whose output is closed"
ends 0 quiet "$g3n" mrs meta --container hour --record-id quiet
echo "a put makes an id, a tag is in upper case, and an answer has no URL that is used"

ends 5 'export-make' "$g3n" utl export --orgcode NOSUCH --operator --out nowhere
ends 5 'This is the gateway' "$g3n" ops audit --operator-url "$BASE"
ends 4 "This is the operators' address" "$g3n" mrs list --base-url "$OPERATORS"
(mkdir -p elsewhere && cd elsewhere && "$g3n" journal verify) >out || fail "journal verify by the profile's directory"
has '"good":true' "journal verify elsewhere"
(cd elsewhere && "$g3n" doctor --json) >out || fail "doctor by the profile's directory"
has 'this directory.s server|held by process' "doctor elsewhere"
printf '[mrs]\nsweep_seconds = "15m"\n' >first.toml
ends 0 '"value":"900"' "$g3n" config server --settings first.toml --output json
printf '[mrs]\nsweep_seconds = 0\n' >first.toml
ends 78 'or a duration such as' "$g3n" config server --settings first.toml
ends 78 'file first.toml' "$g3n" serve --settings first.toml --data-dir never
[ ! -e never ] || fail "a refused start has made its directory"
"$g3n" doctor --json --data-dir never --listen 0.0.0.0:0 >out || true
has '"name":"public-url","state":"warn"' "doctor without a public url"
echo "addresses, directories and settings say whose they are"

export G3N_SECRET_CODE=$CODE
FIRST=$("$g3n" ops maintenance-schedule --description one --duration 1h --start 0s --bare)
ends 0 'begins when that one ends' "$g3n" ops maintenance-schedule --description two --duration 1h --start 0s
has "\"waits_for\":\"$FIRST\"" "the second window"
"$g3n" mrs list >out 2>&1 && fail "tenants are served during a window"
[ "$(grep -oE '[0-9]+ seconds' out | wc -l)" = 1 ] || fail "the seconds are not said once"
ends 0 'begins now' "$g3n" ops maintenance-end
ends 0 '"status":"ended"' "$g3n" ops maintenance-end
lacks 'begins_next' "the last window"
until_so "tenants are served" "$g3n" mrs list --output json
if command -v script >/dev/null; then
  script -qec "env -u G3N_SECRET_CODE $g3n ops secret-set" /dev/null </dev/null >out 2>&1 && fail "a second first code"
  has 'set already' "secret-set at a terminal"
  lacks 'First secret code' "secret-set at a terminal"
fi
ends 0 "$ORG" "$g3n" orgs org-list --prefix "${ORG:0:3}" --status verified
ends 0 demo@example.com "$g3n" users user-list --prefix demo@ --status active
lacks 'dana@' "users by a prefix"
echo "windows, the secret code and lists say what there is"
unset G3N_CONFIG G3N_PROFILE G3N_SECRET_CODE
