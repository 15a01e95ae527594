#!/usr/bin/env bash
# Reads what `cargo test` printed, and tells for each line of proofs.txt whether its tests ran and passed:
# proofs.sh OUTPUT [NAME]. Without a name it tells all.
set -euo pipefail
output=$1
wanted=${2:-}
proofs=${PROOFS:-$(dirname "$0")/proofs.txt}
bad=0
while read -r name beginnings; do
  if [ -z "$name" ] || [ "${name:0:1}" = '#' ]; then continue; fi
  [ -z "$wanted" ] || [ "$wanted" = "$name" ] || continue
  passed=0 wrong=
  for beginning in $beginnings; do
    # Not the lines that tell of a test that takes long.
    ran=$(grep -cE "^test $beginning.* \.\.\. ok" "$output" || true)
    failed=$(sed -n '/^failures:$/,$p' "$output" | grep -cE "^    $beginning" || true)
    [ "$ran" -gt 0 ] || wrong="$wrong; no test that passed begins with $beginning"
    [ "$failed" -eq 0 ] || wrong="$wrong; $failed failed of $beginning"
    passed=$((passed + ran))
  done
  if [ -z "$wrong" ]; then echo "PASS $name ($passed tests)"; else echo "FAIL $name: ${wrong#; }"; bad=1; fi
done <"$proofs"
# Output without an end is of tests that were ended.
grep -q '^test result: ' "$output" || { echo "FAIL proofs: $output does not tell how the tests ended"; bad=1; }
exit $bad
