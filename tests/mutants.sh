#!/usr/bin/env bash
# Puts faults into the code, one at a time, and says of each whether the tests notice: a score by module, and what survived.
# MUTANTS of each module are tried (14), drawn by SEED (1); MODULE names one module, else all are tried. It works in a copy
# below target/mutants, at the lowest priority; the working copy is only read. See docs/mutants.md.
set -euo pipefail
cd "$(dirname "$0")/.."

mutants=${MUTANTS:-14} seed=${SEED:-1}
out=$PWD/target/mutants

if ! cargo mutants --version >/dev/null 2>&1; then
  echo "cargo-mutants is not here; cargo install puts it among cargo's programs"
  cargo install --locked cargo-mutants
fi

# Of each module its files, its unit tests, and the tests of the suite for what those miss. The slowest are left out.
modules='domain|src/domain/**/*.rs|domain::|actors:: projections:: http::records http::ttl http::errors ops::scenarios utl::lifecycle
journal|src/journal/**/*.rs|journal::|journal:: durability::faults durability::order attacks::erasures --skip journal::crash
projections|src/projections/**/*.rs|projections::|projections:: http::lists http::versions http::idempotency attacks::quota attacks::at_once upkeep::
content|src/content/**/*.rs|content::|http::presigned http::downloads attacks::content attacks::keys
auth|src/http/{auth/*,gate,limits,places}.rs|http::|http::lists http::limits http::strangers identity::access identity::doors identity::keys identity::people identity::sessions attacks::access attacks::share attacks::at_once ops::scenarios token::places'
[ -z "${MODULE:-}" ] || grep -q "^$MODULE|" <<<"$modules" || { echo "MODULE is one of $(cut -d'|' -f1 <<<"$modules" | xargs)"; exit 64; }

# One directory for the tree and one for what is built, so that a mutant costs an incremental build and no more.
tree=$out/tree
export CARGO_TARGET_DIR=$out/build
# One build time for all, or each mutant would be another program for this alone.
export SOURCE_DATE_EPOCH=1700000000
# That a property does not hold is enough; its smallest case is not looked for.
export PROPTEST_MAX_SHRINK_ITERS=1
mkdir -p "$tree/target" target/tools
ln -sfn "$PWD/target/tools" "$tree/target/tools"
exec 9>"$out/lock"
flock -n 9 || { echo "another run is under way in $out"; exit 75; }

# Tests that run out of time leave temporary files and servers behind.
TMPDIR=$(mktemp -d)
chmod 755 "$TMPDIR"
export TMPDIR
ended() {
  for process in /proc/[0-9]*; do
    case $(readlink "$process/exe" || true) in "$out"/build/*) kill -9 "${process#/proc/}" || true ;; esac
  done 2>/dev/null
  rm -rf "$TMPDIR"
}
trap ended EXIT
trap 'exit 130' INT TERM

# The tree follows the working copy: what differs is copied, and so gets a new time, what is gone is removed.
git ls-files -z --cached --others --exclude-standard | python3 -c '
import filecmp, os, shutil, sys

tree = sys.argv[1]
names = {name for name in sys.stdin.read().split("\0") if os.path.isfile(name)}
for name in names:
    there = os.path.join(tree, name)
    if not os.path.isfile(there) or not filecmp.cmp(name, there, shallow=False):
        os.makedirs(os.path.dirname(there), exist_ok=True)
        shutil.copy(name, there)
for root, folders, files in os.walk(tree):
    if root == tree:
        folders.remove("target")
    for name in files:
        path = os.path.join(root, name)
        if os.path.relpath(path, tree) not in names:
            os.remove(path)
' "$tree"

# tried MODULE OUTCOMES ARGUMENT...: puts the faults in and keeps what became of them. 2: some survived; 3: some ran out
# of time; both are results.
tried() {
  local folder=$out/$1 outcomes=$2 status=0
  shift 2
  nice -n 19 cargo mutants --dir "$tree" --in-place --no-shuffle --colors never --output "$folder" --caught --unviable \
    --timeout-multiplier 4 --minimum-test-timeout 180 --cargo-arg=--locked "${chosen[@]}" "$@" 9>&- || status=$?
  case $status in 0 | 2 | 3) ;; *) return "$status" ;; esac
  # There are none when nothing was left to try.
  [ ! -e "$folder/mutants.out/outcomes.json" ] || cp "$folder/mutants.out/outcomes.json" "$folder/$outcomes"
}

failed=0
while IFS='|' read -r module files unit suite; do
  [ -z "${MODULE:-}" ] || [ "$module" = "$MODULE" ] || continue
  mkdir -p "$out/$module"
  rm -f "$out/$module"/{unit,suite}.json
  cargo mutants --dir "$tree" --list --json --file "$files" >"$out/$module/all.json"
  # The names of the sample, each as an expression that matches it alone.
  names=$(python3 - "$out/$module/all.json" "$seed" "$mutants" <<'PYTHON'
import json, random, re, sys

names = sorted(mutant["name"] for mutant in json.load(open(sys.argv[1])))
# The first of one order, so that a larger sample has all of a smaller one.
random.Random(int(sys.argv[2])).shuffle(names)
sample = names[:int(sys.argv[3])]
print("\n".join("^" + re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", name) + "$" for name in sorted(sample)))
PYTHON
)
  chosen=()
  while IFS= read -r name; do
    file=${name%%\\.rs:*}.rs
    chosen+=(--re "$name" --file "${file#^}")
  done <<<"$names"
  read -ra filters <<<"$suite"
  # The suite is built and run for what the unit tests left, which is most of the time saved.
  if ! tried "$module" unit.json --cargo-arg=--lib -- -- "$unit" ||
    ! tried "$module" suite.json --iterate --cargo-arg=--test=suite -- -- "${filters[@]}"; then
    echo "FAIL $module: cargo-mutants could not try them"
    failed=1
    continue
  fi
  python3 - "$module" "$out/$module" <<'PYTHON'
import json, os, sys

module, folder = sys.argv[1:]


def outcomes(name):
    path = os.path.join(folder, name)
    every = json.load(open(path))["outcomes"] if os.path.exists(path) else []
    return {one["scenario"]["Mutant"]["name"]: one["summary"] for one in every if one["scenario"] != "Baseline"}


unit, suite = outcomes("unit.json"), outcomes("suite.json")
last = {**unit, **suite}
count = lambda kind: sum(summary == kind for summary in last.values())
possible = len(json.load(open(os.path.join(folder, "all.json"))))
near = sum(summary == "CaughtMutant" for summary in unit.values())
print("| module | possible | tried | caught by unit tests | by the suite | out of time | missed | do not compile |")
print(f"| `{module}` | {possible} | {len(last)} | {near} | {count('CaughtMutant') - near} | {count('Timeout')} "
      f"| {count('MissedMutant')} | {count('Unviable')} |")
for name, summary in last.items():
    if summary in ("MissedMutant", "Timeout"):
        print("  survived:" if summary == "MissedMutant" else "  out of time:", name)
PYTHON
done <<<"$modules"
exit "$failed"
