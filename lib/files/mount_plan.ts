/**
 * Knows how the files of each kind of volume are reached: which file system type with which
 * options, or what else to do. Pure. `volume_mount.ts` does it.
 *
 * @module
 */

import type { VolumeContent, VolumeKind } from "../image/volume_content.ts";
import { splitPath } from "../linux/paths.ts";
import { shellWord } from "../linux/printable.ts";

/** One way to mount a file system. */
export type MountWay =
  /** By mount(2), with these options beside those of {@linkcode MOUNT_FLAGS}. */
  | { readonly by: "kernel"; readonly type: string; readonly data: string }
  /** By a program, such as ntfs-3g. */
  | { readonly by: "program"; readonly program: string };

/** How the files of a volume are reached. */
export type MountPlan =
  | {
    readonly isFileSystem: true;
    /** Ways that are tried in order, as far as the machine has them. */
    readonly ways: readonly MountWay[];
    /** What else to try if the file system does not mount, as commands. */
    readonly repair: string;
    /** What else to try if the machine has none of the ways. */
    readonly instead: string;
  }
  | {
    readonly isFileSystem: false;
    /** What to do next, for a person. */
    readonly next: string;
  };

/** Where a mounted volume could be seen by hand. */
const BY_HAND = "/mnt";

/**
 * Plans how the files of a volume are reached.
 *
 * @param content What the volume holds; `null` if that is unknown.
 * @param file Path of the volume as a file, for commands to type.
 */
export function planMount(content: VolumeContent | null, file: string): MountPlan {
  const path = shellWord(file);
  if (content === null) {
    return other(`nothing known begins here: file -sk ${path}; hexdump -C ${path} | less`);
  }
  return PLANS[content.kind](path, content);
}

/**
 * Says what to try with a partition of which the image has only the beginning.
 *
 * @param image Path of the image.
 * @param range Of the partition, in bytes of the image.
 */
export function adviseOnCutPartition(
  image: string,
  { offset, length }: { readonly offset: number; readonly length: number },
): string {
  // Not read-only: the copy may have a journal to replay.
  const options = `loop,offset=${offset},sizelimit=${length}`;
  // A name that nobody has used for anything else; and no mount of a copy that is not complete.
  const copy = shellWord(`copy-of-${splitPath(image).name}`);
  return "where there is room, with zeros for what is missing, " +
    `cp --sparse=always ${shellWord(image)} ${copy} && truncate -s ${offset + length} ${copy} && ` +
    `mount -o ${options} ${copy} ${BY_HAND}`;
}

type Planner = (path: string, content: VolumeContent) => MountPlan;

/** Attaches a loop device to the volume, in a command. */
function loopOf(path: string): string {
  return `"$(losetup --show -f ${path})"`;
}

function other(next: string): MountPlan {
  return { isFileSystem: false, next };
}

/** A file system that the kernel mounts. */
function byKernel(
  type: string,
  { data = "", repair = () => "", instead = () => "" }: {
    readonly data?: string;
    readonly repair?: (path: string) => string;
    readonly instead?: (path: string) => string;
  } = {},
): Planner {
  return (path) => ({
    isFileSystem: true,
    ways: [{ by: "kernel", type, data }],
    repair: repair(path),
    instead: instead(path) || `modprobe ${type}, or a machine whose kernel has ${type}`,
  });
}

/** Without this, an image with errors could make the machine panic that mounts it; see ext4(5). */
const ext = byKernel("ext4", {
  data: "errors=remount-ro",
  repair: (path) =>
    `e2fsck -fy ${path}; mount -o ro,loop ${path} ${BY_HAND}, ` +
    `or, without what is only in the journal, mount -o ro,loop,noload ${path} ${BY_HAND}`,
});

/** How to open what is encrypted. */
function encrypted(type: string): Planner {
  return (path) =>
    other(
      `encrypted: cryptsetup open --type ${type} ${path} NAME; ` +
        `mount -o ro /dev/mapper/NAME ${BY_HAND}; ` +
        `in the end umount ${BY_HAND}; cryptsetup close NAME`,
    );
}

const PLANS: Readonly<Record<VolumeKind, Planner>> = {
  ext2: ext,
  ext3: ext,
  ext4: ext,
  // Another revision of the machine, or the machine itself, may be mounted here.
  xfs: byKernel("xfs", {
    data: "nouuid",
    repair: (path) =>
      `xfs_repair -L ${path}; mount -o ro,loop,nouuid ${path} ${BY_HAND}, ` +
      "or, without what is only in the log, " +
      `mount -o ro,loop,nouuid,norecovery ${path} ${BY_HAND}`,
  }),
  // The top level: all subvolumes are directories in it.
  btrfs: byKernel("btrfs", {
    data: "subvolid=5",
    repair: (path) =>
      `mount -o ro,loop,rescue=all ${path} ${BY_HAND}, or btrfs restore ${path} DIR`,
  }),
  bcachefs: byKernel("bcachefs"),
  erofs: byKernel("erofs"),
  exfat: byKernel("exfat", { repair: (path) => `fsck.exfat -y ${path}` }),
  f2fs: byKernel("f2fs", { repair: (path) => `fsck.f2fs -f ${path}` }),
  iso9660: byKernel("iso9660", { instead: (path) => `7z x ${path}` }),
  jfs: byKernel("jfs", { repair: (path) => `fsck.jfs -f ${path}` }),
  reiserfs: byKernel("reiserfs", { repair: (path) => `reiserfsck --rebuild-tree ${path}` }),
  squashfs: byKernel("squashfs", { instead: (path) => `unsquashfs ${path}` }),
  vfat: byKernel("vfat", {
    repair: (path) => `fsck.vfat -a ${path}`,
    instead: (path) => `mdir -/ -i ${path} ::; mcopy -s -i ${path} ::NAME DIR (package mtools)`,
  }),
  ntfs: (path) => ({
    isFileSystem: true,
    ways: [{ by: "kernel", type: "ntfs3", data: "" }, { by: "program", program: "ntfs-3g" }],
    repair: `ntfsfix ${path}`,
    instead: "apt install ntfs-3g",
  }),
  swap: () => other("swap space: it holds no files"),
  crypto_LUKS: encrypted("luks"),
  BitLocker: encrypted("bitlk"),
  LVM2_member: (path, { label }) => {
    const group = label === "" ? "GROUP" : shellWord(label);
    return other(
      `a part of volume group ${group}: losetup --show -f ${path}; vgchange -ay ${group}; lvs; ` +
        `mount -o ro /dev/${group}/VOLUME ${BY_HAND}; ` +
        `in the end umount ${BY_HAND}; vgchange -an ${group}; losetup -d LOOP`,
    );
  },
  linux_raid_member: (path) =>
    other(
      `a member of a RAID array: mdadm --assemble --run /dev/md/restore ${loopOf(path)}; ` +
        `mount -o ro /dev/md/restore ${BY_HAND}; ` +
        `in the end umount ${BY_HAND}; mdadm --stop /dev/md/restore; losetup -d LOOP`,
    ),
  zfs_member: (path, { label }) => {
    const pool = label === "" ? "POOL" : shellWord(label);
    return other(
      `a part of ZFS pool ${pool}: losetup --show -f ${path}; ` +
        `zpool import -d LOOP -o readonly=on -R ${BY_HAND} ${pool}; ` +
        `in the end zpool export ${pool}; losetup -d LOOP`,
    );
  },
  bcache: (path) =>
    other(`a device of bcache: echo ${loopOf(path)} >/sys/fs/bcache/register, then lsblk`),
  ceph_bluestore: () => other("storage of a Ceph OSD: it holds objects, no files"),
};
