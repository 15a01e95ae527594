#!/usr/bin/env bash
# Installs the programs that the tests call and that are missing.
set -euo pipefail

missing=()
for tool in strace gzip python3 pkill script curl git; do
  command -v "$tool" >/dev/null && continue
  case $tool in
    pkill) missing+=(procps) ;;
    script) missing+=(bsdutils) ;;
    *) missing+=("$tool") ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
else
  echo "The tests need ${missing[*]}; install them with your package manager." >&2
  exit 1
fi
