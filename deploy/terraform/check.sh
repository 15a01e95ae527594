#!/usr/bin/env bash
# Formatting of the Terraform files, and whether they fit the provider, where that can be had. What cannot be looked at is
# printed as SKIP; with STRICT=1 that fails.
set -euo pipefail
cd "$(dirname "$0")"
skipped=0
skip() { echo "SKIP $1"; skipped=1; }

bash -n cloud.sh
bash -n fetch.sh
if ! command -v terraform >/dev/null; then
  skip "terraform is not here: https://developer.hashicorp.com/terraform/install"
else
  # A setting that names a file which is not there only makes it complain.
  [ -f "${TF_CLI_CONFIG_FILE:-/dev/null}" ] || unset TF_CLI_CONFIG_FILE
  terraform fmt -check -diff -recursive .
  echo "PASS terraform fmt"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if TF_DATA_DIR=$work terraform init -backend=false -input=false -lockfile=readonly >"$work/init" 2>&1 ||
    TF_DATA_DIR=$work terraform init -backend=false -input=false >"$work/init" 2>&1; then
    TF_DATA_DIR=$work terraform validate
    echo "PASS terraform validate"
  elif grep -qE 'could not connect|Failed to query available provider|no such host|timeout' "$work/init"; then
    skip "terraform validate: the provider cannot be had here"
  else
    cat "$work/init"
    echo "FAIL terraform init"
    exit 1
  fi
fi
[ $skipped = 0 ] || [ "${STRICT:-0}" != 1 ]
