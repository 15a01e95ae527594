# shellcheck shell=bash
# What the command line writes: to files of its user, to terminals and pipes, and to directories.
as_user() { env G3N_CONFIG="$work/data/profiles.toml" G3N_PROFILE=dev G3N_OPERATOR_TOKEN="$TOKEN" "$g3n" "$@"; }
printf '{"n":1}' >small.json
as_user mrs put --container demo --record-id o --file "$g3n" --content-type application/octet-stream >out || fail "put"
as_user mrs put --container demo --record-id s --inline-payload-file small.json >out || fail "put"

echo old >real; chmod 640 real; ln -s real link
ends 0 record_id as_user mrs get --container demo --record-id s --out link --output json
{ [ -L link ] && cmp -s real small.json && [ "$(stat -c %a real)" = 640 ]; } || fail "get --out of a link"
# Of the machine's own /dev/stdout, which a wrong program would replace, only the like is tried.
ln -s /proc/self/fd/1 stdout
as_user mrs get --container demo --record-id s --out stdout >f || fail "get --out /dev/stdout"
{ [ -L stdout ] && cmp -s f small.json; } || fail "get --out /dev/stdout > f writes something else"
echo "a file given with --out is the user's"

printf '"\\ud800"' | as_user mrs put --container demo --record-id half --inline-payload-file - >out || fail "half a pair"
[ "$(as_user mrs get --container demo --record-id half)" = '"\ud800"' ] || fail "half a pair does not come back"
echo "what HTTP stores the client reads"

for line in "mrs list" "mrs get --container demo --record-id o" "ops audit" "config show"; do
  code=0
  # shellcheck disable=SC2086
  as_user $line >/dev/full 2>out || code=$?
  { [ "$code" = 74 ] && grep -q 'standard output cannot be written' out; } || fail "$line > /dev/full: exit $code"
done
echo "output that cannot be written has a number of its own"

mkdir mine; echo '{}' >mine/manifest.json
as_user utl export-make --orgcode "$ORG" >out || fail "export-make"
ends 6 not-empty as_user utl export --operator --orgcode "$ORG" --out mine
ends 6 not-empty as_user utl export --operator --orgcode "$ORG" --out data
ends 6 not-empty as_user backup create data --data-dir data --operator-url "$OPERATORS"
ends 6 not-empty as_user backup create data/backup --data-dir data --operator-url "$OPERATORS"
ends 2 manifest.json as_user backup create mine --data-dir data --operator-url "$OPERATORS"
[ "$(ls -A mine)$(cat mine/manifest.json)" = 'manifest.json{}' ] || fail "something was written among the user's files"
echo "directories with other things are left alone"

serve other second
( talk_to second; ends 6 'is not the data directory' env G3N_OPERATOR_TOKEN="$TOKEN" "$g3n" backup create never --data-dir data --operator-url "$OPERATORS" ) || exit 1
[ ! -e never ] || fail "a backup of another server leaves something"
stop other
echo "a backup with another server's operator address names the mistake"
