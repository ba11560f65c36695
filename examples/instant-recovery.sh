#!/usr/bin/env bash
# Runs a virtual machine from a backup at once, and moves its disk to the new one while it runs.
#
#     instant-recovery.sh [-c RATE] [-s DIR] BACKUP REVISION DISK QEMU-OPTION...
#
# BACKUP/REVISION is a backup, DISK the machine's new disk: a block device that is large enough, or
# a file, which is made. QEMU-OPTIONs are all but the disk: -accel kvm -m 4G -nic ... The machine
# sees the disk as virtio-blk, with the serial number "backy".
#
#     -c RATE    copy at most so many bytes per second (50M), so that the machine gets the rest
#     -s DIR     where changes go that backy-fuse has no memory for; default: /var/tmp
#
# Nothing is written to the backup. What the machine writes is in the memory of backy-fuse and in
# DIR until the copy is complete, even if it has flushed it: should this host or backy-fuse end
# before, it is lost, and the backup is as it was. If qemu ends before, the mount stays, with all
# that was written; the last lines say how to save it.
#
# backy-fuse and qemu-system-x86_64 must be in PATH; tried with qemu 7.2. QEMU names another qemu.
set -euo pipefail

# say WORD... : a line for people.
say() { printf 'instant-recovery: %s\n' "$*" >&2; }
# die WORD... : ends with a line for people.
die() {
  say "$@"
  exit 1
}

rate=0 spill=/var/tmp
while getopts c:s: option; do
  case $option in
    c) rate=$(numfmt --from=iec "$OPTARG") ;;
    s) spill=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
(($# >= 3)) || die "usage: instant-recovery.sh [-c RATE] [-s DIR] BACKUP REVISION DISK QEMU-OPTION..."
backup=$1 revision=$2 disk=$3
shift 3

# Refuses a disk that holds something, as far as that can be told.
if [[ -b $disk ]]; then
  driver=host_device
  mounts=$(lsblk -nro MOUNTPOINT "$disk" | tr -d '\n')
  [[ -z $mounts ]] || die "$disk is mounted"
  holders=$(ls "/sys/class/block/$(basename "$(realpath "$disk")")/holders")
  [[ -z $holders ]] || die "$disk is in use by $holders"
  # The kernel knows of more: the members of a btrfs, what is on one of its partitions. EBUSY is 16.
  if command -v perl >/dev/null; then
    perl -MFcntl -e 'sysopen(F, shift, O_RDONLY | O_EXCL) or exit($! == 16)' "$disk" ||
      die "$disk is in use: it, or a partition of it, is mounted, swap, or part of LVM, RAID or btrfs"
  fi
else
  driver=file
  [[ ! -s $disk ]] || die "$disk exists; name a new file, or a block device"
fi

work=$(mktemp -d /tmp/instant-recovery.XXXXXX)
spill=$(mktemp -d "$spill/instant-recovery.XXXXXX")
mkdir "$work/mount"
image='' made_disk='' is_running=''

# Undoes everything, but for what would be lost.
clean_up() {
  local status=$?
  trap - EXIT
  if [[ -n $is_running && -n $image ]]; then
    say "what the machine wrote is only in $work/mount, which backy-fuse serves;"
    say "when qemu (pid $qemu_pid) has ended, save it to a new file or device:"
    say "    qemu-img convert -f raw -O raw ${image@Q} NEW-DISK"
    say "then, or to give it up:"
    say "    umount ${work@Q}/mount && rm -r ${work@Q} ${spill@Q}"
    exit "$status"
  fi
  # Nothing ran that could have written to it.
  [[ -n $is_running || -z $made_disk ]] || rm -f "$disk"
  if release_backup; then
    rm -rf --one-file-system "$work"
  else
    say "the mount is not needed any more; when nobody uses it:"
    say "    umount ${work@Q}/mount && rm -r ${work@Q} ${spill@Q}"
  fi
  exit "$status"
}

# Ends the mount; fails while somebody uses it.
release_backup() {
  ! mountpoint -q "$work/mount" || umount "$work/mount" || return
  rm -rf "$spill"
}
trap clean_up EXIT

# Has no mount options, as nobody else needs the mount.
backy-fuse --background --log "$work/log" -o "" --spill "$spill" -d "$backup" "$work/mount"
[[ -e $work/mount/$revision ]] || die "there is no revision $revision: $(cd "$work/mount" && echo *)"
# Not by a name such as "last", which leads elsewhere after the next backup.
image=$(realpath "$work/mount/$revision")
size=$(stat -c %s "$image")
if [[ $driver == file ]]; then
  truncate -s "$size" "$disk"
  made_disk=yes
else
  (($(blockdev --getsize64 "$disk") >= size)) || die "$disk is smaller than the $size bytes of the image"
fi

# json TEXT : as a string of JSON.
json() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# qemu is asked by two FIFOs; both are kept open, so that nobody waits for the other. The machine
# has the console: without <&0, what runs in the background reads from /dev/null.
mkfifo "$work/qmp.in" "$work/qmp.out"
exec 3<>"$work/qmp.in" 4<>"$work/qmp.out"
"${QEMU:-qemu-system-x86_64}" "$@" -action shutdown=pause -qmp "pipe:$work/qmp" \
  -blockdev '{"driver": "raw", "node-name": "backup", "discard": "unmap",
    "file": {"driver": "file", "filename": '"$(json "$image")"'}}' \
  -device virtio-blk-pci,drive=backup,serial=backy <&0 3>&- 4>&- &
qemu_pid=$!

is_ready='' is_copied='' is_off=''

# hear : waits for a line of qemu's, a second at most, and notes events. Fails when qemu has ended.
hear() {
  line=
  if ! read -r -t 1 -u 4 line; then
    ! kill -0 "$qemu_pid" 2>/dev/null || return 0
    [[ -n $is_copied ]] || die "qemu has ended before the copy was complete"
    return 1
  fi
  case $line in
    *'"event": "BLOCK_JOB_READY"'*) is_ready=yes ;;
    *'"event": "BLOCK_JOB_ERROR"'*) say "the copy has an error: $line" ;;
    *'"event": "BLOCK_JOB_COMPLETED"'*'"error":'*) die "the copy has failed: $line" ;;
    *'"event": "BLOCK_JOB_COMPLETED"'*) is_copied=yes ;;
    *'"event": "SHUTDOWN"'*) is_off=yes ;;
  esac
}

# ask COMMAND ARGUMENTS : has qemu do something.
ask() {
  printf '{"execute": "%s", "arguments": %s}\n' "$1" "$(tr -d '\n' <<<"$2")" >&3
  while hear; do
    case $line in
      '{"return"'*) return ;;
      '{"error"'*) die "qemu refuses $1: $line" ;;
    esac
  done
}

ask qmp_capabilities '{}'
is_running=yes
# qemu mirrors between equal sizes only; the machine sees the rest of a larger device when it is
# started from that. qemu counts sectors of 512 bytes.
ask blockdev-add '{"driver": "raw", "node-name": "disk", "discard": "unmap",
  "size": '"$(((size + 511) / 512 * 512))"',
  "file": {"driver": "'"$driver"'", "filename": '"$(json "$(realpath "$disk")")"'}}'
# What the machine writes goes to both at once, so that the copy comes to an end.
ask blockdev-mirror '{"job-id": "copy", "device": "backup", "target": "disk", "sync": "full",
  "speed": '"$rate"', "copy-mode": "write-blocking"}'
say "the machine runs from the backup; its disk is copied to $disk"
until [[ -n $is_ready ]]; do hear; done
ask block-job-complete '{"device": "copy"}'
until [[ -n $is_copied ]]; do hear; done
# From here on, the mount has nothing that the disk lacks.
image=''
ask blockdev-del '{"node-name": "backup"}'
release_backup || say "the mount is in use; it is unmounted when qemu ends"
say "$disk is the machine's disk now, and the backup is not used any more"

# The machine may have been switched off long ago; qemu has waited for the copy.
while [[ -z $is_off ]] && hear; do :; done
[[ -z $is_off ]] || ask quit '{}'
wait "$qemu_pid"
