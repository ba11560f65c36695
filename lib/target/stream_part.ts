/**
 * Writes what stands before and behind the data of a stream, on the main thread: bytes so few that
 * a pipe with any room takes them at once.
 *
 * @module
 */

import { pollWritable } from "../linux/poll.ts";
import { StreamWriter } from "./stream_writer.ts";
import type { StreamHandle } from "./target.ts";

/** How often a full pipe is looked at. */
const POLL_MS = 20;

/**
 * Writes a few bytes to a stream, and waits for room without blocking the thread.
 *
 * @param bytes At most PIPE_BUF (4096); with none nothing happens, whatever the target.
 * @param options.offset Byte of the image at which this stands, for errors.
 * @throws {TargetError} If they cannot be written.
 * @throws The signal's reason, if it ends the wait.
 */
export async function writeStreamPart(
  handle: StreamHandle,
  bytes: Uint8Array<ArrayBuffer>,
  options: { offset: number; signal: AbortSignal | undefined },
): Promise<void> {
  if (bytes.length === 0) return;
  const { offset, signal } = options;
  while (!pollWritable(handle.fd, 0, handle.path)) {
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const writer = new StreamWriter(handle, { shouldStop: () => signal?.aborted ?? false });
  writer.position = offset;
  writer.write(bytes);
}
