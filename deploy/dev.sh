#!/usr/bin/env bash
# Packs this working copy, deploys it in development mode below PREFIX, and looks whether it is well.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:?set PREFIX to the directory that releases are kept in}
mkdir -p "$prefix"
if [ ! -f "$prefix/arguments" ]; then
  printf '%s\n' --dev --listen "${LISTEN:-127.0.0.1:8000}" --operator-listen "${OPERATOR_LISTEN:-127.0.0.1:8001}" \
    --log-dir "$prefix/log" >"$prefix/arguments"
fi
archive=$(deploy/pack.sh)
echo "packed $archive"
deploy/release.sh deploy "$archive"

# Whatever this shell has for other servers.
unset G3N_BASE_URL G3N_SESSION_GUID G3N_API_KEY G3N_JWT G3N_JWT_FILE G3N_ORGCODE
export G3N_CONFIG=$prefix/data/profiles.toml G3N_PROFILE=dev
g3n=$prefix/current/bin/g3n
"$g3n" whoami --output json >/dev/null || { echo "deploy: it does not know its own development session" >&2; exit 1; }
"$g3n" journal verify --data-dir "$prefix/data" --output json >/dev/null || { echo "deploy: its history is not whole" >&2; exit 1; }
printf "well: ready, it knows its session, its history is whole. For this shell: export G3N_CONFIG=%q G3N_PROFILE=dev\n" "$G3N_CONFIG"
