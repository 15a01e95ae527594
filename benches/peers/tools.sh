#!/usr/bin/env bash
# Installs the servers that make bench-peers measures g3n against, where they are missing. What cannot be had is left out there, and said.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing+=(postgresql-15)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "SKIP ${missing[*]}: not installed; install them with your package manager to have them measured" >&2
  exit 0
fi

# Their packages would start servers of their own, which would take part of the machine that is measured.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
apt-get update -qq || echo "apt-get update failed; what apt knows already is tried" >&2
for package in "${missing[@]}"; do
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" ||
    echo "SKIP $package: apt cannot install it; it is not measured" >&2
done
