#!/usr/bin/env bash
# Releases beside each other, one of them current, run without systemd.
#
#   release.sh deploy ARCHIVE   unpack it, stop the current one, start it, and go back when it does not become ready
#   release.sh start | stop | restart | status
#   release.sh rollback         start the release before the current one
#   release.sh list | logs [--follow]
#
# PREFIX holds releases/, the links current and previous, data/, run/, log/ and `arguments`, a line each for `g3n serve`.
# READY_SECONDS (60) and STOP_SECONDS (30) are how long a start and an end may take.
set -euo pipefail

# Logs and data are their owner's alone.
umask 077
prefix=${PREFIX:?set PREFIX to the directory that releases are kept in}
ready_seconds=${READY_SECONDS:-60}
stop_seconds=${STOP_SECONDS:-30}
log_bytes_max=${LOG_BYTES_MAX:-50000000}
mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
data=$prefix/data
log=$prefix/log/g3n.log
pid_file=$prefix/run/g3n.pid
url_file=$prefix/run/base-url

say() { echo "release: $*"; }
fail() { echo "release: $*" >&2; exit 1; }

# One change at a time: a second one ends at once.
alone() {
  exec 9>"$prefix/.lock"
  flock --nonblock 9 || fail "another release.sh works on $prefix; wait until it has ended"
}

# When a process began, in ticks since the machine started: with its id it names one process for good. Nothing for one
# that is gone or only waits to be asked for its status.
began() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The name before may hold anything, also spaces and brackets. proc_pid_stat(5): the state is field 3, the time 22.
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" = Z ] || echo "${fields[19]}"
}

# The id of the process that was started from here, as long as it lives. Another that got its id is none of ours.
running() {
  local pid since
  read -r pid since 2>/dev/null <"$pid_file" || return 1
  [ -n "$since" ] && [ "$(began "$pid")" = "$since" ] && echo "$pid"
}

release_of() { local link; link=$(readlink "$prefix/$1") && basename "$link"; }

# The link is never missing and never half written.
point() {
  ln -sfn "releases/$2" "$prefix/.$1.new"
  mv -T "$prefix/.$1.new" "$prefix/$1"
}

start() {
  local pid
  if pid=$(running); then say "process $pid runs already"; return; fi
  [ -x "$prefix/current/bin/g3n" ] || fail "no release is current; give one: release.sh deploy ARCHIVE"
  mkdir -p "$prefix/run" "$prefix/log"
  local arguments=()
  [ ! -f "$prefix/arguments" ] || mapfile -t arguments <"$prefix/arguments"
  rm -f "$url_file"
  touch "$log"
  # What it told long ago goes; within one run it is what the server itself limits.
  [ "$(stat --format=%s "$log")" -lt "$log_bytes_max" ] || mv "$log" "$log.before"
  touch "$log"
  local told_before
  told_before=$(stat --format=%s "$log")
  # Its own session, so that no terminal takes it along, and no lock of this script is kept open by it.
  setsid "$(readlink -f "$prefix/current")/bin/g3n" serve --data-dir "$data" "${arguments[@]}" \
    >>"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(began "$pid")" >"$pid_file"
  await_ready "$told_before" || return 1
  say "$(release_of current) runs as process $pid at $(cat "$url_file")"
}

# Ready is what tells so itself, lives, and answers at the address it tells.
await_ready() {
  local told_before=$1 url
  # SECONDS counts whole ones: the first may be over at once.
  local until=$((SECONDS + ready_seconds + 1))
  while [ "$SECONDS" -lt "$until" ]; do
    running >/dev/null || { say "it ended before it was ready; the end of $log:"; tell_log "$told_before"; return 1; }
    url=$(tail --bytes=+"$((told_before + 1))" "$log" | sed -n 's/^Ready after .* gateway \([^,]*\),.*/\1/p' | tail -n 1)
    # Whoever has this machine's address need not be named in the certificate.
    local any=()
    [[ $url != https:* ]] || any=(--any-certificate)
    if [ -n "$url" ] && "$prefix/current/bin/g3n" health --ready "${any[@]}" --base-url "$url" >/dev/null 2>&1; then
      echo "$url" >"$url_file"
      return
    fi
    sleep 0.1
  done
  say "it was not ready within $ready_seconds s; the end of $log:"
  tell_log "$told_before"
  return 1
}

# The lines since a start, without the ones that show secrets of development mode.
tell_log() { tail --bytes=+"$(($1 + 1))" "$log" | grep -v '^export ' | tail -n 20 | sed 's/^/    /'; }

stop() {
  local pid
  if ! pid=$(running); then say "nothing runs"; rm -f "$pid_file" "$url_file"; return; fi
  kill -TERM "$pid"
  # SECONDS counts whole ones: the first may be over at once.
  local until=$((SECONDS + stop_seconds + 1))
  while running >/dev/null; do
    if [ "$SECONDS" -ge "$until" ]; then
      [ "${1:-}" = by_force ] || fail "process $pid has not ended within $stop_seconds s; look at $log, then kill -KILL $pid, which loses nothing that was answered"
      kill -KILL "$pid"
      until=$((SECONDS + 5))
    fi
    sleep 0.1
  done
  rm -f "$pid_file" "$url_file"
  say "process $pid has ended"
}

# Unpacks an archive that its SHA256SUMS agrees with. Its name and the start of its hash name the release, so that two
# archives never get into each other's way.
unpack() {
  local archive=$1 hash version
  [ -f "$archive" ] || fail "$archive is not there; make one: make pack"
  hash=$(sha256sum "$archive" | cut -d' ' -f1)
  local sums
  sums=$(dirname "$archive")/SHA256SUMS
  grep -qxF "$hash  $(basename "$archive")" "$sums" 2>/dev/null || fail "$archive is not what $sums says; copy both again"
  rm -rf "$prefix/releases/.unpacking"
  mkdir -p "$prefix/releases/.unpacking"
  tar --extract --gzip --file "$archive" --directory "$prefix/releases/.unpacking" --strip-components=1 --no-same-owner
  version=$(cat "$prefix/releases/.unpacking/VERSION")
  "$prefix/releases/.unpacking/bin/g3n" --version >/dev/null || fail "the program in $archive does not run on this machine"
  release=$version-${hash:0:10}
  if [ -d "$prefix/releases/$release" ]; then
    rm -rf "$prefix/releases/.unpacking"
  else
    mv -T "$prefix/releases/.unpacking" "$prefix/releases/$release"
  fi
}

deploy() {
  local before
  before=$(release_of current || true)
  unpack "$1"
  if [ "$release" = "$before" ] && running >/dev/null; then say "$release is current and runs"; return; fi
  stop
  [ -z "$before" ] || [ "$before" = "$release" ] || point previous "$before"
  point current "$release"
  start && return
  stop by_force
  if [ -z "$before" ] || [ "$before" = "$release" ]; then fail "$release did not become ready, and there is none to go back to"; fi
  say "$release did not become ready; going back to $before"
  point current "$before"
  start || fail "$before does not become ready either; see docs/runbook.md"
  fail "$release was rolled back; $before runs"
}

rollback() {
  local from to
  from=$(release_of current) || fail "no release is current"
  to=$(release_of previous) || fail "there is no release before $from"
  stop
  point current "$to"
  point previous "$from"
  start || fail "$to does not become ready; the log tells why. A data directory that a newer format was written to needs the newer release: release.sh rollback again, or restore a backup"
}

status() {
  local pid
  if ! pid=$(running); then say "$(release_of current || echo "no release") is current; nothing runs"; return 1; fi
  say "$(release_of current) runs as process $pid at $(cat "$url_file" 2>/dev/null || echo "an address it has not told yet")"
}

list() {
  local each current previous mark
  current=$(release_of current || true)
  previous=$(release_of previous || true)
  for each in "$prefix"/releases/*/; do
    each=$(basename "$each")
    mark=
    [ "$each" != "$previous" ] || mark=' (previous)'
    [ "$each" != "$current" ] || mark=' (current)'
    echo "$each$mark"
  done
}

# By the server's own files where `arguments` has --log-dir here, which can be asked for more; else what it printed.
logs() {
  if compgen -G "$prefix/log/g3n-*.jsonl" >/dev/null; then
    exec "$prefix/current/bin/g3n" logs --log-dir "$prefix/log" "$@"
  fi
  exec tail -n "${LINES_MAX:-100}" "$@" "$log"
}

command=${1:-}
shift || true
case $command in
  deploy) alone; deploy "${1:?give the archive: release.sh deploy ARCHIVE}" ;;
  start) alone; start ;;
  stop) alone; stop ;;
  restart) alone; stop; start ;;
  rollback) alone; rollback ;;
  status) status ;;
  list) list ;;
  logs) logs "$@" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
