#!/usr/bin/env bash
# Holds the MCP endpoint to other people's programs: the official conformance suite against the bridge and against a server
# of this build, and the clients of two other authors (Python, TypeScript), which create, find, read and doom a record.
# Says SKIP where npm, python3 or their packages cannot be had; STRICT=1 fails then.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=$PWD/tests/mcp
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/mcp-tools
python_client=2.3.0

skip() {
  echo "SKIP mcp-conformance: $1"
  [ "${STRICT:-}" = 1 ] && exit 1
  exit 0
}
for program in npm python3 timeout; do
  command -v "$program" >/dev/null || skip "$program is not here"
done
mkdir -p "$tools"
# The suite needs Node 22, which npm has, whatever Node runs npm.
if ! cmp -s "$here/package.json" "$tools/package.json" || [ ! -x "$tools/node_modules/.bin/node" ]; then
  cp "$here/package.json" "$tools/package.json"
  (cd "$tools" && timeout 300 npm install --no-audit --no-fund --no-package-lock --loglevel=error) || {
    rm -f "$tools/package.json"
    skip "the packages of npm cannot be installed here"
  }
fi
if ! "$tools/venv/bin/pip" list --format=freeze 2>/dev/null | grep -qxF "mcp==$python_client"; then
  { python3 -m venv "$tools/venv" && timeout 300 "$tools/venv/bin/pip" install --quiet "mcp==$python_client"; } ||
    skip "the Python client cannot be installed here"
fi

# Each program is ended when it takes too long; see tests/mcp/conformance.rs.
MCP_TOOLS=$tools timeout 900 cargo test --locked --quiet --test suite -- mcp::conformance --nocapture |
  tee "$tools/out"
# Tests that did not run would pass as well.
for done in "bridge 2026-07-28" "bridge 2025-11-25" "server 2026-07-28" "server 2025-11-25" "python 2026-07-28" \
  "python 2025-11-25" typescript; do
  grep -qF "OK $done" "$tools/out" || { echo "not run: $done"; exit 1; }
done
echo "OK mcp-conformance: the official suite, and clients in Python and TypeScript"
