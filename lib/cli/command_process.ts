/**
 * A program that a command runs for its user: it gets the terminal, and the signals that this
 * process gets.
 *
 * @module
 */

import { type EndSignal, OsError } from "../errors.ts";
import { Errno } from "../linux/errno.ts";
import { isInForeground } from "../linux/processes.ts";
import { type ChildProcess, spawn } from "../linux/spawn.ts";

/** Exit codes of shells for a program that is not there, and for one that cannot be run. */
const NOT_FOUND = 127, NOT_RUN = 126;

/** The exit code if a program could not be started. */
export function exitCodeOfStart(error: unknown): number {
  return error instanceof OsError && error.errno === Errno.ENOENT ? NOT_FOUND : NOT_RUN;
}

/** A program that was started with this process's standard input, output and error. */
export class CommandProcess {
  readonly #child: ChildProcess;
  /** Its exit code; 128 and the number of the signal that has ended it. */
  readonly exitCode: Promise<number>;
  #signalCount = 0;

  /**
   * Starts a program.
   *
   * @param words Its name, which is looked for along `PATH`, and its arguments.
   * @param directory Its working directory.
   * @throws {OsError} If it cannot be started.
   */
  constructor(words: readonly string[], directory: string) {
    this.#child = spawn(words[0]!, { words, directory, environment: { PWD: directory } });
    this.exitCode = this.#child.ended.then(({ code, signal }) => code ?? 128 + signal!);
  }

  /**
   * Hands a signal on; a second one kills the program.
   *
   * @returns `false` for later ones: even that was in vain.
   */
  heed(signal: EndSignal): boolean {
    // Ctrl-C reaches the program by itself, which may mean something else than the end by it.
    if (signal === "SIGINT" && isInForeground()) return true;
    this.#signalCount++;
    this.#child.signal(this.#signalCount === 1 ? signal : "SIGKILL");
    return this.#signalCount <= 2;
  }
}
