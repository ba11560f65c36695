/**
 * Collects what libfuse says while it mounts; otherwise it would print that to stderr.
 *
 * There is one log function for the process, and any thread may call it, so it is set only during
 * synchronous calls. What `fusermount3` prints for users other than root still goes to stderr.
 *
 * @module
 */

import { libc } from "../linux/libc.ts";
import type { Libfuse3 } from "./libfuse3.ts";

/** Longest message that is kept whole; libfuse may write one line in several messages. */
const MESSAGE_BYTES = 1024;

/**
 * Runs a synchronous function that calls libfuse.
 *
 * @returns Its result, and the lines that libfuse wrote, trimmed; none with libfuse before 3.7.
 */
export function collectLog<T>(library: Libfuse3, run: () => T): { result: T; lines: string[] } {
  const setLogFunction = library.symbols.fuse_set_log_func;
  if (!setLogFunction) return { result: run(), lines: [] };
  let log = "";
  // Taken here: the callback must not open the C library.
  const { vsnprintf } = libc;
  const message = new Uint8Array(MESSAGE_BYTES);
  const callback = new Deno.UnsafeCallback(
    {
      parameters: [
        "i32", // enum fuse_log_level level
        "pointer", // const char *fmt
        // An array on x86_64 and a large struct on aarch64: both ABIs pass its address.
        "pointer", // va_list ap
      ],
      result: "void",
    },
    (_level, format, values) => {
      try {
        const length = vsnprintf(message, BigInt(MESSAGE_BYTES), format, values);
        log += new TextDecoder().decode(message.subarray(0, Math.min(length, MESSAGE_BYTES - 1)));
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
