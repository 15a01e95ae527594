# shellcheck shell=bash
# What an auditor does beside a running server, and what the page of backups says to type, line by line.

ROOT_DATA=$work/audited
is "$(post /mrs/record '{"orgcode":"'"$ORG"'","container":"audit","record_id":"seen","content_type":"application/json","payload":{"a":1}}')" 200 '"revision":1' "a record for the auditor"

# The journal, read beside the server without the program that wrote it: it holds, and the records are those that are listed.
python3 "$root/examples/journal-check/journal_check.py" "$ROOT_DATA/journal" >out 2>&1 || fail "journal_check.py beside a server"
has '^[0-9]+ entries, ' "journal_check.py beside a server"
python3 "$root/examples/journal-fold/journal_fold.py" "$ROOT_DATA/journal" --org "$ORG" >folded || fail "journal_fold.py beside a server"
ends 0 '"items"' "$g3n" --config audited/profiles.toml --profile dev --output json mrs list --status all --limit 256
python3 - folded out <<'PYTHON' || fail "the fold and the list differ"
import json, sys

folded = [json.loads(line) for line in open(sys.argv[1])]
listed = json.load(open(sys.argv[2]))["data"]["items"]
sys.exit(folded != listed)
PYTHON
"$g3n" journal export --data-dir "$ROOT_DATA" --out history.log || fail "journal export"
python3 "$root/examples/journal-fold/journal_fold.py" history.log --org "$ORG" | cmp - folded || fail "the fold of an exported journal"
echo "a journal is checked and folded beside its server, and agrees with what the server lists"

# The lines of a section of the page of backups, with paths of this machine.
backup_lines() {
  sed -n "/^$1/,/^## /p" "$root/docs/backup.md" | sed -n 's/^    \(g3n .*\)/\1/p' |
    sed "s|/backup/metarecord|$work/kept/metarecord|g; s|/var/lib/metarecord|$2|g; s|--data-dir drill|--data-dir $work/drill|g; s|127.0.0.1:900[01]|127.0.0.1:0|g"
}
g3n() { G3N_CONFIG=$work/audited/profiles.toml G3N_PROFILE=dev "$g3n" "$@"; }
typed_lines=0
while IFS= read -r line <&4; do
  case $line in *restore*) line+=" --replace" ;; esac
  # The server runs while it is backed up, and is stopped before its directory is restored.
  case $line in *restore*) stop server ;; esac
  eval "$line" >out 2>&1 </dev/null || fail "$line"
  typed_lines=$((typed_lines + 1))
done 4< <(backup_lines '# Backup and restore' "$ROOT_DATA")
[ "$typed_lines" = 3 ] || fail "the page of backups begins with $typed_lines lines"
"$g3n" journal verify --data-dir "$ROOT_DATA" >out || fail "what was restored does not verify"
while IFS= read -r line <&4; do
  case $line in
  *'g3n serve '*) continue ;;
  esac
  eval "$line" >out 2>&1 </dev/null || fail "$line"
  typed_lines=$((typed_lines + 1))
done 4< <(backup_lines '## Drill' "$ROOT_DATA")
[ "$typed_lines" = 6 ] || fail "the drill has $((typed_lines - 3)) lines and a server"
unset -f g3n
echo "the lines of the page of backups work as typed: a running server, a restore, a drill"
