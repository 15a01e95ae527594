#!/usr/bin/env bash
# strip.sh PROGRAM DIR: puts the program into DIR without its line tables, and these into DIR/PROGRAM.debug. With that file
# beside it, or in /usr/lib/debug, a debugger and the program's own backtraces find the lines again.
set -euo pipefail
program=$(realpath "$1") dir=$2
name=$(basename "$program")
mkdir -p "$dir"
# Moved into place, so that one that runs is replaced and not written to.
new=$(mktemp -d "$dir/.$name.XXXXXX")
trap 'rm -rf "$new"' EXIT
if [ "$(head -c 4 "$program" | tail -c 3)" != ELF ] || ! command -v objcopy >/dev/null; then
  echo "strip: $program is installed as it is: it is no ELF program, or objcopy (binutils) is missing" >&2
  install -m 755 "$program" "$new/$name"
else
  objcopy --only-keep-debug --compress-debug-sections=zlib "$program" "$new/$name.debug"
  chmod 644 "$new/$name.debug"
  (cd "$new" && objcopy --strip-all --add-gnu-debuglink="$name.debug" "$program" "$name")
  chmod 755 "$new/$name"
  mv -f "$new/$name.debug" "$dir/"
fi
mv -f "$new/$name" "$dir/"
