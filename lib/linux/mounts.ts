/**
 * What is mounted or swapped to, from /proc, without touching it.
 *
 * A process must not look at its own FUSE mount in any other way (not even by `stat`): a
 * synchronous call would wait for an answer that only its own, waiting thread can give.
 *
 * @module
 */

import { readText, readTextOrNull } from "./paths.ts";

/** A line of mountinfo(5). */
export interface Mount {
  /** Number of this mount, as `mnt_id` in /proc/PID/fdinfo. */
  readonly id: number;
  /**
   * `MAJOR:MINOR` of the file system, which is also its name in /sys/class/bdi; the major number is
   * 0 for file systems without a device, and for btrfs.
   */
  readonly device: string;
  /** The directory of the file system that is seen at the mount point. */
  readonly root: string;
  /** Where it is mounted: an absolute path without symbolic links. */
  readonly mountpoint: string;
  /** Such as "ext4" or "fuse.SUBTYPE". */
  readonly type: string;
  /** What was mounted: a device's path, or any word, such as the `fsname` of FUSE. */
  readonly source: string;
  /** Options of the file system, with commas between. */
  readonly superOptions: string;
}

/**
 * Parses the text of mountinfo(5); later mounts stand behind, and may lie on, earlier ones. Lines
 * that do not follow the format are left out.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseMountTable } from "./mounts.ts";
 *
 * const line = "36 35 8:1 / /mnt/two\\040words rw,noatime shared:1 - ext4 /dev/sda1 rw\n";
 * const [mount] = parseMountTable(line);
 * assertEquals(mount?.device, "8:1");
 * assertEquals(mount?.mountpoint, "/mnt/two words");
 * assertEquals(mount?.source, "/dev/sda1");
 * ```
 */
export function parseMountTable(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    const [id, , device, root, mountpoint] = fields;
    // A varying number of optional fields ends with a lone hyphen.
    const separator = fields.indexOf("-", 6);
    if (separator < 0 || !device || !root || !mountpoint) continue;
    const [type = "", source = "", superOptions = ""] = fields.slice(separator + 1);
    mounts.push({
      id: Number(id),
      device,
      root: unescapeField(root),
      mountpoint: unescapeField(mountpoint),
      type,
      source: unescapeField(source),
      superOptions,
    });
  }
  return mounts;
}

/** Undoes the kernel's escapes of blanks, backslashes and the like: `\040` is a space. */
function unescapeField(text: string): string {
  return text.replace(
    /\\([0-7]{3})/g,
    (_, octal: string) => String.fromCharCode(parseInt(octal, 8)),
  );
}

/** Reads all mounts that this process sees. @throws {OsError} If they cannot be read. */
export function readMountTable(): Mount[] {
  return parseMountTable(readText("/proc/self/mountinfo"));
}

/**
 * Lists the mounts that a process sees; none if they cannot be read.
 *
 * @param options.process Its id; default: this process.
 * @param options.root Folder that stands for "/" where /proc is looked up.
 */
export function listMounts(
  { process = "self", root = "" }: { process?: number | "self"; root?: string } = {},
): Mount[] {
  return parseMountTable(readTextOrNull(`${root}/proc/${process}/mountinfo`) ?? "");
}

/** Tells whether a mount is one by FUSE. */
export function isFuseMount(mount: Mount): boolean {
  return /^fuse(\.|$)/.test(mount.type);
}

/** Parses the text of /proc/swaps into the paths of what is swapped to. Format: proc_swaps(5). */
export function parseSwaps(text: string): string[] {
  return text.split("\n").slice(1)
    .map((line) => unescapeField(line.split(/[ \t]/, 1)[0]!))
    .filter((path) => path.startsWith("/"));
}

/**
 * Lists the paths of what is swapped to; none if they cannot be read.
 *
 * @param root Folder that stands for "/" where /proc is looked up.
 */
export function listSwaps(root = ""): string[] {
  return parseSwaps(readTextOrNull(`${root}/proc/swaps`) ?? "");
}
