/**
 * Turns failures of reads and writes into lines for the user, few enough to be read. Pure.
 *
 * One damaged chunk may fail thousands of requests, as programs and the kernel try again; a store
 * that has gone away fails them all.
 *
 * @module
 */

import { BackyError } from "../errors.ts";
import { errnoOf, reasonOf as systemReasonOf } from "../linux/errno.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import { printable, quote } from "../wording.ts";

/** The same failure at the same place is told again after so long. */
const REPEAT_MS = 60_000;

/** So many lines are told in {@linkcode WINDOW_MS}; the rest is counted. */
const MAX_LINES = 20;
const WINDOW_MS = 10_000;

/** Failures that are remembered; the oldest are forgotten. */
const MAX_REMEMBERED = 1000;

/** Where in which image something failed. */
export interface DamagePlace {
  readonly revision: string;
  /** Number of the chunk's place; `null` if the whole image is concerned. */
  readonly seq: number | null;
  /** Size of the image in bytes. */
  readonly imageBytes: number;
}

/** The failures of a mount. */
export class DamageLog {
  readonly #tell: (line: string) => void;
  readonly #now: () => number;
  /** When which failure was told last. */
  readonly #told = new Map<string, number>();
  /** Errors of reads: a write that fails for such a reason need not be told of as well. */
  readonly #readErrors = new WeakSet<object>();
  #windowStart = -Infinity;
  #linesInWindow = 0;
  #untold = 0;

  /**
   * @param tell Takes a line without its end.
   * @param now Milliseconds of a clock.
   */
  constructor(tell: (line: string) => void, now: () => number = () => performance.now()) {
    this.#tell = tell;
    this.#now = now;
  }

  /** Tells of a failed read, unless that was done lately. */
  reportRead(place: DamagePlace, error: unknown): void {
    if (typeof error === "object" && error !== null) this.#readErrors.add(error);
    this.#report(`Cannot read ${describe(place)}`, error);
  }

  /**
   * Tells of a failed write, unless that was done lately or it failed because a chunk could not be
   * read.
   */
  reportWrite(place: DamagePlace, error: unknown): void {
    if (this.#readErrors.has(error as object)) return;
    this.#report(`Cannot write to ${describe(place)}`, error);
  }

  /** Takes notice that a place was read: should it fail again, that is news. */
  forget(place: DamagePlace): void {
    if (this.#told.size === 0) return;
    this.#told.delete(`Cannot read ${describe(place)}`);
  }

  /**
   * Tells that the list of revisions could not be brought up to date, unless that was done lately.
   */
  reportListing(basedir: string, error: unknown): void {
    this.#report(`Cannot list backup directory ${quote(basedir)} anew`, error);
  }

  /** Tells that a revision's name leads to another file than the one that was written to. */
  reportReplaced(revision: string): void {
    this.#tell(
      `revision ${quote(revision)} has changed in the backup directory: what was written to its ` +
        "file here is lost when those who have it open close it",
    );
  }

  #report(subject: string, error: unknown): void {
    const now = this.#now();
    const last = this.#told.get(subject);
    if (last !== undefined && now - last < REPEAT_MS) return;
    this.#told.delete(subject);
    this.#told.set(subject, now);
    if (this.#told.size > MAX_REMEMBERED) this.#told.delete(this.#told.keys().next().value!);
    if (now - this.#windowStart >= WINDOW_MS) this.#openWindow(now);
    if (this.#linesInWindow++ >= MAX_LINES) this.#untold++;
    else this.#tell(`${subject}: ${reasonOf(error)}`);
  }

  #openWindow(now: number): void {
    if (this.#untold > 0) this.#tell(`${this.#untold} more failures of this kind were not shown`);
    this.#windowStart = now;
    this.#linesInWindow = 0;
    this.#untold = 0;
  }
}

/** Names a place, as `image bytes 4194304 to 8388607 (seq 1) of revision "x"`. */
function describe({ revision, seq, imageBytes }: DamagePlace): string {
  if (seq === null) return `revision ${quote(revision)}`;
  const end = Math.min((seq + 1) * CHUNK_BYTES, imageBytes);
  return `image bytes ${seq * CHUNK_BYTES} to ${end - 1} (seq ${seq}) of revision ${
    quote(revision)
  }`;
}

function reasonOf(error: unknown): string {
  if (error instanceof BackyError) return error.message;
  return errnoOf(error) === null ? printable(String(error), 300) : systemReasonOf(error);
}
