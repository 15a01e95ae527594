#!/usr/bin/env bash
# Boots systemd in namespaces of its own with the unit as it is, and tries the service in its sandbox: it becomes ready,
# keeps a record and a file, comes back after a kill, takes a credential, is there while the clock is set, stops in order.
# Needs root and cgroups.
set -euo pipefail
cd "$(dirname "$0")/../.."
# No profile, address or credential of this shell.
while read -r name; do unset "$name"; done < <(compgen -e G3N_)
binary=$(realpath "${METARECORD_BIN:-${CARGO_TARGET_DIR:-target}/debug/g3n}")
skip() { echo "SKIP booted: $1"; [ "${STRICT:-0}" = 1 ] && exit 1; exit 0; }

if [ "${1:-}" = inside ]; then
  # Everything that systemd and the service could touch is a file system in memory or a layer over the machine's own.
  work=$2
  mount --make-rprivate /
  mount -t proc proc /proc
  ip link set lo up
  mkdir "$work/scratch"
  mount -t tmpfs tmpfs "$work/scratch"
  mkdir "$work/scratch/up" "$work/scratch/work"
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/scratch/up,workdir=$work/scratch/work" /etc
  # What sets the clock, as this machine has it.
  mkdir "$work/scratch/units"
  for unit in dbus.service dbus.socket systemd-timedated.service systemd-timesyncd.service; do
    [ ! -f "/lib/systemd/system/$unit" ] || cp "/lib/systemd/system/$unit" "$work/scratch/units/"
  done
  mkdir -p /opt
  for directory in /run /opt /var/lib /var/log /etc/systemd/system /lib/systemd/system; do mount -t tmpfs -o mode=755 tmpfs "$directory"; done
  mkdir -p /run/systemd/system /etc/metarecord /etc/systemd/system/metarecord.service.d
  # Where the installer puts the program, whatever is there on this machine.
  mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
  printf '[Service]\nStandardOutput=append:%s/said\nStandardError=append:%s/said\n' "$work" "$work" \
    >/etc/systemd/system/metarecord.service.d/said.conf
  printf '%s\n' 'G3N_HTTP_WORKERS=1' >/etc/metarecord/environment
  head -c 48 /dev/urandom | base64 -w0 >/etc/metarecord/shared-secret
  chmod 600 /etc/metarecord/shared-secret
  printf '%s\n' '[Service]' 'LoadCredential=shared-secret:/etc/metarecord/shared-secret' \
    'Environment=G3N_AUTH_JWT_HMAC_FILE=%d/shared-secret' 'Environment=G3N_AUTH_JWT_ISSUER=i' \
    'Environment=G3N_AUTH_JWT_AUDIENCE=a' >/etc/metarecord/identity.conf
  for target in sysinit basic shutdown network-online local-fs network umount final; do
    printf '[Unit]\nDefaultDependencies=no\n' >"/lib/systemd/system/$target.target"
  done
  printf '[Unit]\nDefaultDependencies=no\n' >/lib/systemd/system/tried.target
  cp "$work"/scratch/units/* /lib/systemd/system/ 2>/dev/null || true
  ln -s systemd-timedated.service /lib/systemd/system/dbus-org.freedesktop.timedate1.service
  # In a container the clock is the machine's to set. Here nothing but this network is reached, so nothing is set.
  mkdir -p /etc/systemd/system/systemd-timesyncd.service.d
  printf '[Unit]\nConditionVirtualization=\n' >/etc/systemd/system/systemd-timesyncd.service.d/here.conf
  # Services' private directories are made in a /tmp of this one's; what is needed of the machine's is seen through it.
  mount -t tmpfs tmpfs /mnt
  mkdir /mnt/work /mnt/source
  mount --bind "$work" /mnt/work
  mount --bind "$PWD" /mnt/source
  for directory in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$directory"; done
  mkdir -p "$work" "$PWD"
  mount --move /mnt/work "$work"
  mount --move /mnt/source "$PWD"
  # A group of mounts of its own: systemd hands out credentials by a mount that its other processes must see.
  mount --make-rshared /
  export container=unshare
  exec /lib/systemd/systemd --system --unit=tried.target --log-target=console --show-status=no
fi

[ "$(id -u)" = 0 ] || skip "only root may make these namespaces"
for program in /lib/systemd/systemd unshare nsenter ip; do command -v "$program" >/dev/null || skip "$program is not here"; done
unshare --mount --pid --fork --net --cgroup true 2>/dev/null || skip "namespaces cannot be made here"
[ -x "$binary" ] || { echo "FAIL booted: $binary is not there; build it, or set METARECORD_BIN"; exit 1; }

work=$(mktemp -d)
BINARY=$binary VERSION=1.0.0 DIST=$work/dist GZIP_LEVEL=1 deploy/pack.sh >/dev/null
# shellcheck disable=SC2016
printf '#!/bin/sh\ncase $1 in serve) exit 1 ;; completions|man|--version) ;; *) exit 1 ;; esac\n' >"$work/broken"
chmod +x "$work/broken"
BINARY=$work/broken VERSION=2.0.0 DIST=$work/dist GZIP_LEVEL=1 deploy/pack.sh >/dev/null
group=metarecord-booted-$$
hierarchies=()
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if [ -f "$hierarchy/cgroup.procs" ] && mkdir "$hierarchy/$group" 2>/dev/null; then hierarchies+=("$hierarchy"); fi
done
[ ${#hierarchies[@]} -gt 0 ] || { rm -rf "$work"; skip "no cgroup can be made here"; }

(
  for hierarchy in "${hierarchies[@]}"; do echo "$BASHPID" >"$hierarchy/$group/cgroup.procs"; done
  METARECORD_BIN=$binary exec unshare --mount --pid --fork --cgroup --uts --ipc --net --kill-child \
    "$0" inside "$work"
) >"$work/out" 2>&1 &
outer=$!
clean() {
  code=$?
  [ $code = 0 ] || { echo "FAIL booted"; tail -n 30 "$work"/out "$work"/*-out "$work/said" 2>/dev/null || true; }
  kill -KILL "$outer" 2>/dev/null || true
  wait "$outer" 2>/dev/null || true
  for hierarchy in "${hierarchies[@]}"; do
    for _ in $(seq 50); do
      find "$hierarchy/$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
      [ -d "$hierarchy/$group" ] || break
      sleep 0.1
    done
  done
  rm -rf "$work"
}
trap clean EXIT

first() { pgrep -P "$outer"; }
within() { nsenter --target "$init" --mount --pid --net --uts --ipc --cgroup -- "$@"; }
eventually() {
  local what=$1
  shift
  for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
  echo "gave up waiting: $what"
  return 1
}
systemd_runs() { init=$(first) && [ -n "$init" ] && [ "$(cat "/proc/$init/comm")" = systemd ]; }
eventually "systemd runs" systemd_runs
eventually "systemd answers" within systemctl is-active tried.target
within "$PWD/deploy/systemd/install.sh" "$work"/dist/metarecord-1.0.0-*.tar.gz
g3n() { within /usr/local/bin/g3n "$@"; }
property() { within systemctl show --property "$1" --value metarecord.service; }

eventually "the service is ready" g3n health --ready
pid=$(property MainPID)
within grep -q $'^Seccomp:\t2' "/proc/$pid/status"
within grep -q $'^CapEff:\t0000000000000000' "/proc/$pid/status"
echo "ready, with a system call filter and without any capability"

# What the operators' socket and the tenants' address do, a file's upload included.
token=$(within cat /var/lib/metarecord/keys/operator.token)
operator() { g3n --operator-url unix:/run/metarecord/operators.sock "$@"; }
printf 'a passcode that is long\n' >"$work/passcode"
export G3N_OPERATOR_TOKEN=$token
operator uas user-create --email ann@example.com --passcode-file "$work/passcode" >/dev/null
operator ofm org-create --orgcode ACME --owner-email ann@example.com >/dev/null
session=$(g3n usm session-create --email ann@example.com --passcode-file "$work/passcode" --bare)
export G3N_ORGCODE=ACME G3N_SESSION_GUID=$session
head -c 3000000 /dev/urandom >"$work/blob"
g3n mrs put --container demo --record-id blob-1 --file "$work/blob" --content-type application/octet-stream >/dev/null 2>&1
g3n mrs get --container demo --record-id blob-1 --out "$work/back" >/dev/null 2>&1
cmp "$work/blob" "$work/back"
echo "a user, an org, a session, and a file there and back"

if within env READY_SECONDS=20 "$PWD/deploy/systemd/install.sh" "$work"/dist/metarecord-2.0.0-*.tar.gz >"$work/broken-out" 2>&1; then exit 1; fi
grep -q '2.0.0.* was rolled back; 1.0.0.* runs' "$work/broken-out"
g3n mrs get --container demo --record-id blob-1 --out "$work/back" >/dev/null 2>&1
cmp "$work/blob" "$work/back"
echo "a release that does not start was rolled back"

# Forward to the same program under another name, and back.
BINARY=$binary VERSION=3.0.0 DIST=$work/dist GZIP_LEVEL=1 deploy/pack.sh >/dev/null
within "$PWD/deploy/systemd/install.sh" "$work"/dist/metarecord-3.0.0-*.tar.gz
within "$PWD/deploy/systemd/install.sh" --rollback
case $(within readlink /opt/metarecord/current) in releases/1.0.0-*) ;; *) echo "the release before does not run"; exit 1 ;; esac

within systemctl kill --signal=KILL metarecord.service
restarted() { [ "$(property NRestarts)" -ge 1 ] && g3n health --ready; }
eventually "it comes back after a kill" restarted
g3n mrs get --container demo --record-id blob-1 --out "$work/back" >/dev/null 2>&1
cmp "$work/blob" "$work/back"
echo "back after a kill, with what it had"

within cp /etc/metarecord/identity.conf /etc/systemd/system/metarecord.service.d/identity.conf
within systemctl daemon-reload
within systemctl restart metarecord.service
eventually "it takes the credential" g3n health --ready
echo "it starts with a secret as a credential"

# The lines of the page about a wrong clock. There is no time server here: the clock itself stays as it is.
if within test -f /lib/systemd/system/systemd-timesyncd.service && within test -f /lib/systemd/system/dbus.socket; then
  within systemctl start dbus.socket
  while read -ra line; do
    within "${line[@]}" >>"$work/clock-out" 2>&1 </dev/null || { echo "${line[*]}"; exit 1; }
  done < <(sed -n '/^ *\(systemctl\|timedatectl\) /p; /^ *timedatectl$/p' docs/emergency/wrong-clock.md)
  grep -q '^NTPSynchronized=' "$work/clock-out"
  [ "$(within timedatectl show --property NTP --value)" = yes ]
  within systemctl is-active --quiet systemd-timesyncd.service
  eventually "the service is ready again" g3n health --ready
  g3n mrs get --container demo --record-id blob-1 --out "$work/back" >/dev/null 2>&1
  cmp "$work/blob" "$work/back"
  echo "the lines of the page about a wrong clock work as they stand"
else
  echo "SKIP clock: systemd-timesyncd or D-Bus is not here"
fi

within systemctl stop metarecord.service
[ "$(property Result)" = success ] && [ "$(property ExecMainStatus)" = 0 ]
within /usr/local/bin/g3n journal verify --data-dir /var/lib/metarecord >/dev/null
echo "stopped in order; the history is whole"
echo "PASS booted"
