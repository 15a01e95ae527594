#!/usr/bin/env bash
# Fuzzes each parser of bytes from outside with libFuzzer, guided by coverage, on the stable toolchain: FUZZ_SECONDS of
# each target (60), or of the one that FUZZ_TARGET names. What was found is kept below target/fuzz; the next run goes on
# with it. Needs a C++ compiler, for libFuzzer. See docs/fuzzing.md.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-60}
base=${CARGO_TARGET_DIR:-target}/fuzz

command -v "${CXX:-c++}" >/dev/null || { echo "there is no C++ compiler for libFuzzer; install g++ or set CXX"; exit 1; }
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
for kind in inline-8bit-counters pc-table trace-compares; do
  coverage="$coverage -Cllvm-args=-sanitizer-coverage-$kind"
done
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, build scripts are built without the flags.
built=$(RUSTFLAGS="--cfg fuzzing --cfg fuzzing_libfuzzer $coverage" CARGO_PROFILE_DEV_OPT_LEVEL=2 \
  cargo test --locked --lib --no-run --target "$host" --target-dir "$base" 2>&1) || { echo "$built"; exit 1; }
program=$(echo "$built" | sed -n 's/.*Executable.*(\(.*\))$/\1/p')

failed=0
for test in $("$program" --list | sed -n 's/: test$//p' | grep '::fuzz_'); do
  name=${test##*::fuzz_}
  [ -z "${FUZZ_TARGET:-}" ] || [ "$name" = "$FUZZ_TARGET" ] || continue
  mkdir -p "$base/corpus/$name" "$base/found/$name"
  log=$base/found/$name.log
  arguments="-max_total_time=$seconds -timeout=10 -rss_limit_mb=2048 -print_final_stats=1"
  if FUZZ_SEEDS=$base/corpus/$name BOLERO_LIBFUZZER_ARGS="$arguments -artifact_prefix=$base/found/$name/ $base/corpus/$name" \
    "$program" --exact "$test" --nocapture --test-threads=1 >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    reached=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
    echo "PASS $name: $runs executions, $reached"
  else
    failed=1
    echo "FAIL $name: see $log and $base/found/$name; the input belongs into tests/fuzz/corpus"
    tail -n 20 "$log"
  fi
done
exit "$failed"
