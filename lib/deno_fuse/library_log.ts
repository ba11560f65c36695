/**
 * Collects what libfuse has to say while it mounts, which it would print on stderr otherwise.
 *
 * The log function is one for the whole process and may be called on any thread, so it is ours
 * during synchronous calls only. What `fusermount3` prints for users other than root goes to stderr
 * all the same.
 *
 * @module
 */

import { libc } from "../linux/libc.ts";
import type { Libfuse3 } from "./libfuse3.ts";

/** Of what it says at a time; it may say one line in several pieces. */
const PIECE_BYTES = 1024;

/**
 * Runs a synchronous function that calls libfuse.
 *
 * @returns Its result, and the lines that libfuse wrote, trimmed; none where libfuse is older than
 *   3.7.
 */
export function collectLog<T>(library: Libfuse3, run: () => T): { result: T; lines: string[] } {
  const setLogFunction = library.symbols.fuse_set_log_func;
  if (!setLogFunction) return { result: run(), lines: [] };
  let log = "";
  // Opened here, not in the callback, on whatever thread that runs.
  const { vsnprintf } = libc;
  const piece = new Uint8Array(PIECE_BYTES);
  const callback = new Deno.UnsafeCallback(
    {
      parameters: [
        "i32", // enum fuse_log_level level
        "pointer", // const char *fmt
        // An array on x86_64 and a large struct on aarch64: both ABIs pass its address, and take it
        // for the same again.
        "pointer", // va_list ap
      ],
      result: "void",
    },
    (_level, format, values) => {
      try {
        const length = vsnprintf(piece, BigInt(PIECE_BYTES), format, values);
        log += new TextDecoder().decode(piece.subarray(0, Math.min(length, PIECE_BYTES - 1)));
      } catch {
        // A message is lost; C must not see an exception.
      }
    },
  );
  try {
    setLogFunction(callback.pointer);
    const result = run();
    return { result, lines: log.split("\n").map((line) => line.trim()).filter(Boolean) };
  } finally {
    setLogFunction(null);
    callback.close();
  }
}
