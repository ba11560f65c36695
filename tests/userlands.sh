#!/usr/bin/env bash
# Tries the compiled executables in other userlands, as a new user would, and prints what works where as a table.
#
#     tests/userlands.sh [FOLDER]        FOLDER with portable backy-extract and backy-fuse; default: dist
#
# As root on Debian, with debootstrap; with qemu-system-x86 and cpio also in an initramfs under Debian's kernel. Takes some
# minutes. Nothing is left behind. `.ci/run` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
binaries=$(realpath "${1:-dist}")
deno=${DENO:-deno}
work=$(mktemp -d /tmp/userlands.XXXXXX)
passed=0
failed=0
declare -A result
rows=()

# Unmounts what is mounted below the work folder, the last first, and removes it.
clean_up() {
  local mount
  while read -r mount; do
    umount -l "$mount"
  done < <(awk -v work="$work/" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | tac)
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# The mirror that the system itself uses.
mirror=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]+) .* main.*/\2/p' \
  /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1) || true

checks="version restore pipe codes SIGINT SIGTERM list check update mount background"

# What is tried inside, with any sh; the sample is /srv/sample/vm0 with the images /srv/sample/NAME.img.
cat >"$work/inside" <<'END'
code() { "$@" >/dev/null 2>&1 && echo 0 || echo $?; }
set -eu
cd /tmp
case $1 in
  version) backy-extract --version | grep -q "^backy-extract [0-9]" && backy-fuse --version | grep -q "^backy-fuse [0-9]" ;;
  restore) backy-extract /srv/sample/vm0/first image && cmp image /srv/sample/first.img ;;
  pipe) backy-extract /srv/sample/vm0/last | cmp - /srv/sample/second.img ;;
  codes) test "$(code backy-extract /srv/sample/vm0/none image) $(code backy-extract --no-such-option)" = "10 2" ;;
  list) test "$(backy-extract list --json /srv/sample/vm0 | grep -c "\"state\":\"usable\"")" = 2 ;;
  check) backy-extract check /srv/sample/vm0 ;;
  update)
    cp /srv/sample/first.img updated
    backy-extract --update --verify-target /srv/sample/vm0/last updated && cmp updated /srv/sample/second.img
    ;;
  SIGINT|SIGTERM)
    # A FIFO without a reader: it waits. In the foreground: SIGINT is ignored by what a shell starts in the background.
    mkfifo fifo$1
    (for i in $(seq 300); do grep -q waiting log$1 && break; sleep 0.1; done; kill -${1#SIG} $(cat pid$1)) &
    sh -c "echo \$\$ >pid$1; exec backy-extract /srv/sample/vm0/first fifo$1 2>log$1" && status=0 || status=$?
    cat log$1
    case $1 in SIGINT) test $status = 130 ;; SIGTERM) test $status = 143 ;; esac
    ;;
  mount)
    mkdir -p mnt
    backy-fuse -d /srv/sample/vm0 /tmp/mnt 2>fuse.log &
    for i in $(seq 600); do grep -q " /tmp/mnt " /proc/self/mounts && break; sleep 0.1; done
    cmp mnt/first /srv/sample/first.img && cmp mnt/last /srv/sample/second.img && status=0 || status=1
    umount mnt
    wait $! || status=1
    cat fuse.log
    exit $status
    ;;
  background)
    # It starts itself again, here by a relative path.
    mkdir -p mnt2
    cd /usr/local/bin
    ./backy-fuse --background -d /srv/sample/vm0 /tmp/mnt2
    cmp /tmp/mnt2/last /srv/sample/second.img && status=0 || status=1
    umount /tmp/mnt2
    sleep 1 # the server ends
    exit $status
    ;;
esac
END

# try ROW CHECK COMMAND... : runs a command, which must succeed.
try() {
  local row=$1 check=$2
  shift 2
  if timeout 120 env --default-signal "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
    result["$row,$check"]=yes
  else
    failed=$((failed + 1))
    result["$row,$check"]=NO
    echo "FAILED: $check in $row"
    sed 's/^/        /' "$work/log"
  fi
}

# try_all ROW COMMAND... : makes all checks; the command runs sh with the rest of its arguments.
try_all() {
  local row=$1 check
  shift
  rows+=("$row")
  for check in $checks; do try "$row" "$check" "$@" /inside "$check"; done
}

# furnish ROOT : executables, sample, checks, and what the kernel has.
furnish() {
  local root=$1
  mkdir -p "$root"/{proc,sys,dev,tmp,srv,usr/local/bin}
  install -m 755 "$binaries/backy-extract" "$binaries/backy-fuse" "$root/usr/local/bin/"
  cp -r "$work/sample" "$root/srv/sample"
  cp "$work/inside" "$root/inside"
  mount --bind /proc "$root/proc"
  mount --bind /sys "$root/sys"
  mount --bind /dev "$root/dev"
}

# unpack PACKAGE FOLDER : a package of this Debian.
unpack() {
  (cd "$work/packages" && { compgen -G "$1_*.deb" >/dev/null || apt-get download -qq "$1"; } && dpkg-deb -x "$1"_*.deb "$2")
}

# busybox_root ROOT : a root with nothing but a static busybox.
busybox_root() {
  local applet
  unpack busybox-static "$work/busybox"
  mkdir -p "$1/bin"
  cp "$work/busybox/bin/busybox" "$1/bin/"
  for applet in $("$1/bin/busybox" --list); do [[ -e $1/bin/$applet ]] || ln -s busybox "$1/bin/$applet"; done
}

path=/usr/local/bin:/usr/bin:/bin
mkdir "$work/sample" "$work/packages"
chmod 755 "$work"
chmod 777 "$work/packages"
"$deno" run -A --config deno.json tests/userlands_sample.ts "$work/sample"
chmod -R a+rX "$work/sample" # chunk files are for their owner and group

while read -r suite name; do
  root=$work/$suite
  if ! debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1; then
    tail -n 5 "$work/debootstrap.log"
    failed=$((failed + 1))
    continue
  fi
  furnish "$root"
  # A newer system's libraries that are to be in every process, and a user's.
  echo /lib/x86_64-linux-gnu/libm.so.6 >"$root/etc/ld.so.preload"
  try_all "$name" chroot "$root" env LD_PRELOAD=/none LD_LIBRARY_PATH=/lib/x86_64-linux-gnu PATH=$path sh
done <<'END'
bullseye Debian 11
bookworm Debian 12
trixie Debian 13
END

busybox_root "$work/bb"
furnish "$work/bb"
try_all "busybox only" chroot "$work/bb" /bin/env -i PATH=$path sh
mount --rbind "$work/bb" "$work/bb"
mount -o remount,bind,ro "$work/bb"
mount -t tmpfs -o noexec,nosuid,mode=1777 tmpfs "$work/bb/tmp"
all=$checks
checks=${checks% mount background} # they need fusermount3
try_all "read-only, noexec /tmp, a user" setpriv --no-new-privs chroot --userspec 65534:65534 "$work/bb" /bin/env PATH=$path sh
checks=$all

busybox_root "$work/musl"
unpack musl "$work/musl"
furnish "$work/musl"
try_all "musl" chroot "$work/musl" /bin/env PATH=$path sh

busybox_root "$work/nix"
store=$work/nix/nix/store/00000000000000000000000000000000-glibc-2.36
mkdir -p "$store"
unpack libc6 "$store"
furnish "$work/nix"
try_all "Nix layout, no /lib64" chroot "$work/nix" /bin/env PATH=$path sh

# An initramfs: Debian's kernel, busybox, the executables and the sample in memory, emulated.
if command -v qemu-system-x86_64 >/dev/null && command -v cpio >/dev/null; then
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  mkdir "$work/kernel"
  unpack "$kernel" "$work/kernel"
  root=$work/initramfs
  busybox_root "$root"
  mkdir -p "$root"/{proc,sys,dev,tmp,srv,usr/local/bin,lib}
  install -m 755 "$binaries/backy-extract" "$binaries/backy-fuse" "$root/usr/local/bin/"
  cp -r "$work/sample" "$root/srv/sample"
  cp "$work/inside" "$root/inside"
  cp "$(find "$work/kernel" -name fuse.ko)" "$root/lib/" 2>/dev/null || true
  cat >"$root/init" <<END
#!/bin/sh
export PATH=$path
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
[ ! -f /lib/fuse.ko ] || insmod /lib/fuse.ko
for check in $checks; do
  if sh /inside \$check >/tmp/log 2>&1; then echo "check: \$check yes"; else echo "check: \$check NO"; cat /tmp/log; fi
done
poweroff -f
END
  chmod 755 "$root/init"
  (cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd"
  row="initramfs, Linux 6.1"
  started=$SECONDS
  if timeout 180 qemu-system-x86_64 -accel tcg -cpu max -m 1500 -smp 2 -nographic -no-reboot -kernel "$work"/kernel/boot/vmlinuz-* \
    -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" </dev/null >"$work/console" 2>&1; then
    rows+=("$row")
    for check in $checks; do
      if grep -q "check: $check yes" "$work/console"; then
        passed=$((passed + 1))
        result["$row,$check"]=yes
      else
        failed=$((failed + 1))
        result["$row,$check"]=NO
      fi
    done
    grep -q NO <<<"${result[*]}" && tail -n 40 "$work/console"
    echo "initramfs: $((SECONDS - started)) s"
  elif [[ $? -eq 124 ]]; then
    echo "no initramfs: the emulated machine took more than three minutes"
  else
    failed=$((failed + 1))
    tail -n 40 "$work/console"
  fi
else
  echo "no initramfs: it needs qemu-system-x86 and cpio"
fi

# As docs/installing.md has it.
printf '\n| %-30s |' ""
for check in $checks; do printf ' %s |' "$check"; done
printf '\n| %s |' ------------------------------
for check in $checks; do printf ' %s |' "${check//?/-}"; done
for row in "${rows[@]}"; do
  printf '\n| %-30s |' "$row"
  for check in $checks; do printf ' %-*s |' ${#check} "${result["$row,$check"]--}"; done
done
printf '\n\n%d passed, %d failed\n' "$passed" "$failed"
[[ $failed -eq 0 ]]
