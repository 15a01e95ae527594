#!/usr/bin/env bash
# On the instance, as root: gets an archive from the bucket and installs it, or brings the last backup to the bucket.
#
#   metarecord-fetch KEY SHA256
#   metarecord-fetch --leave
set -euo pipefail
# shellcheck source=/dev/null
. /etc/metarecord/cloud
export AWS_REGION=$REGION PATH=$PATH:/snap/bin

if [ "${1:-}" = --leave ]; then
  aws s3 sync --only-show-errors --no-follow-symlinks /var/lib/private/metarecord-backups/latest "s3://$BUCKET/backups/latest"
  exit
fi
key=${1:?give the name of the archive in the bucket}
sha256=${2:?give its hash}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aws s3 cp --only-show-errors "s3://$BUCKET/$key" "$work/archive.tar.gz"
/usr/local/sbin/metarecord-install "$work/archive.tar.gz" "$sha256"
