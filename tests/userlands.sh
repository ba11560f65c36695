#!/usr/bin/env bash
# Tries the compiled executables in other userlands, as a new user would: Debian 11 and Debian 13, made by debootstrap.
#
#     tests/userlands.sh [FOLDER]        FOLDER with backy-extract and backy-fuse; default: dist
#
# As root, with debootstrap, about a minute for each. Nothing is left behind. Not part of the regular tests.
set -euo pipefail
cd "$(dirname "$0")/.."
binaries=$(realpath "${1:-dist}")
deno=${DENO:-deno}
work=$(mktemp -d /tmp/userlands.XXXXXX)
passed=0
failed=0

# Unmounts what is mounted below the work folder, the last first, and removes it.
clean_up() {
  local mount
  while read -r mount; do
    umount -l "$mount"
  done < <(awk -v work="$work/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | tac)
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# The mirror and the keyring that the system itself uses.
mirror=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]+) .* main.*/\2/p' \
  /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1) || true

# try NAME COMMAND... : runs a command, which must succeed.
try() {
  local name=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
    sed 's/^/        /' "$work/log"
  fi
}

# userland SUITE PACKAGES : makes one, with the executables, the sample and a user.
userland() {
  local root=$work/$1
  debootstrap --variant=minbase --include="$2" "$1" "$root" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 || {
    tail -n 5 "$work/debootstrap.log"
    return 1
  }
  install -m 755 "$binaries/backy-extract" "$binaries/backy-fuse" "$root/usr/local/bin/"
  cp -r "$work/sample" "$root/srv/sample"
  mount --bind /proc "$root/proc"
  mount --bind /sys "$root/sys"
  mount --bind /dev "$root/dev"
}

# What is tried inside; the sample is /srv/sample/vm0 with the images /srv/sample/NAME.img.
inside='
set -eu
case $1 in
  help) backy-extract --help | grep -q "^Usage: backy-extract" && backy-fuse --help | grep -q "^Usage: backy-fuse" ;;
  version) backy-extract --version | grep -q "^backy-extract [0-9]" && backy-fuse --version | grep -q "^backy-fuse [0-9]" ;;
  restore) backy-extract /srv/sample/vm0/first /tmp/image && cmp /tmp/image /srv/sample/first.img ;;
  pipe) backy-extract /srv/sample/vm0/last | cmp - /srv/sample/second.img ;;
  update) backy-extract --update --verify-target /srv/sample/vm0/last /tmp/image && cmp /tmp/image /srv/sample/second.img ;;
  list) test "$(backy-extract list --json /srv/sample/vm0 | grep -c "\"state\":\"usable\"")" = 2 ;;
  check) backy-extract check /srv/sample/vm0 ;;
  mount)
    mkdir -p /tmp/mnt
    backy-fuse -d /srv/sample/vm0 /tmp/mnt 2>/tmp/fuse.log &
    for i in $(seq 100); do grep -q " /tmp/mnt " /proc/self/mounts && break; sleep 0.1; done
    cmp /tmp/mnt/first /srv/sample/first.img && cmp /tmp/mnt/last /srv/sample/second.img && status=0 || status=1
    fusermount3 -u /tmp/mnt
    wait $! || status=1
    cat /tmp/fuse.log
    exit $status
    ;;
  no-libfuse) mkdir -p /tmp/mnt; ! backy-fuse -d /srv/sample/vm0 /tmp/mnt 2>/tmp/fuse.log; grep -q libfuse3 /tmp/fuse.log ;;
esac'

mkdir "$work/sample"
"$deno" run -A --config deno.json tests/userlands_sample.ts "$work/sample"
while read -r suite packages; do
  userland "$suite" "$packages" || { failed=$((failed + 1)); continue; }
  echo "== $(sed -nE 's/^PRETTY_NAME="(.*)"/\1/p' "$work/$suite/etc/os-release"), with $packages"
  for what in version help restore pipe update list check mount; do
    try "$what" timeout 120 chroot "$work/$suite" sh -c "$inside" sh "$what"
  done
  # Without the library the message must name it.
  chroot "$work/$suite" dpkg --purge --force-all ${packages//,/ } >/dev/null 2>&1
  try "no libfuse3: says so" timeout 120 chroot "$work/$suite" sh -c "$inside" sh no-libfuse
done <<'END'
bullseye fuse3,libfuse3-3
trixie fuse3,libfuse3-4
END

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[[ $failed -eq 0 ]]
