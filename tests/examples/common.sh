# shellcheck shell=bash
# What the scripts of this directory share. They are read by examples.sh, which sets root.
while read -r name; do unset "$name"; done < <(compgen -e G3N_)
g3n=$(realpath "${METARECORD_BIN:-${CARGO_TARGET_DIR:-target}/debug/g3n}")
work=$(mktemp -d)
server='' other=''
clean() {
  for one in $server $other; do
    kill -KILL "$one" 2>/dev/null || true
    wait "$one" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean EXIT
cd "$work"
fail() { echo "FAIL examples: $1"; cat out told 2>/dev/null || true; exit 1; }

# Starts a server in development mode on a directory, with more arguments; the variable of the first name gets its process.
# What by holds stands ahead of the program.
by=(env)
serve() {
  local -n process=$1
  rm -f "$2/dev.json"
  "${by[@]}" "$g3n" serve --dev --data-dir "$2" --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 "${@:3}" >>told 2>&1 &
  process=$!
  for _ in $(seq 600); do
    [ -e "$2/dev.json" ] && return
    kill -0 "$process" 2>/dev/null || fail "the server does not start"
    sleep 0.1
  done
  fail "the server is not ready"
}
stop() {
  local -n process=$1
  kill -TERM "$process"
  wait "$process" || fail "the server did not end well"
  process=''
}
fact() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "${2:-data}/dev.json" | head -n 1; }
# Whom the helpers below talk to: the server of a directory.
talk_to() {
  BASE=$(fact base_url "$1") OPERATORS=$(fact operator_url "$1") ORG=$(fact orgcode "$1") SESSION=$(fact session_guid "$1")
  TOKEN=$(fact operator_token "$1") CODE=$(fact secret_code "$1")
  H="x-session-guid: $SESSION"
}

post() { curl -sS -o out -w '%{http_code}' "$BASE$1" -H "$H" -d "$2"; }
get() { curl -sSG -o out -w '%{http_code}' "$BASE$1" -H "$H" "${@:2}"; }
invoke() { curl -sS -o out -w '%{http_code}' "$OPERATORS/invoke/$1" -H "authorization: Bearer $TOKEN" -d "$2"; }
field() { grep -o "\"$1\":\"[^\"]*\"" out | head -n 1 | cut -d'"' -f4; }
# What a call must end with, and what its answer must hold.
is() { [ "$1" = "$2" ] || fail "$4: $1 and not $2"; [ -z "$3" ] || grep -qF -- "$3" out || fail "$4: its answer does not say $3"; }
# Waits for what the server does by itself.
until_so() {
  for _ in $(seq 300); do
    "${@:2}" && return
    sleep 0.1
  done
  fail "$1"
}

# What a program must end with, and what it must say.
ends() {
  local wanted=$1 says=$2 code=0
  "${@:3}" >out 2>&1 || code=$?
  [ "$code" = "$wanted" ] || fail "${*:3}: exit $code and not $wanted"
  grep -qF -- "$says" out || fail "${*:3}: it does not say $says"
}
# The head of the answer to a GET, or of what the options say, in lower case.
head_of() { curl -sS -o body -D - "$@" | tr -d '\r' | tr '[:upper:]' '[:lower:]' >out; }
has() { grep -qE -- "$1" out || fail "$2: no $1"; }
lacks() { ! grep -qE -- "$1" out || fail "$2: $1"; }
# Sends bytes as printf makes them to the gateway, and keeps what comes back until the connection ends.
raw() {
  local address=${BASE#http://}
  exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
  # shellcheck disable=SC2059
  printf "$@" >&3 2>/dev/null || true
  timeout 20 cat <&3 >out || true
  exec 3>&-
  tr -d '\r' <out >out.1 && mv out.1 out
}
