#!/usr/bin/env bash
# Sends generated requests, good and bad, to a server of its own, and holds every answer against the OpenAPI document:
# no 5xx, no undocumented status, no answer that its schema does not describe or that lacks a header. The number of cases
# is bounded. A made-up token beside the session would only be refused, so there is none.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=${SCHEMATHESIS_VERSION:-4.32.5}
examples=${FUZZ_EXAMPLES:-60}
seed=${FUZZ_SEED:-1}
target=${CARGO_TARGET_DIR:-$PWD/target}

venv=$target/fuzz-venv
if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "schemathesis==$version"
fi

# shellcheck source=tests/dev_server.sh
. tests/dev_server.sh

run() {
  SCHEMATHESIS_HOOKS=hooks PYTHONPATH=tests/fuzz PYTHONDONTWRITEBYTECODE=1 \
    "$venv/bin/schemathesis" run "$(fact base_url)/openapi.json" \
    --header "x-session-guid: $(fact session_guid)" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,documented_error_tag \
    --phases examples,coverage,fuzzing --max-examples "$examples" --seed "$seed" \
    --generation-database none --generation-with-security-parameters false --no-color "$@"
}
# It ends the session that all the others need, so it comes last.
last=/usm/session/logout_everywhere
run --exclude-path "$last"
run --include-path "$last"

# Whatever was sent, the history is whole.
kill "$server"
wait "$server"
"$target/debug/g3n" journal verify --data-dir "$work/store"
