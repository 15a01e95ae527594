#!/usr/bin/env bash
# Installs the programs that the tests call and that are missing.
set -euo pipefail

# promtool comes in a package that would start a server of its own: it is taken out of it, and nothing is installed.
tools=$(dirname "$0")/../target/tools
if ! command -v promtool >/dev/null && [ ! -x "$tools/usr/bin/promtool" ]; then
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "The tests need promtool; put it on the PATH: https://prometheus.io/download/" >&2
    exit 1
  fi
  mkdir -p "$tools"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  fetch() (cd "$scratch" && apt-get download -qq prometheus 2>/dev/null)
  if ! fetch; then
    if [ "$(id -u)" != 0 ]; then
      echo "The tests need promtool and apt knows no package prometheus yet; run apt-get update as root, or put promtool on the PATH." >&2
      exit 1
    fi
    apt-get update -qq
    fetch || { echo "The tests need promtool, and apt has no package prometheus; put promtool on the PATH: https://prometheus.io/download/" >&2; exit 1; }
  fi
  dpkg-deb --fsys-tarfile "$scratch"/prometheus_*.deb | tar -x -C "$tools" ./usr/bin/promtool
fi

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
