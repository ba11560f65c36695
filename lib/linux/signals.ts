/**
 * Signals by libc: the runtime cannot tell whether one is ignored, nor ignore one.
 *
 * @module
 */

import { osError } from "./errno.ts";
import { lastErrno, libc } from "./libc.ts";

/** Numbers of signals, the same on x86_64 and aarch64. Source: asm-generic/signal.h. */
export const SignalNumber = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGPIPE: 13,
  SIGTERM: 15,
  SIGCHLD: 17,
  SIGURG: 23,
  SIGXFSZ: 25,
  SIGRTMAX: 64,
} as const;

/**
 * Offsets in glibc's `struct sigaction` (bits/sigaction.h), checked against the compiler's in a
 * test.
 */
export const SIGACTION_LAYOUT = { sa_handler: 0, bytes: 152 } as const;

const SIG_DFL = 0n, SIG_IGN = 1n;

/** Whether the process ignores a signal. @param signal One of {@linkcode SignalNumber}. */
export function isSignalIgnored(signal: number): boolean {
  const action = new Uint8Array(SIGACTION_LAYOUT.bytes);
  if (libc.sigaction(signal, null, action) !== 0) {
    throw osError(lastErrno(), { syscall: "sigaction", path: "" });
  }
  const handler = new DataView(action.buffer).getBigUint64(SIGACTION_LAYOUT.sa_handler, true);
  return handler === SIG_IGN;
}

/**
 * Makes the process, with all its threads, ignore a signal. A listener that is added later ends
 * that, and the runtime's first listener to any signal ends it for SIGHUP, SIGINT and SIGTERM.
 *
 * @param signal One of {@linkcode SignalNumber}.
 */
export function ignoreSignal(signal: number): void {
  libc.signal(signal, Deno.UnsafePointer.create(SIG_IGN));
}

/** Sends a process a signal; does nothing if there is no such process any more. */
export function sendSignal(pid: number, name: keyof typeof SignalNumber): void {
  libc.kill(pid, SignalNumber[name]);
}

/** Gives a signal its default effect. @param signal One of {@linkcode SignalNumber}. */
export function useDefaultSignal(signal: number): void {
  libc.signal(signal, Deno.UnsafePointer.create(SIG_DFL));
}

/**
 * Makes the process ignore SIGPIPE and SIGXFSZ, so that writing to a closed pipe or past the file
 * size limit fails with EPIPE or EFBIG instead of ending the process without a word. Holds for all
 * threads.
 */
export function ignoreWriteSignals(): void {
  ignoreSignal(SignalNumber.SIGPIPE);
  ignoreSignal(SignalNumber.SIGXFSZ);
}
