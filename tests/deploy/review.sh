#!/usr/bin/env bash
# Holds the review and the gate's parts against a repository of its own: each thing that must be refused is, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/../.."
checks=$PWD/checks
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL review: $1"; sed 's/^/    /' "$work/out" 2>/dev/null || true; exit 1; }

# Nothing of this machine's git gets in; rustfmt stays to be found.
unset CARGO_TARGET_DIR
export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 HOME=$work
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
git init --quiet "$work/repository"
cd "$work/repository"
mkdir checks
cp "$checks"/*.sh "$checks/pre-commit" "$checks/proofs.txt" checks/
printf '/target\n' >.gitignore
printf 'fn main() {}\n' >main.rs
printf '# Text\n' >page.md
git add --all
git commit --quiet --message first

gate_passed() { mkdir -p target/gate; checks/tree.sh >target/gate/passed; }
reviewed() { checks/review.sh >"$work/out" 2>&1 || fail "refused: $1"; }
# Stages a file with what standard input holds, expects a word of the refusal, and takes it back.
refused() {
  local file=$1 told=$2
  mkdir -p "$(dirname "$file")"
  cat >"$file"
  git add --force -- "$file"
  gate_passed
  if checks/review.sh >"$work/out" 2>&1; then fail "not refused: $told"; fi
  grep -qF -- "$told" "$work/out" || fail "it does not say: $told"
  grep -qx 'FAIL review: 1 refused' "$work/out" || fail "more than one thing is refused: $told"
  git rm --quiet --force --cached -- "$file"
  rm -f -- "$file"
}

# What has the form of a secret is put together here, or this file would be refused itself.
long=$(printf 'a%.0s' $(seq 64))
echo "-----BEGIN RSA PRIVATE"" KEY-----" | refused key.txt "looks like a secret"
echo "key = g3nk""_$long" | refused a.txt "looks like a secret"
echo "op""_$long" | refused a.txt "looks like a secret"
echo "AKI""AIOSFODNN7EXAMPLE" | refused a.txt "looks like a secret"
echo "eyJ""hbGciOiJIUzI1NiJ9.eyJ""zdWIiOiIxMjM0NSJ9.c2lnbmF0dXJlLW9m" | refused a.txt "looks like a secret"
echo "https://user:pass""word@example.com/" | refused a.txt "looks like a secret"
echo "operator_token: \"$long\"" | refused "with spaces.txt" "looks like a secret"
echo '{}' | refused data/dev.json "such a file holds secrets"
echo '{}' | refused deploy/terraform.tfstate "such a file holds secrets"
seq 200000 | refused numbers.txt "bytes are over"
printf 'a\0b' | refused picture.bin "it is binary"
printf 'fn  other( ) {}\n' | refused other.rs "not formatted"
printf 'if true; then\n' | refused script.sh "bash cannot read it"
printf '<<<<<<< one\n=======\n>>>>>>> two\n' | refused merged.txt "marks of a conflict"

# What only looks a little like one passes: a hash, a place to be filled in, an address.
# shellcheck disable=SC2016
printf '%s\n' "$long" 'https://user:$PASSWORD@example.com/' 'operator_token = "..."' 'see http://127.0.0.1:8000/a@b' >plain.txt
git add --all
printf 'fn good() {}\n' >good.rs
git add --all
gate_passed
reviewed "what is no secret"

# What is staged counts, and not what lies beside it.
printf 'fn  other( ) {}\n' >main.rs
gate_passed
if checks/review.sh >"$work/out" 2>&1; then fail "the gate passed for another main.rs than is staged"; fi
git checkout --quiet main.rs

# The gate.
printf 'fn main() {\n    loop {}\n}\n' >main.rs
git add main.rs
if checks/review.sh >"$work/out" 2>&1; then fail "a stale gate is not noticed"; fi
grep -qF 'other files than are staged; make gate (other is: main.rs)' "$work/out" || fail "it does not say what is other"
gate_passed
printf '# Other text\n' >page.md
git add page.md
reviewed "a page that changed since"
rm target/gate/passed
if checks/review.sh >"$work/out" 2>&1; then fail "a gate that never passed is not noticed"; fi
git commit --quiet --message second
if checks/review.sh >"$work/out" 2>&1; then fail "nothing is staged"; fi

# The hook keeps a commit out, and lets one in. Others' hooks stay.
checks/hooks.sh >"$work/out" 2>&1 || fail "hooks"
printf 'more\n' >>plain.txt
git add plain.txt
if git commit --quiet --message third >"$work/out" 2>&1; then fail "the hook lets a commit in that the gate did not pass for"; fi
gate_passed
git commit --quiet --message third >"$work/out" 2>&1 || fail "the hook keeps out what is good"
checks/hooks.sh >"$work/out" 2>&1 || fail "hooks, again"
printf '#!/bin/sh\n' >.git/hooks/pre-commit
if checks/hooks.sh >"$work/out" 2>&1; then fail "another's hook is written over"; fi
[ "$(cat .git/hooks/pre-commit)" = '#!/bin/sh' ] || fail "another's hook was written over"

# What tests prove: all of a beginning must have run and passed, and a name that no test has is noticed.
printf 'one a::\ntwo b:: c::\n' >proofs.txt
proofs() { PROOFS=proofs.txt checks/proofs.sh "$work/told" >"$work/out" 2>&1; }
printf 'test a::x ... ok\ntest b::x ... ok\ntest c::x ... ok\ntest result: ok.\n' >"$work/told"
proofs || fail "proofs that hold"
grep -qx 'PASS two (2 tests)' "$work/out" || fail "proofs do not count"
sed -i 's/^test c::x .*/test c::x has been running for over 60 seconds/' "$work/told"
if proofs; then fail "a proof without tests is not noticed"; fi
printf 'test a::x ... ok\ntest b::x ... FAILED\ntest c::x ... ok\n\nfailures:\n    b::x\n\ntest result: FAILED.\n' >"$work/told"
if proofs; then fail "a proof that failed is not noticed"; fi
grep -q '^FAIL two: .*1 failed of b::' "$work/out" || fail "it does not say what failed"
printf 'test a::x ... ok\ntest b::x ... ok\ntest c::x ... ok\n' >"$work/told"
if proofs; then fail "tests that were broken off are not noticed"; fi
echo "PASS review"
