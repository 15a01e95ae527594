# shellcheck shell=bash
# Flags, variables and lists of the command line, as a newcomer types them.
export G3N_CONFIG=$PWD/data/profiles.toml G3N_PROFILE=dev
for number in 1 2 3; do echo "$number" | "$g3n" mrs put --container day --record-id "day-$number" --inline-payload-file - >out; done

"$g3n" mrs list --container day --all --limit 2 --output jsonl >out
[ "$(wc -l <out)" = 3 ] || fail "list --all --output jsonl"
for verb in 'mrs list' 'mrs due' 'mrs versions --container day --record-id day-1' 'mrs containers' 'ops audit'; do
  # shellcheck disable=SC2086
  "$g3n" $verb --all >out || fail "$verb --all"
  # shellcheck disable=SC2086
  "$g3n" $verb --all --output jsonl | head -n 1 >out || fail "$verb --all into head"
done
"$g3n" journal tail --all --data-dir data --output jsonl >out
echo "every list has --all, and jsonl prints an item a line"

for line in 'utl import nowhere --session-guid S' 'jobs list --orgcode DEMO' 'mrs stat --orgcode DEMO' 'ops stat --operator-url http://127.0.0.1:1'; do
  # shellcheck disable=SC2086
  ends 2 'does not use --' "$g3n" $line
done
"$g3n" ops audit --orgcode DEMO --all >out
echo "a flag of the connection is used or refused"

ends 2 'the variable G3N_SESSION_GUID is set, but empty' env G3N_SESSION_GUID="" "$g3n" mrs list
ends 78 'environment G3N_HTTP_LISTEN' env G3N_HTTP_LISTEN="" "$g3n" config server
env G3N_SESSION_GUID="$SESSION"$'\n' "$g3n" whoami >out || fail "a line break behind a session"
ends 2 'the variable G3N_SESSION_GUID cannot be sent' env G3N_SESSION_GUID=$'a\nb' "$g3n" whoami
echo "an empty variable is named, and a line break behind a session is none of it"

"$g3n" mrs ttl-set --container day --record-id day-1 --ttl 30d >out
"$g3n" mrs due --container day --before 5w --output jsonl >out
grep -q day-1 out || fail "--ttl 30d and --before 5w"
export G3N_SECRET_CODE=$CODE
"$g3n" ops maintenance-schedule --description later --duration 1h --start +15m --bare >out
"$g3n" ops maintenance-cancel --maintenance-id "$(cat out)" >out
"$g3n" ops audit --since 15m >out
grep -q maintenance.scheduled out || fail "--since 15m"
is "$(post /mrs/record '{"orgcode":"'$ORG'","container":"day","content_type":"application/json","payload":1,"doom_at":"1969-01-01T00:00:00Z"}')" 400 1970 "a due time before 1970"
echo "a time is a duration, too"

for line in "$g3n ops vacuum-org --orgcode DEMO --reason r <&-" "$g3n ops vacuum-org --orgcode DEMO --reason r </dev/null" "echo yes | $g3n ops vacuum-org --orgcode DEMO --reason r"; do
  ends 2 'give --yes' sh -c "$line"
done
ends 5 'not-found' "$g3n" ops vacuum-status --orgcode NOSUCH
echo "what destroys needs --yes where nobody can be asked"

"$g3n" utl export-make --orgcode DEMO >out
"$g3n" utl export --operator --orgcode DEMO --out bundle >out
"$g3n" utl verify bundle >out || fail "utl verify"
ends 6 orgcode "$g3n" utl import bundle --dry-run
ends 5 owner_user_id "$g3n" utl import bundle --owner-user-id nobody
printf x >>bundle/events.jsonl.gz
ends 1 events.jsonl.gz "$g3n" utl verify bundle
echo "an export is verified without a server, and an import is tried without a change"
unset G3N_CONFIG G3N_PROFILE G3N_SECRET_CODE
