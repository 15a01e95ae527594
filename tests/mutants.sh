#!/usr/bin/env bash
# Puts faults into the code, one at a time, and says of each whether the tests notice: a score by module, and what survived.
# MUTANTS of each module are tried (20), drawn by SEED (1); MODULE names one module, else all are tried. The results are
# kept below target/mutants. See docs/mutants.md.
set -euo pipefail
cd "$(dirname "$0")/.."

mutants=${MUTANTS:-20} seed=${SEED:-1}
out=${CARGO_TARGET_DIR:-target}/mutants

command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants

# A module's files, and behind the bar the tests that are run for it.
modules='domain|src/domain/**/*.rs|domain:: projections:: actors:: http::records http::ttl ops::model
journal|src/journal/**/*.rs|journal:: durability:: attacks::erasures
projections|src/projections/**/*.rs|projections:: http::lists http::versions attacks::quota upkeep::
content|src/content/**/*.rs|content:: http::presigned http::downloads attacks::content
auth|src/http/{identity,access,conceal,callers,gate,limits,places}.rs|http:: identity:: attacks::share attacks::at_once'

failed=0
while IFS='|' read -r module files tests; do
  [ -z "${MODULE:-}" ] || [ "$module" = "$MODULE" ] || continue
  mkdir -p "$out/$module"
  # The names of the sample, each as an expression that matches it alone.
  cargo mutants --list --json --file "$files" >"$out/$module/all.json"
  names=$(python3 - "$out/$module/all.json" "$seed" "$mutants" <<'PYTHON'
import json, random, re, sys

names = sorted(mutant["name"] for mutant in json.load(open(sys.argv[1])))
# fuzz.rs and tests are no part of the program.
names = [name for name in names if "/fuzz.rs" not in name and "/tests" not in name]
sample = random.Random(int(sys.argv[2])).sample(names, min(int(sys.argv[3]), len(names)))
print("\n".join("^" + re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", name) + "$" for name in sorted(sample)))
PYTHON
)
  chosen=()
  while IFS= read -r name; do chosen+=(--re "$name"); done <<<"$names"
  read -ra filters <<<"$tests"
  # 2: some survived; 3: some ran out of time. Both are results.
  status=0
  cargo mutants --no-shuffle --colors never --output "$out/$module" --file "$files" "${chosen[@]}" \
    --cargo-test-arg=--locked -- --lib --test suite -- "${filters[@]}" || status=$?
  case $status in 0 | 2 | 3) ;; *) echo "FAIL $module: cargo-mutants ended with $status"; failed=1; continue ;; esac
  python3 - "$module" "$out/$module/mutants.out/outcomes.json" <<'PYTHON'
import json, sys

module, path = sys.argv[1:]
all = [outcome for outcome in json.load(open(path))["outcomes"] if outcome["scenario"] != "Baseline"]
count = lambda *kinds: sum(outcome["summary"] in kinds for outcome in all)
noticed, missed = count("CaughtMutant", "Timeout"), count("MissedMutant")
print(f"{module}: {noticed} of {noticed + missed} noticed, {count('Unviable')} do not compile")
for outcome in all:
    if outcome["summary"] == "MissedMutant":
        print("  survived:", outcome["scenario"]["Mutant"]["name"])
PYTHON
done <<<"$modules"
exit "$failed"
