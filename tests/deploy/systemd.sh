#!/usr/bin/env bash
# Holds the units against systemd-analyze: nothing to complain of, and an exposure that stays below a bound.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Exposure in tenths, as `systemd-analyze security` gives it: 1.1 with systemd 252.
exposure_max=15
skip() { echo "SKIP systemd: $1"; [ "${STRICT:-0}" = 1 ] && exit 1; exit 0; }
# Whatever ends the server again and again must not end the service for good: systemd gives up after five times by default.
unlimited() { grep -qx 'StartLimitIntervalSec=0' "$1" && grep -qx 'Restart=on-failure' "$1"; }
unlimited deploy/systemd/metarecord.service || { echo "FAIL systemd: the service has a limit of starts"; exit 1; }
command -v systemd-analyze >/dev/null || skip "systemd-analyze is not here"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The units name where an installed binary lies; any program does for looking at them.
program=$(command -v true)
for unit in deploy/systemd/*.service deploy/systemd/*.timer; do
  sed "s#/usr/local/bin/g3n#$program#g" "$unit" >"$work/$(basename "$unit")"
done

analyze() {
  systemd-analyze verify "$@" 2>"$work/complaints" || { cat "$work/complaints"; echo "FAIL systemd: verify"; exit 1; }
  [ ! -s "$work/complaints" ] || { cat "$work/complaints"; echo "FAIL systemd: verify complains"; exit 1; }
}
exposed_too_much() { ! systemd-analyze security --offline=true --threshold="$exposure_max" "$1" >"$work/report" 2>&1; }

analyze "$work"/*.service "$work"/*.timer
for unit in "$work"/*.service; do
  if exposed_too_much "$unit"; then
    grep -v '^✓' "$work/report"
    echo "FAIL systemd: $(basename "$unit") is exposed by more than $exposure_max tenths"
    exit 1
  fi
  echo "$(basename "$unit"): $(tail -n 1 "$work/report" | grep -oE '[0-9]+\.[0-9]+') of 10 exposed"
done

# A bound that nothing can pass holds nothing: without its lines about system calls and users the unit passes it.
sed '/^SystemCallFilter/d; /^PrivateUsers/d; /^ProtectSystem/d' "$work/metarecord.service" >"$work/weak.service"
exposed_too_much "$work/weak.service" || { echo "FAIL systemd: a weakened unit is not noticed"; exit 1; }
echo "PASS systemd"
