#!/usr/bin/env bash
# Does a Debian 12 that has git and apt and nothing else do what the README says? Makes a throw-away
# root of Debian 12 from the mirrors this machine's apt knows, puts a clean clone of the last commit into
# it, and runs there, with no other step:
#
#   ./dev demo --once
#   ./dev test
#
# usage: tests/clean_root.sh [--root DIR] [COMMAND…]
#
# --root DIR keeps the root (and takes it as it is when it is there already); a COMMAND is run in place of
# those two. Needs root, debootstrap, and some 3 GB. Mounts and processes are the script's own: they are
# gone with it.
set -euo pipefail
repository=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
suite=bookworm

die() { echo "clean_root: $*" >&2; exit 1; }

root=
kept=
if [ "${1:-}" = --root ]; then
  root=$(readlink -m "${2:?--root wants a directory}")
  kept=yes
  shift 2
fi
[ "$(id -u)" = 0 ] || die "needs root, for chroot"
command -v debootstrap >/dev/null || die "needs debootstrap"
[ -n "$root" ] || root=$(mktemp -d "${TMPDIR:-/tmp}/outrigger-root-XXXXXX")
cleanup() { [ -n "$kept" ] || rm -rf --one-file-system "$root"; }
trap cleanup EXIT

# "URI SUITE" of every Debian 12 archive that apt knows.
archives() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
    awk -v suite="$suite" '$3 == "main" && $4 == "Debian" && index($2, suite) == 1 {print $1, $2}' | sort -u
}

make_root() {
  local mirror
  mirror=$(archives | awk -v suite="$suite" '$2 == suite {print $1; exit}')
  [ -n "$mirror" ] || die "apt knows no mirror of $suite; run apt-get update first"
  debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$root" "$mirror"
  archives | sed 's/^\(.*\) \(.*\)$/deb \1 \2 main/' >"$root/etc/apt/sources.list"
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  # A clone, so that nothing uncommitted and nothing built comes along.
  git clone -q --no-hardlinks "$repository" "$root/root/outrigger"
  git -C "$root/root/outrigger" log -1 --format='clean_root: a clean clone of %h'
}

# Namespaces of its own: what was mounted and started ends with the command.
in_root() {
  unshare --mount --pid --fork --kill-child bash -euc '
    root=$1
    shift
    mount --make-rprivate /
    mount --bind "$root" "$root"  # tests that unshare a mount namespace need a root that is a mount
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    exec env -i HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      ${JOBS:+JOBS=$JOBS} chroot "$root" /bin/bash -euc "cd /root/outrigger && \"\$@\"" in_root "$@"
  ' in_root "$root" "$@"
}

timed() {
  local begun=$SECONDS
  in_root "$@" || die "failed: $*"
  echo "clean_root: '$*' took $((SECONDS - begun)) s"
}

[ -e "$root/root/outrigger" ] || make_root
if [ $# -gt 0 ]; then
  timed "$@"
else
  timed ./dev demo --once
  timed ./dev test
fi
