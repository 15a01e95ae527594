#!/usr/bin/env bash
# Prints name, version and licence of each package of assets/SOURCES.toml in a form of printf(1).
set -euo pipefail
cd "$(dirname "$0")/.."
value() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" assets/SOURCES.toml; }
paste <(value name) <(value version) <(value licence) | while IFS=$'\t' read -r name version licence; do
  # shellcheck disable=SC2059 # The form is the caller's.
  printf "$1" "$name" "$version" "$licence"
done
