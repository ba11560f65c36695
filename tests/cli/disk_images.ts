/**
 * Images of file systems and disks for tests of mounts: made by the programs that users have, some
 * as a machine leaves them that lost its power.
 *
 * @module
 */

import { run, sh } from "../support/programs.ts";
import type { Site } from "./fuse_harness.ts";

/** How many files are in the journal only, beside etc/fstab. */
export const NEW_FILES = 200;
/** Content of etc/fstab. */
export const FSTAB = "/dev/vda1 / auto defaults 0 1\n";

/**
 * Makes an image of a file system in use: files were written and flushed, so they are in the
 * journal, and then the machine stopped.
 */
export async function makeDirty(
  site: Site,
  type: "ext4" | "xfs",
  mib: number,
  ...options: readonly string[]
): Promise<string> {
  const image = site.file(`${type} ${++count}.img`);
  await run("truncate", "-s", `${mib}M`, image);
  await run(`mkfs.${type}`, "-q", ...options, image);
  const live = await site.mountDevice("-o", "loop", image);
  await sh(
    `mkdir "$1/etc"
     for i in $(seq ${NEW_FILES}); do touch "$1/new $i"; done
     printf %s "$2" >"$1/etc/fstab"
     sync "$1/etc/fstab"
     xfs_io -x -c shutdown "$1"`,
    live,
    FSTAB,
  );
  await run("umount", live);
  return image;
}

/** Makes a btrfs with a file at the top, and subvolumes "@" and "@home". */
export async function makeBtrfs(site: Site, mib: number): Promise<string> {
  const image = site.file(`btrfs ${++count}.img`);
  await run("truncate", "-s", `${mib}M`, image);
  await run("mkfs.btrfs", "-q", "-L", "pool", image);
  const live = await site.mountDevice("-o", "loop", image);
  await sh(
    `cd "$1"
     btrfs -q subvolume create @
     btrfs -q subvolume create @home
     mkdir @/etc; printf %s "$2" >@/etc/fstab; echo top >top`,
    live,
    FSTAB,
  );
  await run("umount", live);
  return image;
}

/** Makes an NTFS with a file. */
export async function makeNtfs(site: Site, mib: number): Promise<string> {
  const image = site.file(`ntfs ${++count}.img`);
  await run("truncate", "-s", `${mib}M`, image);
  await run("mkntfs", "-q", "-F", "-Q", "-L", "windows", image);
  const device = await site.loopDevice(image);
  const live = site.folder();
  await sh(
    'ntfs-3g "$1" "$2"; mkdir "$2/etc"; printf %s "$3" >"$2/etc/fstab"; umount "$2"',
    device,
    live,
    FSTAB,
  );
  return image;
}

/** A partition of a disk to be made. */
export interface PartitionToMake {
  /** A file with its content; it is as long as that. `null` for an extended partition. */
  readonly content: string | null;
  /** Bytes; default: those of the content. */
  readonly bytes?: number;
  /** More fields for sfdisk, such as `type=swap`. */
  readonly fields?: string;
}

/** Makes a disk with partitions, one after the other, with 2 MiB in front of each. */
export async function makeDisk(
  site: Site,
  partitions: readonly PartitionToMake[],
  { label = "gpt", sectorBytes = 512 }: { label?: "gpt" | "dos"; sectorBytes?: number } = {},
): Promise<string> {
  const disk = site.file(`disk ${++count}.img`);
  const gap = 2 * 1_048_576;
  let end = 0, diskEnd = 0;
  const placed = partitions.map(({ content, fields = "", bytes }) => {
    const start = end + gap;
    const length = bytes ?? Deno.statSync(content!).size;
    diskEnd = Math.max(diskEnd, start + length);
    // Logical partitions lie in the extended one.
    end = content === null ? start : start + length;
    const line = `start=${start / sectorBytes}, size=${length / sectorBytes}, ${fields}`;
    return { content, start, line: line.replace(/, $/, "") };
  });
  await run("truncate", "-s", String(diskEnd + gap), disk);
  const device = await site.loopDevice("-b", String(sectorBytes), disk);
  const script = [`label: ${label}`, ...placed.map(({ line }) => line), ""].join("\n");
  await sh(
    'printf %s "$1" | sfdisk -q --no-reread --no-tell-kernel "$2"; sync "$2"',
    script,
    device,
  );
  for (const { content, start } of placed) {
    if (content === null) continue;
    await sh(
      'dd if="$1" of="$2" bs=1M oflag=seek_bytes seek="$3" conv=notrunc,sparse status=none; sync "$2"',
      content,
      device,
      String(start),
    );
  }
  return disk;
}

/** Adds a revision of a disk with an ext4 whose journal is dirty, and a btrfs. */
export async function addDirtyDisk(site: Site): Promise<void> {
  const contents = [await makeDirty(site, "ext4", 16), await makeBtrfs(site, 120)];
  const disk = await makeDisk(site, contents.map((content) => ({ content })));
  site.addImage(`Rev${crypto.randomUUID().slice(0, 8)}`, disk);
}

let count = 0;
