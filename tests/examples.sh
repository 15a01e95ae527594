#!/usr/bin/env bash
# Examples of what users of comparable systems report, typed as they stand against a running server.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
# shellcheck source-path=SCRIPTDIR source=examples/common.sh
. "$root/tests/examples/common.sh"

faketime=$(find "$root/target/tools/" /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1 || true)
clock() { echo "$1" >offset; }
clock +0
serve server data --log-dir logs --set http.cors_origins=https://app.example
talk_to data
. "$root/tests/examples/http.sh"
. "$root/tests/examples/operating.sh"
. "$root/tests/examples/day_flags.sh"
. "$root/tests/examples/day_files.sh"
. "$root/tests/examples/day_server.sh"
. "$root/tests/examples/day_people.sh"
. "$root/tests/examples/day_tools.sh"
. "$root/tests/examples/day_first.sh"
stop server
. "$root/tests/examples/places.sh"
. "$root/tests/examples/tokens.sh"
. "$root/tests/examples/rules.sh"
serve server audited
talk_to audited
. "$root/tests/examples/day_audit.sh"

[ -z "$faketime" ] || by=(env "LD_PRELOAD=$faketime" "FAKETIME_TIMESTAMP_FILE=$work/offset" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1)
serve server clocked --set ops.vacuum_pending_seconds=60 --set ops.clock_jump_seconds_max=60
talk_to clocked
. "$root/tests/examples/repeating.sh"
. "$root/tests/examples/clock.sh"
stop server
echo "PASS examples"
