/**
 * Turns failures of reads and writes into lines for the user, few enough to be read. Pure.
 *
 * One damaged chunk may fail thousands of requests, as programs and the kernel try again; a store
 * that is gone fails them all.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { errnoOf, reasonOf as systemReasonOf } from "../linux/errno.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import { printable, quote } from "../wording.ts";

/** How long a failure is not reported again. */
const REPEAT_MS = 60_000;

/** Most lines in {@linkcode WINDOW_MS}; the others are counted. */
const MAX_LINES = 20;
const WINDOW_MS = 10_000;

/** Most failures that are remembered; the oldest is forgotten first. */
const MAX_REMEMBERED = 1000;

/** The part of an image that failed: one chunk. */
export interface ImagePart {
  /** Name of the revision. */
  readonly revision: string;
  /** Number of the chunk in the image. */
  readonly seq: number;
  /** Size of the image in bytes. */
  readonly imageBytes: number;
}

/** The failures of all images. */
export class FailureLog {
  readonly #onLine: (line: string) => void;
  readonly #now: () => number;
  /** What could not be done, and when that was reported last. */
  readonly #reported = new Map<string, number>();
  /** Errors of reads: a write that fails for the same reason is not reported as well. */
  readonly #readErrors = new WeakSet<object>();
  #windowStart = -Infinity;
  #linesInWindow = 0;
  #omitted = 0;

  /**
   * @param onLine Gets each line, without a line feed.
   * @param now Milliseconds of a clock.
   */
  constructor(onLine: (line: string) => void, now: () => number = () => performance.now()) {
    this.#onLine = onLine;
    this.#now = now;
  }

  /** Reports a failed read, unless that was done recently. */
  reportRead(part: ImagePart, error: unknown): void {
    this.#reportRead(cannotRead(part), error);
  }

  /** Reports that a revision's map cannot be read, unless that was done recently. */
  reportRevision(revision: string, error: unknown): void {
    this.#reportRead(cannotReadRevision(revision), error);
  }

  /**
   * Reports a failed write, unless that was done recently, or it failed because of a read that was
   * reported.
   */
  reportWrite(part: ImagePart, error: unknown): void {
    if (this.#readErrors.has(error as object)) return;
    this.report(`Cannot write to ${describe(part)}`, error);
  }

  /** Forgets a failed read, because the part was read: should it fail again, that is news. */
  forget(part: ImagePart): void {
    if (this.#reported.size > 0) this.#reported.delete(cannotRead(part));
  }

  /** Forgets that a revision's map could not be read. */
  forgetRevision(revision: string): void {
    this.#reported.delete(cannotReadRevision(revision));
  }

  /** Reports that a revision's name leads to another file than the one that was written to. */
  reportReplaced(revision: string): void {
    this.#onLine(
      `revision ${quote(revision)} has changed in the backup directory: what was written to its ` +
        "file here is lost when those who have it open close it",
    );
  }

  /**
   * Reports any failure, unless that was done recently.
   *
   * @param what What could not be done, such as `Cannot read …`.
   */
  report(what: string, error: unknown): void {
    this.#say(what, () => `${what}: ${reasonOf(error)}`);
  }

  /** Reports what a whole line says, unless that was done recently. */
  tell(line: string): void {
    this.#say(line, () => line);
  }

  #say(what: string, makeLine: () => string): void {
    const now = this.#now();
    const last = this.#reported.get(what);
    if (last !== undefined && now - last < REPEAT_MS) return;
    this.#reported.delete(what);
    this.#reported.set(what, now);
    if (this.#reported.size > MAX_REMEMBERED) {
      this.#reported.delete(this.#reported.keys().next().value!);
    }
    if (now - this.#windowStart >= WINDOW_MS) this.#openWindow(now);
    if (this.#linesInWindow++ >= MAX_LINES) this.#omitted++;
    else this.#onLine(makeLine());
  }

  #reportRead(what: string, error: unknown): void {
    if (typeof error === "object" && error !== null) this.#readErrors.add(error);
    this.report(what, error);
  }

  #openWindow(now: number): void {
    if (this.#omitted > 0) {
      this.#onLine(`${this.#omitted} more failures of this kind were not shown`);
    }
    this.#windowStart = now;
    this.#linesInWindow = 0;
    this.#omitted = 0;
  }
}

function cannotRead(part: ImagePart): string {
  return `Cannot read ${describe(part)}`;
}

function cannotReadRevision(revision: string): string {
  return `Cannot read revision ${quote(revision)}`;
}

/** Names a part, as `image bytes 4194304 to 8388607 (seq 1) of revision "x"`. */
function describe({ revision, seq, imageBytes }: ImagePart): string {
  const start = seq * CHUNK_BYTES;
  const end = Math.min(start + CHUNK_BYTES, imageBytes);
  return `image bytes ${start} to ${end - 1} (seq ${seq}) of revision ${quote(revision)}`;
}

function reasonOf(error: unknown): string {
  if (error instanceof BackyError) return error.message;
  return errnoOf(error) === null ? printable(String(error), 300) : systemReasonOf(error);
}
