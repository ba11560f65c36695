/**
 * Restores into a `WritableStream` of the program that uses the library.
 *
 * Workers cannot reach such a stream, which belongs to the main thread. So they write to a pipe, as
 * to any other, and the main thread hands over what comes out of it.
 *
 * @module
 */

import { TargetError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { waitReadable } from "../linux/descriptors.ts";
import { releaseFd } from "../linux/files.ts";
import { enlargePipe, openPipe, tryRead } from "../linux/pipes.ts";
import { OpenedTarget } from "./opened_target.ts";
import { PIPE_BYTES, refuseRandomAccess } from "./stream.ts";
import type { CheckedTarget, PreflightOptions, StreamHandle, Target } from "./target.ts";
import { refusal } from "./wording.ts";

/** The stream's name in messages. */
const WRITABLE_NAME = "the stream";

/** A stream of bytes, whose chunks belong to the stream. */
export type ByteSink = WritableStream<Uint8Array<ArrayBuffer>>;

/** Checks a stream. @throws {TargetError} If it is in use, or if a stream will not do. */
export function checkWritable(stream: ByteSink, options: PreflightOptions): CheckedTarget {
  refuseRandomAccess(WRITABLE_NAME, options);
  if (stream.locked) throw refusal(WRITABLE_NAME, "it is locked: somebody else writes to it");
  return {
    path: WRITABLE_NAME,
    kind: "writable",
    access: "stream",
    isNew: false,
    warnings: [],
    open: () => Promise.resolve(new OpenedWritable(stream)),
    [Symbol.dispose]: () => {},
  };
}

/** A stream with a pipe before it. */
class OpenedWritable extends OpenedTarget<StreamHandle> implements Target {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #pumping: Promise<void>;
  #readFd: number | null;
  #failure: TargetError | null = null;
  /** Whether another thread waits for the pipe. */
  #isPolling = false;
  #isFinished = false;

  constructor(stream: ByteSink) {
    const { readFd, writeFd } = openPipe();
    super({ access: "stream", fd: writeFd, path: WRITABLE_NAME }, { hasStorage: false });
    enlargePipe(writeFd, PIPE_BYTES);
    this.#writer = stream.getWriter();
    this.#readFd = readFd;
    this.#pumping = this.#pump(readFd);
    // finish() tells of its failure. After another failure nobody waits for it.
    this.#pumping.catch(() => {});
  }

  /** What the stream failed with: workers only see that nobody reads the pipe any more. */
  override get failure(): TargetError | null {
    return this.#failure;
  }

  /** Waits until the stream has taken all bytes and is closed, besides. */
  override async finish(options: { sync: boolean }): Promise<void> {
    this.#isFinished = true;
    await super.finish(options);
    try {
      await this.#pumping;
      await this.#writer.close();
    } catch (error) {
      throw failureOf(error);
    } finally {
      this.#writer.releaseLock();
    }
  }

  override close(): void {
    super.close();
    if (this.#isFinished) return;
    this.#isFinished = true;
    // The stream's owner may not read any more, so nobody waits.
    this.#writer.abort(new Error("the restore failed, the image is incomplete")).catch(() => {});
    this.#writer.releaseLock();
    // A write that is under way may never end. A wait for the pipe has ended with its other end.
    if (!this.#isPolling) this.#closePipe();
  }

  /** Hands over what the pipe has until its other end is closed. */
  async #pump(readFd: number): Promise<void> {
    try {
      for (;;) {
        await this.#writer.ready;
        this.#isPolling = true;
        await waitReadable(readFd);
        this.#isPolling = false;
        const bytes = new Uint8Array(PIPE_BYTES);
        const count = tryRead(readFd, bytes);
        if (count === 0) return;
        if (count > 0) await this.#writer.write(bytes.subarray(0, count));
      }
    } catch (error) {
      this.#failure = failureOf(error);
      throw error;
    } finally {
      // If the stream fails, this ends the workers' writes: EPIPE.
      this.#closePipe();
    }
  }

  #closePipe(): void {
    if (this.#readFd !== null) releaseFd(this.#readFd);
    this.#readFd = null;
  }
}

function failureOf(error: unknown): TargetError {
  const fields = { path: WRITABLE_NAME, offset: null };
  const message = `Cannot write to ${WRITABLE_NAME}: ${reasonOf(error)}`;
  return new TargetError(message, fields, { cause: error });
}
