#!/usr/bin/env bash
# Prints a hash of the working copy as it is, with what is new and without what is ignored: what a commit of everything
# would hold. The index stays as it is.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"
index=$(mktemp)
trap 'rm -f "$index"' EXIT
cp "$(git rev-parse --git-path index)" "$index" 2>/dev/null || rm -f "$index"
export GIT_INDEX_FILE=$index
git add --all
git write-tree
