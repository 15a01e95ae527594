#!/usr/bin/env bash
# Sees in a minute and a half whether a server keeps what callers are promised, by g3n verify.
#
#   tests/smoke.sh local        a server of its own in development mode, on a free port and in a directory that goes away;
#                               called by a session, and by headers
#   tests/smoke.sh local URL    a server that runs already, with the credential of the profile or the environment
#   tests/smoke.sh remote       the server at SMOKE_URL with the token (JWT) in SMOKE_JWT_FILE, or in SMOKE_JWT
#
# Of both: G3N is the program (g3n), G3N_ORGCODE the org, SMOKE_ARGS more flags for g3n verify. The exit code is the
# verdict: 0 good, 1 not good, 2 not told enough.
set -euo pipefail

g3n=${G3N:-g3n}
read -r -a more <<<"${SMOKE_ARGS:-}"
# How often, and how many times, a server of its own is looked for before it is given up: a minute.
look_every=0.1 looks_max=600
server='' directory=''

usage() {
  echo "smoke: $1" >&2
  exit 2
}

leave() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  [ -z "$directory" ] || rm -rf "$directory"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

verify() {
  "$g3n" verify --output table "$@" ${more[@]+"${more[@]}"}
}

# Starts a server and waits until it has written where it is.
start() {
  directory=$(mktemp -d)
  "$g3n" serve --dev --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 --data-dir "$directory/data" \
    --set auth.header_identity=true --set auth.allow_insecure_header_identity=true \
    >"$directory/told" 2>"$directory/log" &
  server=$!
  for ((look = 0; look < looks_max; look++)); do
    [ ! -f "$directory/data/dev.json" ] || return 0
    if ! kill -0 "$server" 2>/dev/null; then
      cat "$directory/log" >&2
      echo "smoke: the server did not start" >&2
      exit 1
    fi
    sleep "$look_every"
  done
  cat "$directory/log" >&2
  echo "smoke: the server is not ready after a minute" >&2
  exit 1
}

# The server's own development profile counts, and nothing of this shell's.
own() {
  env -u G3N_BASE_URL -u G3N_SESSION_GUID -u G3N_API_KEY -u G3N_JWT -u G3N_JWT_FILE -u G3N_ORGCODE \
    G3N_CONFIG="$directory/data/profiles.toml" G3N_PROFILE=dev \
    "$g3n" verify --output table "$@" ${more[@]+"${more[@]}"}
}

case ${1:-} in
  local)
    if [ -n "${2:-}" ]; then
      verify --url "$2"
    else
      start
      verdict=0
      own || verdict=$?
      own --header-user smoke || verdict=$?
      exit "$verdict"
    fi
    ;;
  remote)
    [ -n "${SMOKE_URL:-}" ] || usage "set SMOKE_URL to the gateway's address, such as https://records.example"
    [ -n "${G3N_ORGCODE:-}" ] || usage "set G3N_ORGCODE to the org that the token is for"
    if [ -n "${SMOKE_JWT_FILE:-}" ]; then
      [ -r "$SMOKE_JWT_FILE" ] || usage "$SMOKE_JWT_FILE cannot be read; set SMOKE_JWT_FILE to a file with a token"
    elif [ -n "${SMOKE_JWT:-}" ]; then
      # By a file, which no list of processes shows.
      directory=$(mktemp -d)
      SMOKE_JWT_FILE=$directory/token
      (umask 077 && printf '%s' "$SMOKE_JWT" >"$SMOKE_JWT_FILE")
    else
      usage "set SMOKE_JWT_FILE to a file with a token (JWT) of the identity provider, or SMOKE_JWT to the token"
    fi
    verify --url "$SMOKE_URL" --jwt-file "$SMOKE_JWT_FILE"
    ;;
  *)
    usage "say local, local URL, or remote"
    ;;
esac
