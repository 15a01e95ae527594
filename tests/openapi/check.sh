#!/usr/bin/env bash
# Holds docs/openapi.json to other people's tools: redocly and spectral find nothing, and clients that are generated for
# Python and TypeScript create, read, list, tag and doom against a server of this build. Says SKIP where node, python3 or
# their packages cannot be had; STRICT=1 fails then.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=$PWD/tests/openapi
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/openapi-tools
python_client=0.29.1

skip() {
  echo "SKIP openapi-check: $1"
  [ "${STRICT:-}" = 1 ] && exit 1
  exit 0
}
for program in node npm python3; do
  command -v "$program" >/dev/null || skip "$program is not here"
done
mkdir -p "$tools"
if ! cmp -s "$here/package.json" "$tools/package.json" || [ ! -x "$tools/node_modules/.bin/redocly" ]; then
  cp "$here/package.json" "$tools/package.json"
  (cd "$tools" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) ||
    skip "the packages of npm cannot be installed here"
fi
if ! "$tools/venv/bin/openapi-python-client" --version 2>/dev/null | grep -qF "$python_client"; then
  { python3 -m venv "$tools/venv" && "$tools/venv/bin/pip" install --quiet "openapi-python-client==$python_client"; } ||
    skip "openapi-python-client cannot be installed here"
fi
bin=$tools/node_modules/.bin

# The linters. Nothing is let pass, warnings included.
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
for document in docs/openapi.json docs/openapi-operator.json; do
  "$bin/redocly" lint "$document" --config "$here/redocly.yaml" --format summary 2>&1 | tee "$tools/redocly.out"
  grep -q 'Your API description is valid' "$tools/redocly.out" || { echo "redocly finds something"; exit 1; }
  ! grep -qiE '(error|warning) +[a-z-]+: [0-9]' "$tools/redocly.out" || { echo "redocly finds something"; exit 1; }
  "$bin/spectral" lint "$document" --ruleset "$here/spectral.yaml" --fail-severity hint
done

# The clients, of what the server gives and not of the file.
# shellcheck source=tests/dev_server.sh
. tests/dev_server.sh
BASE_URL=$(fact base_url) SESSION_GUID=$(fact session_guid)
export BASE_URL SESSION_GUID
"$tools/venv/bin/python" -c 'import sys,urllib.request; open(sys.argv[2],"wb").write(urllib.request.urlopen(sys.argv[1]).read())' \
  "$BASE_URL/openapi.json" "$work/openapi.json"

(cd "$work" && "$tools/venv/bin/openapi-python-client" generate --path openapi.json --meta none \
  --config "$here/python-client.yaml" --output-path metarecord_client --fail-on-warning)
PYTHONPATH=$work PYTHONDONTWRITEBYTECODE=1 "$tools/venv/bin/python" "$here/flow.py"

mkdir "$work/ts"
ln -s "$tools/node_modules" "$work/ts/node_modules"
cp "$here/flow.ts" "$tools/package.json" "$work/ts/"
"$bin/openapi-typescript" "$work/openapi.json" --output "$work/ts/schema.ts" >/dev/null
(cd "$work/ts" && "$bin/tsc" --strict --noUncheckedIndexedAccess --module nodenext --target es2022 --skipLibCheck \
  --types node flow.ts schema.ts && node flow.js)
echo "OK openapi-check: two linters, and clients in Python and TypeScript"
