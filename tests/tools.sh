#!/usr/bin/env bash
# Installs the programs that the tests call and that are missing.
set -euo pipefail

# What comes in packages that would do more than is needed is taken out of them, and nothing is installed.
tools=$(dirname "$0")/../target/tools
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# taken PACKAGE FILE: a file of a package, below target/tools.
taken() {
  local package=$1 file=$2
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "The tests need $(basename "$file"); install it: $3" >&2
    exit 1
  fi
  fetch() (cd "$scratch" && apt-get download -qq "$package" 2>/dev/null)
  if ! fetch; then
    if [ "$(id -u)" != 0 ]; then
      echo "The tests need $(basename "$file") and apt knows no package $package yet; run apt-get update as root, or install it." >&2
      exit 1
    fi
    apt-get update -qq
    fetch || { echo "The tests need $(basename "$file"), and apt has no package $package; install it: $3" >&2; exit 1; }
  fi
  mkdir -p "$tools"
  dpkg-deb --fsys-tarfile "$scratch/$package"_*.deb | tar -x -C "$tools" --wildcards "$file"
}

if ! command -v promtool >/dev/null && [ ! -x "$tools/usr/bin/promtool" ]; then
  taken prometheus ./usr/bin/promtool https://prometheus.io/download/
fi
# Another clock for a process, not for the machine. Without it tests/emergencies.sh skips what needs it, and says so.
if [ -z "$(find "$tools" /usr/lib /usr/lib64 /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)" ]; then
  (taken libfaketime './usr/lib/*/faketime/libfaketimeMT.so.1' https://github.com/wolfcw/libfaketime) || true
fi

# A browser for tests/browser, and axe-core, which finds barriers on its pages. Where they cannot be had those tests say SKIP, and
# STRICT=1 fails.
without() {
  echo "SKIP $1" >&2
  [ "${STRICT:-0}" = 1 ] && exit 1
  return 0
}
if ! command -v chromedriver >/dev/null || ! command -v chromium >/dev/null; then
  # In one call, because they must be of one version.
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver; } ||
      without "browser: apt cannot install chromium and chromium-driver"
  else
    without "browser: install chromium and chromium-driver with your package manager"
  fi
fi
axe=axe-core-4.14.1
axe_sha512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
if [ ! -f "$tools/$axe/axe.min.js" ]; then
  if command -v npm >/dev/null && (cd "$scratch" && npm pack --silent "${axe/core-/core@}" >/dev/null) &&
    echo "$axe_sha512  $scratch/$axe.tgz" | sha512sum --check --quiet; then
    mkdir -p "$tools/$axe"
    tar -xzf "$scratch/$axe.tgz" -C "$tools/$axe" --strip-components 1 package/axe.min.js package/LICENSE
  else
    without "axe: $axe cannot be had from npm"
  fi
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
