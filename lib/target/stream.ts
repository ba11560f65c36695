/**
 * Targets that take bytes in order only: checks and opens FIFOs, character devices and standard
 * output. `stream_writer.ts` writes to them.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, reasonOf } from "../linux/errno.ts";
import { type FileStatus, isSameFile, statFd, statOrNull } from "../linux/file_status.ts";
import { isReadableFd, isTerminalFd, isWritableFd, setNonblocking } from "../linux/descriptors.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { enlargePipe } from "../linux/pipes.ts";
import { describeHarm, storeOverlap } from "./backup_files.ts";
import { checkDevice } from "./device.ts";
import { describeFileUse } from "./file_users.ts";
import { fdPath, listNames, realPathOrNull } from "../linux/paths.ts";
import { OpenedTarget } from "./opened_target.ts";
import { amountOfStream, requireRoom } from "./room.ts";
import {
  type CheckedTarget,
  type OpenOptions,
  type PreflightOptions,
  STDOUT_FD,
  type StreamHandle,
  type Target,
} from "./target.ts";
import { quote } from "../wording.ts";
import {
  doubtWarnings,
  overriddenWarnings,
  refusal,
  requireHarmless,
  STDOUT_NAME,
} from "./wording.ts";

/**
 * The capacity that a pipe should have. With the default of 64 KiB, writer and reader wake each
 * other 64 times a chunk.
 */
export const PIPE_BYTES = 1_048_576;

/** How often opening a FIFO without a reader is tried again. */
const FIFO_POLL_MS = 100;

/** Checks a FIFO. @throws {TargetError} If it cannot be written, or a stream will not do. */
export function checkFifo(path: string, options: PreflightOptions): CheckedTarget {
  refuseRandomAccess(path, options);
  return new CheckedStream(path, { kind: "fifo", fd: tryOpenFifo(path), hasStorage: false });
}

/**
 * Checks a character device.
 *
 * @throws {TargetError} If it is a terminal or cannot be written, or if a stream will not do.
 */
export function checkCharDevice(path: string, options: PreflightOptions): CheckedTarget {
  refuseRandomAccess(path, options);
  let fd: number;
  try {
    fd = openFd(path, OpenFlag.O_WRONLY | OpenFlag.O_NOCTTY | OpenFlag.O_NONBLOCK);
  } catch (error) {
    throw refusal(path, reasonOf(error), error);
  }
  try {
    if (!statFd(fd).isCharDevice) throw refusal(path, "it changed while it was looked at");
    if (isTerminalFd(fd)) throw refusal(path, "it is a terminal");
  } catch (error) {
    releaseFd(fd);
    throw error;
  }
  return new CheckedStream(path, { kind: "char", fd, hasStorage: false });
}

/**
 * Checks standard output.
 *
 * @throws {TargetError} If it is a terminal, not open for writing or part of the backup, or if a
 *   stream will not do.
 */
export function checkStdout(options: PreflightOptions): CheckedTarget {
  refuseRandomAccess(STDOUT_NAME, options);
  let info: FileStatus;
  try {
    info = statFd(STDOUT_FD);
  } catch (error) {
    throw refusal(STDOUT_NAME, "it is not open", error);
  }
  if (isTerminalFd(STDOUT_FD)) {
    throw refusal(STDOUT_NAME, "it is a terminal; name a file or device, or redirect it");
  }
  if (info.isDirectory || !isWritableFd(STDOUT_FD)) {
    throw refusal(STDOUT_NAME, "it is closed, or not open for writing");
  }
  const warnings = describeNowhere(info);
  if (info.isFile) {
    const realPath = pathOfStdout(info);
    const file = { path: fdPath(STDOUT_FD), realPath, info };
    const overlap = storeOverlap(file, options);
    if (overlap !== null) throw refusal(STDOUT_NAME, overlap);
    // Its writers are not counted, because this process is one. It is not locked, because the lock
    // would outlast this process: the shell shares the open file.
    const use = describeFileUse({ path: STDOUT_NAME, fd: STDOUT_FD, info }, {
      isWritten: null,
      isClaimed: true,
    });
    const harm = [...describeHarm(file), ...use.reasons];
    requireHarmless(STDOUT_NAME, harm, options);
    warnings.push(...overriddenWarnings(STDOUT_NAME, harm));
    warnings.push(...doubtWarnings(STDOUT_NAME, use.doubt));
    const amount = amountOfStream(options);
    warnings.push(
      ...requireRoom(STDOUT_NAME, amount, { at: STDOUT_FD, old: info, sparse: "auto" }),
    );
  }
  // The shell opened the device without any checks, so it gets those of a device that is named.
  const device = info.isBlockDevice ? checkDevice(nodeOfStdout(info), options) : undefined;
  return new CheckedStream(STDOUT_NAME, {
    kind: "stdout",
    fd: STDOUT_FD,
    hasStorage: info.isFile || device !== undefined,
    warnings: device?.warnings ?? warnings,
    content: device?.content ?? null,
    claim: device,
  });
}

/** @throws {TargetError} If what a stream cannot do is wanted of it. */
export function refuseRandomAccess(path: string, { needsRandomAccess }: PreflightOptions): void {
  if (!needsRandomAccess) return;
  throw refusal(path, "it takes bytes in order only, this needs a file or block device");
}

/** Its path; `null` if it has none, or if something else is there by now, or in this chroot. */
function pathOfStdout(info: FileStatus): string | null {
  const path = realPathOrNull(fdPath(STDOUT_FD));
  const found = path === null ? null : statOrNull(path);
  if (found === null) return null;
  const isDevice = info.isBlockDevice && found.isBlockDevice && found.rdev === info.rdev;
  return isDevice || isSameFile(found, info) ? path : null;
}

/**
 * Finds a node of the device that standard output is, to claim it by.
 *
 * @throws {TargetError} If there is none.
 */
function nodeOfStdout(info: FileStatus): string {
  const path = pathOfStdout(info);
  if (path !== null) return path;
  for (const name of listNames("/dev")) {
    const found = statOrNull(`/dev/${name}`);
    if (found?.isBlockDevice && found.rdev === info.rdev) return `/dev/${name}`;
  }
  throw refusal(
    STDOUT_NAME,
    "it is a device without a node here, and cannot be looked at; name it",
  );
}

/**
 * Warns of a standard output that was probably closed when the program was started from source: the
 * runtime then opens /dev/null for reading and writing, which shells do not do. (Some programs do
 * it for their children, who mean it.) The executables' entry stub opens it for reading only.
 */
function describeNowhere(info: FileStatus): string[] {
  const isNull = info.isCharDevice === true && info.rdev === statOrNull("/dev/null")?.rdev;
  return isNull && isReadableFd(STDOUT_FD)
    ? ["standard output is closed or /dev/null, the image is discarded"]
    : [];
}

class CheckedStream implements CheckedTarget {
  readonly path: string;
  readonly kind: "char" | "fifo" | "stdout";
  readonly access = "stream";
  readonly isNew = false;
  readonly warnings: readonly string[];
  readonly content: string | null;
  readonly #hasStorage: boolean;
  /** Keeps others from using a device while it is written. */
  readonly #claim: Disposable | undefined;
  #fd: number | null;
  #isOpened = false;

  constructor(
    path: string,
    found: {
      kind: "char" | "fifo" | "stdout";
      fd: number | null;
      hasStorage: boolean;
      warnings?: readonly string[];
      content?: string | null;
      claim?: Disposable | undefined;
    },
  ) {
    this.path = path;
    this.kind = found.kind;
    this.#fd = found.fd;
    this.#hasStorage = found.hasStorage;
    this.warnings = found.warnings ?? [];
    this.content = found.content ?? null;
    this.#claim = found.claim;
  }

  async open(options: OpenOptions = {}): Promise<Target> {
    if (this.#isOpened) {
      throw new TypeError(`Cannot open ${quote(this.path)}: it was opened before`);
    }
    this.#isOpened = true;
    const fd = this.#fd ?? await waitForReader(this.path, options);
    this.#fd = null;
    if (this.kind !== "stdout") setNonblocking(fd, false, this.path);
    enlargePipe(fd, PIPE_BYTES);
    const handle: StreamHandle = { access: "stream", fd, path: this.path };
    return new OpenedTarget(handle, { hasStorage: this.#hasStorage });
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null && this.#fd !== STDOUT_FD) releaseFd(this.#fd);
    this.#fd = null;
    this.#claim?.[Symbol.dispose]();
  }
}

/**
 * Opens a FIFO for writing without waiting.
 *
 * @returns The descriptor, still nonblocking; `null` if nobody has the FIFO open for reading.
 */
function tryOpenFifo(path: string): number | null {
  let fd: number;
  try {
    fd = openFd(path, OpenFlag.O_WRONLY | OpenFlag.O_NONBLOCK);
  } catch (error) {
    if (error instanceof OsError && error.errno === Errno.ENXIO) return null;
    throw refusal(path, reasonOf(error), error);
  }
  if (statFd(fd).isFifo) return fd;
  releaseFd(fd);
  throw refusal(path, "it changed while it was looked at");
}

/** Polls, because only a signal that kills the process could end a blocking open. */
async function waitForReader(path: string, options: OpenOptions): Promise<number> {
  for (let isFirst = true;; isFirst = false) {
    options.signal?.throwIfAborted();
    const fd = tryOpenFifo(path);
    if (fd !== null) return fd;
    if (isFirst) options.onWait?.();
    await new Promise((resolve) => setTimeout(resolve, FIFO_POLL_MS));
  }
}
