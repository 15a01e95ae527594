#!/usr/bin/env bash
# Everything that must hold before a change is taken in. Prints `PASS name`, `FAIL name` or `SKIP name: why` for each and
# ends with 1 when one failed; with STRICT=1 also when one was skipped. When all of it was looked at and none failed it
# notes what was looked at, so that `make review` can tell whether that is what is committed.
#
# COVERAGE=0 runs the tests without measuring what they cover; GATE_ONLY="fmt clippy" looks at these alone.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

# The variable may be a program with arguments, such as `nice cargo`.
read -ra cargo <<<"${CARGO:-cargo}"
target=${CARGO_TARGET_DIR:-target}
out=$target/gate
mkdir -p "$out"
failed=0
skipped=0

wanted() { [ -z "${GATE_ONLY:-}" ] || [[ " $GATE_ONLY " == *" $1 "* ]]; }
pass() { echo "PASS $1 (${2:-$((SECONDS - began)) s})"; }
skip() { echo "SKIP $1: $2"; skipped=$((skipped + 1)); }
bad() {
  echo "FAIL $1: see $out/$1.txt, which ends with"
  tail -n 20 "$out/$1.txt" | sed 's/^/    /'
  failed=$((failed + 1))
}

# A check by its name and command. One that prints a line SKIP tells what it could not look at.
check() {
  local name=$1 began=$SECONDS line
  shift
  wanted "$name" || return 0
  if ! "$@" >"$out/$name.txt" 2>&1; then bad "$name"; return 1; fi
  pass "$name"
  while read -r line; do skip "$name" "${line#SKIP }"; done < <(grep '^SKIP ' "$out/$name.txt")
}

# Installs what measures, unless it is there; without a network there may be none.
can_measure() {
  [ "${COVERAGE:-1}" = 1 ] || return 1
  "${cargo[@]}" llvm-cov --version >/dev/null 2>&1 || "${cargo[@]}" install --locked cargo-llvm-cov >"$out/install.txt" 2>&1 || return 1
  [ -x "$(rustc --print target-libdir)/../bin/llvm-profdata" ] || rustup component add llvm-tools >>"$out/install.txt" 2>&1
}

# All tests, once, whatever is read from their output afterwards.
tests() {
  local began=$SECONDS
  if can_measure; then
    # Profiles of a run that failed are in the way of the next: their names are made of process ids, which come again.
    "${cargo[@]}" llvm-cov clean --profraw-only >>"$out/install.txt" 2>&1
    if "${cargo[@]}" llvm-cov test --locked --no-report >"$out/tests.txt" 2>&1; then
      pass tests
      # A server that a test kills while it writes leaves half a profile, which is passed over.
      "${cargo[@]}" llvm-cov report --summary-only --failure-mode all >"$out/coverage.txt" 2>&1
      # The table's last line: regions, functions and lines, each as all, missed, and the share that was reached.
      local share
      share=$(awk '$1 == "TOTAL" { print "regions " $4 ", functions " $7 ", lines " $10 }' "$out/coverage.txt")
      if [ -n "$share" ]; then echo "PASS coverage ($share)"; else bad coverage; fi
    else
      bad tests
    fi
  else
    if "${cargo[@]}" test --locked >"$out/tests.txt" 2>&1; then pass tests; else bad tests; fi
    if [ "${COVERAGE:-1}" = 1 ]; then skip coverage "cargo-llvm-cov cannot be had here"; else skip coverage "COVERAGE=$COVERAGE"; fi
  fi
  checks/proofs.sh "$out/tests.txt" | tee "$out/proofs.txt"
  failed=$((failed + $(grep -c '^FAIL' "$out/proofs.txt")))
}

documentation() { RUSTDOCFLAGS="-D warnings" "${cargo[@]}" doc --no-deps --locked; }
scripts() {
  local all
  mapfile -t all < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run checks/pre-commit)
  local each
  for each in "${all[@]}"; do bash -n "$each" || return 1; done
  if command -v shellcheck >/dev/null; then shellcheck "${all[@]}"; else echo "SKIP shellcheck is not here"; fi
}
supply_chain() {
  make --no-print-directory deny || return 1
  if grep -q '^advisories: skipped' "$out/supply-chain.txt"; then echo "SKIP advisories, whose database could not be fetched"; fi
}

before=$(checks/tree.sh) || exit 1
check fmt "${cargo[@]}" fmt --all -- --check
check clippy "${cargo[@]}" clippy --all-targets --locked -- -D warnings
if wanted tests; then tests; fi
check documentation documentation
check supply-chain supply_chain
check scripts scripts
check terraform deploy/terraform/check.sh
after=$(checks/tree.sh) || exit 1

if [ "$failed" -gt 0 ]; then echo "FAIL gate: $failed failed"; exit 1; fi
if [ "$skipped" -gt 0 ] && [ "${STRICT:-0}" = 1 ]; then echo "FAIL gate: $skipped skipped, and STRICT=1"; exit 1; fi
if [ -n "${GATE_ONLY:-}" ]; then echo "PASS of $GATE_ONLY alone"; exit 0; fi
if [ "$before" != "$after" ]; then echo "FAIL gate: files were changed meanwhile"; exit 1; fi
echo "$after" >"$out/passed"
echo "PASS gate ($skipped skipped)"
