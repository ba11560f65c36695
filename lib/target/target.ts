/**
 * What a restore writes to, and the place to start reading in this folder.
 *
 * On the main thread, `preflight.ts` looks at the output that a user named and refuses what cannot
 * or must not be written. The result is a {@linkcode CheckedTarget}; opening it gives a
 * {@linkcode Target}, which is flushed and closed at the end.
 *
 * In the workers, the target's {@linkcode TargetHandle} is opened: by `block_kinds.ts` where bytes
 * go to any offset (`block_io.ts` is the interface, `descriptor_io.ts` its implementation for files
 * and block devices, `rbd_io.ts` that for images in a Ceph cluster), by `stream_writer.ts` and
 * `stream_format.ts` where they go in order.
 *
 * The checks are in `file.ts`, `device.ts`, `stream.ts` and `rbd_image.ts`. They ask
 * `file_users.ts` who uses the output, `backup_files.ts` whether it belongs to a backup, `room.ts`
 * whether the image fits, and `device_content.ts` what is lost.
 *
 * @module
 */

import type { TargetError } from "../errors.ts";

/** When zeros of the image may be left unwritten. */
export type SparseMode = "auto" | "never" | "always";

/**
 * When files and devices are written past the page cache: where that pays, never, or wherever the
 * file system allows it.
 */
export type DirectMode = "auto" | "never" | "always";

/** Zeros are told from data in pieces of this size; shorter runs of zeros are written as data. */
export const GRANULE_BYTES = 65_536;

/** `Deno.FileInfo.blocks` and `st_blocks` count in these, whatever the file system's block size. */
export const STAT_BLOCK_BYTES = 512;

/**
 * Descriptor of standard output. No other target ever has it, because the runtime keeps 0 to 2
 * open.
 */
export const STDOUT_FD = 1;

/** A target that takes bytes at any offset, as plain data for workers. */
export interface BlockHandle {
  readonly access: "random";
  /** Which entry of `BLOCK_KINDS` opens it; that kind's own interface has the other fields. */
  readonly kind: string;
  /** For messages and errors. */
  readonly path: string;
}

/** A target that takes bytes in order only, as plain data for workers. */
export interface StreamHandle {
  readonly access: "stream";
  /** Owned by the {@linkcode Target}, which must outlive all writing. */
  readonly fd: number;
  /** For messages and errors; "standard output" for standard output. */
  readonly path: string;
}

/** An opened target as plain data. */
export type TargetHandle = BlockHandle | StreamHandle;

/** An opened target, owned by the thread that opened it. */
export interface Target {
  readonly handle: TargetHandle;

  /** Why it failed, if workers were told less than that; else `null`. */
  readonly failure: TargetError | null;

  /**
   * Flushes the target, which stays open. The event loop goes on meanwhile.
   *
   * @throws {TargetError} If bytes that were written before could not be stored. The target is then
   *   closed.
   */
  flush(): Promise<void>;

  /**
   * Flushes what was written to the target before it was opened, so that its storage can be
   * compared. A failure is not an error here, because comparing finds whatever the storage lacks.
   *
   * @returns Why the flush failed, or why a write failed earlier (the kernel reports that at the
   *   next flush); `null` if all went well.
   */
  settle(): Promise<string | null>;

  /**
   * Returns a handle that workers can also read and compare through. Call it after
   * {@linkcode settle} or {@linkcode flush}; the target must have been opened for reading.
   *
   * @param options.isWritten Whether it was written to since it was opened. Then it is no longer
   *   trusted to hold zeros where none were written, and a hole is as good as zeros, because some
   *   file systems make holes of zeros. Default: false.
   */
  comparable(options?: { isWritten?: boolean }): BlockHandle;

  /**
   * Flushes and closes the target, once all writing has ended. The event loop goes on meanwhile.
   *
   * @param options.sync Whether to wait until the data, and a new file's name, are on disk.
   * @throws {TargetError} If bytes that were written before could not be stored. The target is
   *   closed all the same.
   */
  finish(options: { sync: boolean }): Promise<void>;

  /**
   * Closes the target without flushing it, after a failure. Does nothing if it is closed. Never
   * throws.
   */
  close(): void;
}

/** How a checked target is opened. */
export interface OpenOptions {
  /** Ends the wait for a FIFO's reader, a long allocation or a cluster; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Called once if opening has to wait for a reader of a FIFO. */
  readonly onWait?: () => void;
  /** Called once a file's old content is gone, which may be long before opening is complete. */
  readonly onEmptied?: () => void;
}

/**
 * A target that passed its checks and has not been changed. It keeps open what the checks looked
 * at, so that what is written is what was checked; disposing it closes that unless {@linkcode open}
 * has taken it over.
 */
export interface CheckedTarget extends Disposable {
  /** For messages; "standard output" for standard output. */
  readonly path: string;
  /** What it is, such as "file", "block" (a device), "fifo" or "rbd". */
  readonly kind: string;
  readonly access: TargetHandle["access"];
  /** Whether {@linkcode open} will create it. */
  readonly isNew: boolean;
  /** What `--force` overrode, what could not be found out, and what may go wrong; a line each. */
  readonly warnings: readonly string[];
  /**
   * What will be overwritten, such as "XFS file system"; `null` or absent if that is not known.
   */
  readonly content?: string | null;

  /**
   * Makes the target ready to be written, which changes it.
   *
   * @throws {TargetError} If it cannot be created, truncated or allocated.
   */
  open(options?: OpenOptions): Promise<Target>;
}

/** Bytes of a target, from `start` up to but not including `end`. */
export interface TargetExtent {
  readonly start: number;
  readonly end: number;
}

/**
 * What happens to the old content of a file:
 * - `replaced`: it is deleted, and the file becomes what is restored and nothing else;
 * - `updated`: it stays where nothing is written, and the file gets the length of what is restored;
 * - `patched`: it stays where nothing is written, and the file keeps its length unless that is too
 *   short.
 */
export type OldContent = "replaced" | "updated" | "patched";

/** A backup directory that is read from, and must not be written to. */
export interface StoreInUse {
  readonly basedir: string;
  /** The revision map that is read; absent for a directory that only lends chunks. */
  readonly revisionPath?: string;
}

/** What a target is checked for. */
export interface PreflightOptions {
  /** The part of the target that is written. */
  readonly extent: TargetExtent;
  readonly sparse: SparseMode;
  /** Default: "auto". */
  readonly direct?: DirectMode;
  /** Whether a target is written even if it is in use. */
  readonly force: boolean;
  /** Backup directories that are read. */
  readonly stores: readonly StoreInUse[];
  /** Default: "replaced". */
  readonly oldContent?: OldContent;
  /** Whether the target must take bytes in any order; default false. */
  readonly needsRandomAccess?: boolean;
  /** Whether the target is read too; default false. */
  readonly isRead?: boolean;
  /** Bounds of how many bytes will be written that are not zeros; default: not known. */
  readonly data?: { readonly atLeast: number; readonly atMost: number };
  /** Whether zeros go into a stream as records, which take next to no room; default false. */
  readonly areZerosRecords?: boolean;
  /** Bytes that the target must hold already; default 0: it may not exist. */
  readonly heldBytes?: number;
  /** Whether an image in a cluster is created if there is none; default false. Files always are. */
  readonly mayCreate?: boolean;
  /** Aborting it ends the wait for a cluster that the target is in; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}
