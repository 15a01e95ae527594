#!/usr/bin/env bash
# Looks at what is staged, before it is committed: secrets, big files, binaries, formatting, scripts, and whether the gate
# has passed for it. Prints what is wrong, a line each, and ends with 1 if anything is. It reads what is staged, and not
# what lies in the working copy.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

bytes_max=${REVIEW_BYTES_MAX:-500000}
# Made by a program from the sources, and as big as what it describes; and what assets/SOURCES.toml lists.
big_allowed=${REVIEW_BIG_ALLOWED:-docs/openapi.json assets/swagger-ui/swagger-ui-bundle.js}
stamp=${CARGO_TARGET_DIR:-target}/gate/passed
wrongs=0
wrong() { echo "REFUSED $1"; wrongs=$((wrongs + 1)); }

mapfile -d '' -t files < <(git diff --cached --name-only --diff-filter=ACMRT -z)
if [ ${#files[@]} -eq 0 ] && git diff --cached --quiet; then echo "REFUSED nothing is staged; git add what is to be committed"; exit 1; fi

# Credentials by their own forms: keys of ours, tokens, and those of others that end up in repositories.
secrets=(
  'BEGIN ([A-Z]+ )*PRIVATE KEY'
  '\bg3nk_[A-Za-z0-9_-]{32,}'
  '\bop_[0-9a-f]{64}'
  '\b(AKIA|ASIA)[0-9A-Z]{16}\b'
  '\bgh[pousr]_[A-Za-z0-9]{36}'
  '\bxox[abprs]-[A-Za-z0-9-]{10,}'
  '\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}'
  '[a-z][a-z0-9+.-]*://[^/[:space:]:@"]+:[^/[:space:]:@"$<{]+@'
  '(passcode|password|secret_code|secret_key|api_key|operator_token)"?[[:space:]]*[:=][[:space:]]*"[A-Za-z0-9+/_=-]{20,}"'
)
pattern=$(IFS='|'; echo "${secrets[*]}")
for file in ${files[@]+"${files[@]}"}; do
  case $(basename "$file") in
    dev.json | profiles.toml | operator.token | *.pem | *.p12 | id_rsa* | id_ed25519* | .env | *.tfstate | *.tfstate.backup | *.tfvars)
      wrong "$file: such a file holds secrets; git rm --cached it, and ignore it" ;;
  esac
  # A link's content is where it leads, and a submodule has none.
  [ "$(git ls-files --stage -- "$file" | cut -c1-3)" = 100 ] || continue

  bytes=$(git cat-file -s ":$file")
  if [ "$bytes" -gt "$bytes_max" ] && [[ " $big_allowed " != *" $file "* ]]; then
    wrong "$file: $bytes bytes are over $bytes_max; keep it elsewhere"
  fi
  if [[ $(git diff --cached --numstat -- "$file") == -* ]]; then
    wrong "$file: it is binary; keep it elsewhere, or make it where it is needed"
    continue
  fi
  # Only what is added: a secret that was there before must be made useless anyhow, and is found by whoever looks.
  while IFS= read -r line; do
    wrong "$file: it looks like a secret (${line:0:24}...); take it out, and if it is real, make another one of it"
  done < <(git diff --cached --unified=0 --no-color --no-ext-diff -- "$file" | grep -E '^\+' | grep -vE '^\+\+\+ ' | grep -oE -- "$pattern" || true)
  if [[ $(git diff --cached --check -- "$file") == *'leftover conflict marker'* ]]; then wrong "$file: it has marks of a conflict"; fi

  case $file in
    *.rs)
      if ! rustfmt --version >/dev/null 2>&1; then
        echo "SKIP formatting of $file: rustfmt is not here"
      # Not by --check, which ends well whatever it finds in standard input.
      elif ! cmp --quiet <(git show ":$file") <(git show ":$file" | rustfmt --edition 2024 2>/dev/null); then
        wrong "$file: it is not formatted, or no Rust; cargo fmt, then git add it"
      fi ;;
    *.sh | .ci/run)
      git show ":$file" | bash -n 2>/dev/null || wrong "$file: bash cannot read it; bash -n $file" ;;
  esac
done

# The gate noted which files it passed for. Pages of text may differ: nothing that it runs reads them, but docs/.
tree=$(git write-tree)
if [ ! -f "$stamp" ]; then
  wrong "the gate has not passed here yet; make gate"
elif [ "$(cat "$stamp")" != "$tree" ]; then
  if ! changed=$(git diff --name-only "$(cat "$stamp")" "$tree" -- . ':(exclude,top)*.md' 2>/dev/null); then
    wrong "what the gate passed for is no longer known; make gate"
  elif [ -n "$changed" ]; then
    wrong "the gate passed for other files than are staged; make gate (other is: $(echo "$changed" | head -n 5 | paste -sd' '))"
  fi
fi

if [ "$wrongs" -gt 0 ]; then echo "FAIL review: $wrongs refused"; exit 1; fi
echo "PASS review (${#files[@]} files)"
