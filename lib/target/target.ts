/**
 * What a restore writes to. Read this first; the other files of this folder are its parts:
 *
 * 1. `preflight.ts` looks at the output a user named and refuses what cannot or must not be written
 *    (`file.ts`, `device.ts` and `stream.ts` hold the kinds; `in_use.ts` finds who uses a device,
 *    `store_overlap.ts` keeps the backup itself from being overwritten);
 * 2. `CheckedTarget.open()` truncates or allocates, and returns a {@linkcode Target};
 * 3. its {@linkcode TargetHandle} goes to the workers, which write through `writer.ts`;
 * 4. `Target.finish()` flushes and closes (`opened_target.ts`).
 *
 * All threads write to one descriptor: with `pwrite` where the target can seek, in strict turn where not.
 *
 * @module
 */

/** When zeros of the image may be left unwritten. */
export type SparseMode = "auto" | "never" | "always";

/** Zeros are told from data in pieces of this size; a run of zeros shorter than one is written as data. */
export const GRANULE_BYTES = 65_536;

/** Descriptor of standard output; no other target ever has it, for the runtime keeps 0 to 2 open. */
export const STDOUT_FD = 1;

/**
 * What becomes of a run of zeros:
 * - `skip`: nothing, the target holds zeros there (holes of a new file, or the user's promise);
 * - `deallocate`: the range is given back or zeroed by `fallocate`, and written where that is not possible;
 * - `write`: zeros are written like data.
 */
export type ZeroPolicy = "skip" | "deallocate" | "write";

/** An opened target as plain data, for workers. */
export interface TargetHandle {
  /** Descriptor, the process's; owned by the {@linkcode Target}, which must outlive all writing. */
  readonly fd: number;
  /** For messages and errors; "standard output" for standard output. */
  readonly path: string;
  /** `random`: bytes go to any offset in any order; `stream`: in order only. */
  readonly access: "random" | "stream";
  readonly zeroPolicy: ZeroPolicy;
  /** Logical block size of a device in bytes; 1 for everything else. */
  readonly blockBytes: number;
}

/** What kind of thing a target is. */
export type TargetKind = "file" | "block" | "char" | "fifo" | "stdout";

/** An opened target, owned by the thread that opened it. */
export interface Target {
  readonly handle: TargetHandle;
  readonly kind: TargetKind;
  /** Whether opening it created the file. */
  readonly isNew: boolean;

  /**
   * Flushes and closes the target, once all writing has ended. The event loop goes on meanwhile.
   *
   * @param options.sync Whether to wait until the data, and a new file's name, are on disk.
   * @throws {TargetError} If bytes that were written before could not be stored; the target is closed then too.
   */
  finish(options: { sync: boolean }): Promise<void>;

  /** Closes the target without flushing, after a failure. Does nothing if it is closed. Never throws. */
  close(): void;
}

/** How a checked target is opened. */
export interface OpenOptions {
  /** Ends the wait for a FIFO's reader, or a long allocation; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called once if opening has to wait for a reader of a FIFO. */
  readonly onWait?: () => void;
}

/**
 * A target that passed its checks and is still as it was. It holds the descriptor that the checks looked at, so that
 * what is written is what was checked; disposing it closes that descriptor unless {@linkcode open} took it over.
 */
export interface CheckedTarget extends Disposable {
  /** For messages; "standard output" for standard output. */
  readonly path: string;
  readonly kind: TargetKind;
  /** Whether {@linkcode open} will create the file. */
  readonly isNew: boolean;
  /** What `--force` overrode, a line each. */
  readonly warnings: readonly string[];

  /**
   * Makes the target ready to be written: from here on it is changed.
   *
   * @throws {TargetError} If it cannot be created, truncated or allocated.
   */
  open(options?: OpenOptions): Promise<Target>;
}

/** What a target is checked for. */
export interface PreflightOptions {
  /** Size of the image in bytes, >= 0. */
  readonly imageBytes: number;
  readonly sparse: SparseMode;
  /** Whether a target that is in use is written nevertheless. */
  readonly force: boolean;
  /** The revision map that is restored. */
  readonly revisionPath: string;
  /** The backup directory. */
  readonly basedir: string;
}
