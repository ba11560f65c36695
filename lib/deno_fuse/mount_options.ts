/**
 * The options of a mount, and how libfuse is told them.
 *
 * @module
 */

import { cString, cStringArray } from "../linux/libc.ts";
import { MountOptionError } from "./errors.ts";
import { FUSE_ARGS } from "./structs.ts";

/** Gets what handlers throw besides `FuseError`, and the name of the request. */
export type ErrorListener = (error: unknown, operation: string) => void;

/** Options of a mount. */
export interface MountOptions {
  /**
   * Gets whatever a handler throws besides `FuseError`, with the name of the request, whose caller
   * gets EIO; also what goes wrong when requests are received ("receive") or at the end
   * ("unmount").
   */
  readonly onError: ErrorListener;
  /**
   * Called after all checks, right before the mount is made: the last moment to get ready for
   * requests. If it throws, nothing is mounted.
   */
  readonly beforeMount?: () => Promise<void>;
  /** What mount(8) shows as the source. */
  readonly fsname?: string;
  /** Part of the type that mount(8) shows: `fuse.SUBTYPE`. */
  readonly subtype?: string;
  /** Options of mount.fuse3(8) such as "ro", "allow_root", "allow_other", "default_permissions". */
  readonly mountOptions?: readonly string[];
  /**
   * How a user of the program mounts without options that only root may use. The error that refuses
   * such an option names it.
   */
  readonly plainMountHint?: string;
  /** Largest read request in bytes; default 1 MiB, which is the kernel's limit too. */
  readonly maxReadBytes?: number;
  /**
   * How many bytes the kernel reads ahead in files that are read sequentially; default 128 KiB.
   * Only root can set it; for other users it stays as it is.
   */
  readonly readAheadBytes?: number;
  /** For how long the kernel may rely on a name; default 1000. */
  readonly entryTimeoutMs?: number;
  /** For how long the kernel may rely on attributes; default 1000. */
  readonly attributesTimeoutMs?: number;
}

/** Default of {@linkcode MountOptions.maxReadBytes}. */
export const MAX_READ_BYTES = 1_048_576;

/** The kernel raises smaller values to this. */
const LEAST_READ_BYTES = 4096;
/** The range of C's `unsigned`; the kernel's own limit is 1 MiB. */
const MOST_READ_BYTES = 2 ** 32 - 1;

/**
 * Moves `max_read=N` from the mount options to `maxReadBytes`: the answer to INIT must have the
 * same number, or libfuse ends the mount as soon as it is made.
 *
 * @throws {MountOptionError} If N is not a number of bytes, or out of range.
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

/** Renders the value of `-o`. To libfuse a comma ends an option, unless a backslash precedes it. */
export function renderMountOptions(options: MountOptions): string {
  const escape = (text: string) => text.replace(/[\\,]/g, "\\$&");
  return [
    // The answer to INIT must have the same number (fuse_common.h).
    `max_read=${options.maxReadBytes ?? MAX_READ_BYTES}`,
    ...options.fsname === undefined ? [] : [`fsname=${escape(options.fsname)}`],
    ...options.subtype === undefined ? [] : [`subtype=${escape(options.subtype)}`],
    ...options.mountOptions ?? [],
  ].join(",");
}

/**
 * Builds a `struct fuse_args`.
 *
 * @returns The struct, and all memory that must stay reachable while it is used.
 */
export function createArguments(
  words: readonly string[],
): { struct: Uint8Array<ArrayBuffer>; memory: readonly Uint8Array<ArrayBuffer>[] } {
  const strings = words.map(cString);
  const argv = cStringArray(strings);
  const struct = new Uint8Array(FUSE_ARGS.bytes);
  const fields = new DataView(struct.buffer);
  fields.setInt32(FUSE_ARGS.argc, words.length, true);
  fields.setBigUint64(
    FUSE_ARGS.argv,
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(argv)),
    true,
  );
  return { struct, memory: [struct, argv, ...strings] };
}
