# shellcheck shell=bash
# Places that may only be read, disks that are full, and too few files.

# The program and a data directory that a server has ended with, for whoever may only read. Root may write anywhere, and is
# somebody else for this.
READER=() IN_NAMESPACE=(unshare --user --map-root-user --mount)
if [ "$(id -u)" = 0 ]; then
  READER=(setpriv --reuid 65534 --regid 65534 --clear-groups) IN_NAMESPACE=(unshare --mount)
fi
mkdir stand
cp "$g3n" stand/g3n
cp -a data stand/data
chmod 755 . stand
find stand/data -type d -exec chmod 555 {} +
find stand/data -type f -exec chmod 444 {} +
traces() { find stand/data -printf '%p %s %i %T@\n' | sort; }

# Each verb that only reads, by a user or on a mount: the words in front of the program. AS is in front of what reads the
# backup that came of it.
reads() {
  local before; before=$(traces)
  as() { "${@:3}" >out 2>told.1 || { cat told.1 >>out; fail "$1: ${*:3}"; }; grep -qF -- "$2" out || fail "$1: ${*:3}: it does not say $2"; }
  local what=$1; shift
  as "$what" good "$@" journal verify
  as "$what" position "$@" journal head --output json
  as "$what" record "$@" journal tail --lines 3
  as "$what" record.created "$@" journal show --record DEMO/demo/r
  as "$what" body_digest "$@" journal export
  as "$what" shown "$@" trace "$TRACED" --output json
  mkdir -m 777 aside
  as "$what" position "$@" backup create "$PWD/aside/backup" --output json
  as "$what" '"good":true' "${AS[@]}" "$work/stand/g3n" backup verify "$PWD/aside/backup" --output json
  rm -rf aside
  "$@" doctor --json --data-dir "$work/stand/data" >out 2>&1 || true
  lacks 'chown' "$what: doctor"
  [ "$before" = "$(traces)" ] || fail "$what: something was written"
}
by_reader() { (cd / && "${READER[@]}" "$work/stand/g3n" "$@" --data-dir "$work/stand/data"); }
on_mount() {
  # shellcheck disable=SC2016
  "${IN_NAMESPACE[@]}" sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 111; shift; exec "$@"' - \
    "$work/stand/data" "$work/stand/g3n" "$@" --data-dir "$work/stand/data"
}
AS=("${READER[@]}")
reads "a user who may only read" by_reader
echo "a user who may only read verifies, backs up, exports and traces, and nothing is written"
if on_mount journal head >out 2>&1; then
  AS=()
  reads "a read-only mount" on_mount
  echo "so it is on a read-only mount"
else
  echo "SKIP a read-only mount: nobody may mount here"
fi
find stand/data -type d -exec chmod 700 {} +
find stand/data -type f -exec chmod 600 {} +

if [ "$(id -u)" = 0 ]; then chown -R 65534:65534 stand/data; fi
chmod 500 stand/data/content
started() { "${READER[@]}" timeout 60 "$work/stand/g3n" serve --dev --data-dir "$work/stand/data" --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0; }
ends 1 'content cannot be written' started
chmod 700 stand/data/content
if [ "$(id -u)" = 0 ]; then chown -R 0:0 stand/data; fi
echo "a server whose content cannot be written is refused at start"

# shellcheck disable=SC2016
ends 78 'raise LimitNOFILE' bash -c 'ulimit -n 64; exec "$@"' - timeout 60 "$g3n" serve --dev --data-dir stand/data --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0
lacks 'deleted' "too few files"
echo "too few files: the limit is named, and no projections are to be deleted"

mkdir -p lost/lost+found
serve other lost
talk_to lost
is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"demo","record_id":"r","content_type":"application/json","payload":1}')" 200 '"revision":1' "lost+found"
cp -a lost beside
cp -a lost beside-too
for number in 1 2 3; do is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"demo","content_type":"application/json","payload":'"$number"'}')" 200 record_id "a record"; done
serve server beside
talk_to beside
is "$(get /mrs/record -d orgcode="$ORG" -d container=demo -d record_id=r)" 200 '"content":1' "a copy of a running server's disk"
is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"demo","record_id":"own","content_type":"application/json","payload":1}')" 200 '"revision":1' "a record of its own"
stop server
ends 0 good "$g3n" journal verify --data-dir beside
stop other
echo "a file system with lost+found is a data directory, and a copy of a running server's disk serves beside it"

rm -r beside-too/keys
serve other beside-too --log-dir "$work/new-keys"
grep -q keys-are-new new-keys/*.jsonl || fail "keys that are new are not told"
stop other
echo "new keys for a journal that is there are told at the start"

if "${IN_NAMESPACE[@]}" sh -c 'mkdir -p "$1" && mount -t tmpfs -o size=48m tmpfs "$1"' - "$work/disk" 2>/dev/null; then
  "${IN_NAMESPACE[@]}" env "METARECORD_BIN=$g3n" bash "$root/tests/examples/full_disk.sh"
else
  echo "SKIP a full disk: nobody may mount here"
fi
