/**
 * What can be chosen for a mount, and its form for libfuse.
 *
 * @module
 */

import { cString } from "../linux/libc.ts";
import type { ErrorListener } from "./dispatcher.ts";
import { MountOptionError } from "./errors.ts";
import { FUSE_ARGS } from "./structs.ts";

/** Choices for a mount. */
export interface MountOptions {
  /**
   * Is told whatever a handler throws beside a `FuseError`, with the name of the operation, and
   * what goes wrong in the loop ("receive"). The caller of such a request gets EIO.
   */
  readonly onError: ErrorListener;
  /**
   * Called when all was checked that can be, right before the mount is made: the last moment to get
   * ready for requests. If it throws, nothing is mounted.
   */
  readonly beforeMount?: () => Promise<void>;
  /** What mount(8) shows as the source. */
  readonly fsname?: string;
  /** Part of the type that mount(8) shows, `fuse.SUBTYPE`. */
  readonly subtype?: string;
  /** Options of mount.fuse3(8) such as "ro", "allow_root", "allow_other", "default_permissions". */
  readonly mountOptions?: readonly string[];
  /**
   * How the program's user mounts without options that only root may use; named where one of them
   * is refused.
   */
  readonly plainMountHint?: string;
  /** Largest read request in bytes; default 1 MiB, which is the kernel's limit too. */
  readonly maxReadBytes?: number;
  /**
   * How far the kernel reads ahead in files that are read sequentially. Only root can have more
   * than 128 KiB; for others it stays as it is.
   */
  readonly readAheadBytes?: number;
  /** How many requests of read-ahead may be pending; default is the kernel's, 12. */
  readonly maxBackground?: number;
  /** Let the kernel collect writes; it then decides on sizes and times of files. Default false. */
  readonly writebackCache?: boolean;
  /** For how long the kernel may rely on a name; default 1 s. */
  readonly entryTimeoutMs?: number;
  /** For how long the kernel may rely on attributes; default 1 s. */
  readonly attributesTimeoutMs?: number;
  /** For how long the kernel may rely on the absence of a name; default 0. */
  readonly negativeTimeoutMs?: number;
}

/** Default of {@linkcode MountOptions.maxReadBytes}. */
export const MAX_READ_BYTES = 1_048_576;

/** The kernel takes no smaller number for more than this. */
const LEAST_READ_BYTES = 4096;
/** What C's `unsigned` holds; the kernel's own limit is 1 MiB. */
const MOST_READ_BYTES = 2 ** 32 - 1;

/**
 * Takes `max_read=N` out of the mount options: it must be given in the answer to INIT as well, and
 * be the same there, or libfuse ends the mount when it has just been made.
 *
 * @throws {MountOptionError} If N is not a number of bytes that a read can have.
 */
export function settleMaxRead<O extends Pick<MountOptions, "maxReadBytes" | "mountOptions">>(
  options: O,
): O {
  let { maxReadBytes } = options;
  const mountOptions: string[] = [];
  for (const option of options.mountOptions ?? []) {
    const value = /^max_read(?:=(.*))?$/s.exec(option);
    if (value === null) {
      mountOptions.push(option);
      continue;
    }
    maxReadBytes = /^[0-9]+$/.test(value[1] ?? "") ? Number(value[1]) : NaN;
    if (!(maxReadBytes >= LEAST_READ_BYTES && maxReadBytes <= MOST_READ_BYTES)) {
      throw new MountOptionError(
        `Cannot use mount option "${option}": it takes a number of bytes from ` +
          `${LEAST_READ_BYTES}, such as max_read=131072`,
      );
    }
  }
  return maxReadBytes === undefined ? options : { ...options, mountOptions, maxReadBytes };
}

/**
 * Renders the value of `-o`. libfuse takes a comma for the end of an option unless it follows a
 * backslash.
 */
export function renderMountOptions(options: MountOptions): string {
  const escape = (text: string) => text.replace(/[\\,]/g, "\\$&");
  return [
    // It must be given here and in the answer to INIT, and be the same (fuse_common.h).
    `max_read=${options.maxReadBytes ?? MAX_READ_BYTES}`,
    ...options.fsname === undefined ? [] : [`fsname=${escape(options.fsname)}`],
    ...options.subtype === undefined ? [] : [`subtype=${escape(options.subtype)}`],
    ...options.mountOptions ?? [],
  ].join(",");
}

/**
 * Builds a `struct fuse_args`.
 *
 * @returns The struct, and all memory that it refers to, which must stay reachable as long as it is
 *   used.
 */
export function createArguments(
  words: readonly string[],
): { struct: Uint8Array<ArrayBuffer>; memory: readonly Uint8Array<ArrayBuffer>[] } {
  const strings = words.map(cString);
  const address = (bytes: Uint8Array<ArrayBuffer>) =>
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
  // C expects a NULL behind the last word.
  const argv = new Uint8Array(8 * (words.length + 1));
  const argvFields = new DataView(argv.buffer);
  strings.forEach((text, index) => argvFields.setBigUint64(index * 8, address(text), true));
  const struct = new Uint8Array(FUSE_ARGS.bytes);
  const fields = new DataView(struct.buffer);
  fields.setInt32(FUSE_ARGS.argc, words.length, true);
  fields.setBigUint64(FUSE_ARGS.argv, address(argv), true);
  return { struct, memory: [struct, argv, ...strings] };
}
