# shellcheck shell=bash
# Starts a server of this build in development mode on free ports, in a directory of its own; the server and the directory
# end with the script that reads this file. Sets target, work, and server: the process. `fact NAME`
# is what `dev.json` says.
target=${CARGO_TARGET_DIR:-$PWD/target}

cargo build --locked --quiet --bin g3n
work=$(mktemp -d)
"$target/debug/g3n" serve --dev --data-dir "$work/store" --listen 127.0.0.1:0 --operator-listen 127.0.0.1:0 \
  >"$work/out" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 600); do
  [ -s "$work/store/dev.json" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$work/log"; exit 1; }
  sleep 0.1
done
fact() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/store/dev.json" "$1"; }
