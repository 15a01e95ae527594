#!/usr/bin/env bash
# Runs a command with a directory of its own for temporary files, and fails when something is left there.
set -euo pipefail
TMPDIR=$(mktemp -d)
# As open as the one it stands for: some tests run a program as another user.
chmod 755 "$TMPDIR"
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
"$@"
[ -z "$(ls -A "$TMPDIR")" ] || { echo "FAIL tidy: temporary files were left behind"; find "$TMPDIR" | head -n 30; exit 1; }
