/**
 * Finds mounts in `/proc/self/mountinfo`, without touching them.
 *
 * A process must not look at its own mount in any other way (not even `stat`): a synchronous call
 * would wait for an answer that only its own, waiting thread can give.
 *
 * @module
 */

import { readText } from "./small_files.ts";

/** A line of mountinfo(5). */
export interface Mount {
  /** Number of this mount, as `mnt_id` in /proc/PID/fdinfo. */
  readonly id: number;
  /** `MAJOR:MINOR` of the file system, which is also its name in /sys/class/bdi. */
  readonly device: string;
  readonly mountpoint: string;
  /** Such as "fuse.SUBTYPE". */
  readonly type: string;
  /** What was mounted: the `fsname`. */
  readonly source: string;
}

/** Parses the text of mountinfo(5); later mounts stand behind, and may lie on, earlier ones. */
export function parseMountTable(text: string): Mount[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const fields = line.split(" ");
    // A varying number of optional fields ends with a lone hyphen.
    const rest = fields.slice(fields.indexOf("-", 6) + 1);
    return {
      id: Number(fields[0]),
      device: fields[2] ?? "",
      mountpoint: unescapeField(fields[4] ?? ""),
      type: rest[0] ?? "",
      source: unescapeField(rest[1] ?? ""),
    };
  });
}

/** Space, tab, newline and backslash are written as octal numbers of their bytes. */
function unescapeField(text: string): string {
  return text.replace(
    /\\([0-7]{3})/g,
    (_, octal: string) => String.fromCharCode(parseInt(octal, 8)),
  );
}

/** Reads all mounts that this process sees. */
export function readMountTable(): Mount[] {
  return parseMountTable(readText("/proc/self/mountinfo"));
}

/** Tells whether a mount is one by FUSE. */
export function isFuseMount(mount: Mount): boolean {
  return /^fuse(\.|$)/.test(mount.type);
}
