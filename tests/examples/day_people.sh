# shellcheck shell=bash
# The first day of people: errors on standard error, sessions in profiles, lists, tables and messages that lead on.

# What a script keeps in a variable is the value or nothing, and why is on standard error.
nobody=(env G3N_SESSION_GUID=nobody G3N_BASE_URL="$BASE" G3N_ORGCODE="$ORG")
ID=kept
if ID=$(echo 1 | "${nobody[@]}" "$g3n" mrs put --container demo --inline-payload-file - 2>out); then fail "a put by nobody"; fi
[ -z "$ID" ] || fail "an error is on standard output: $ID"
has 'sign in with .g3n login' "a put by nobody"
if KEY=$("${nobody[@]}" "$g3n" usm api-key-create --service-account-id 78eb52f0-9534-4c13-8516-c80f0c3112d1 --bare 2>out); then fail "a usage error"; fi
[ -z "$KEY" ] || fail "--bare has more than the value: $KEY"
has 'the following required arguments' "a usage error"
if OUT=$("${nobody[@]}" "$g3n" mrs list --output json 2>out); then fail "a list by nobody"; fi
echo "$OUT" | grep -q '"tag":"invalid-session"' || fail "--output json has no envelope: $OUT"
echo "errors are words on standard error, and JSON on standard output for who asks for it"

# An operator's profile, and a home directory of a person's own.
OPERATOR=("$g3n" --config data/profiles.toml --profile dev)
echo "a passcode of dana" >dana.txt
ends 0 dana@example.com "${OPERATOR[@]}" uas user-create --email dana@example.com --passcode-file dana.txt --unverified
mkdir -p home
dana=(env -u G3N_CONFIG -u G3N_PROFILE HOME="$work/home" "$g3n")
ends 4 'g3n uas user-verify' "${dana[@]}" login --email dana@example.com --passcode-file dana.txt --base-url "$BASE"
[ ! -e home/.config/g3n/profiles.toml ] || fail "a failed sign-in has left a profile"
ends 0 '"verified":true' "${OPERATOR[@]}" uas user-verify --email dana@example.com
ends 0 '"profile":"default"' "${dana[@]}" login --email dana@example.com --passcode-file dana.txt --base-url "$BASE"
[ "$(stat -c %a home/.config/g3n/profiles.toml)" = 600 ] || fail "the profile can be read by others"
ends 0 dana@example.com "${dana[@]}" uas stat
ends 0 TEAMA "${OPERATOR[@]}" ofm org-create --orgcode TEAMA --owner-email dana@example.com
ends 0 '"orgcode":"TEAMA"' "${dana[@]}" whoami
ends 0 TEAMA "${OPERATOR[@]}" ofm org-list --limit 256 --output table
ends 0 dana@example.com "${OPERATOR[@]}" uas user-list --limit 256 --output table
ends 0 closed "${dana[@]}" logout
ends 4 'sign in with' "${dana[@]}" whoami
echo "a session is kept in a profile and ended, and operators list who there is"

ends 4 'g3n ops secret-set --rotate' "${OPERATOR[@]}" ops secret-set --secret-code 'another code of twelve'
ends 5 'There is no such org' "${OPERATOR[@]}" ofm org-get --orgcode NOBODYS --operator
ends 0 '"vacuum_id"' "${OPERATOR[@]}" ops vacuum-org --orgcode TEAMA --reason "left us" --secret-code "$CODE" --dry-run
ends 0 'org TEAMA' "${OPERATOR[@]}" ops audit --limit 256 --output table
lacks '[{}]' "a table"
ends 5 'no entry of DEMO/demo/nothing' "$g3n" journal show --data-dir data --record DEMO/demo/nothing
printf '[dev]\nbase_ulr = 1\n' >wrong.toml
ends 2 'wrong.toml, line 2: the profile dev has no key base_ulr' "$g3n" --config wrong.toml --profile dev whoami
echo "messages name the verb, the org, the line and the key"
