#!/bin/sh
# Installs what the end-to-end tests need from Debian, where something is missing, as root; says so in one line where it cannot.
set -eu
missing=''
for pair in ip:iproute2 curl:curl openssl:openssl make:make cc:gcc git:git mount:mount mkfs.ext4:e2fsprogs python3:python3 setpriv:util-linux strace:strace \
  mkfs.exfat:exfatprogs mount.exfat-fuse:exfat-fuse mkntfs:ntfs-3g; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# A library alone: there is no command to ask for.
[ -n "$(find /usr/lib /usr/lib64 -name 'libfaketimeMT.so.1' 2>/dev/null)" ] || missing="$missing libfaketime"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "test/system-packages.sh: missing:$missing; install them to run every test (as root on Debian this script does it)"
  [ -z "${CI:-}" ] || exit 1
  exit 0
fi
apt-get update -qq
# shellcheck disable=SC2086 -- one word per package
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
