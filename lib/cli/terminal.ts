/**
 * What standard output and standard error are connected to, and how to write to them.
 *
 * @module
 */

/** Takes text to be shown; never throws. */
export type Sink = (text: string) => void;

/** How progress may be shown on standard error. */
export interface Display {
  /** Whether lines can be redrawn; if not, only whole lines are written. */
  readonly canRedraw: boolean;
  readonly color: boolean;
  /** Width of the terminal at this moment. */
  readonly columns: () => number;
}

/** The part of `Deno.stderr` that is written to. */
export interface SyncWriter {
  writeSync(data: Uint8Array): number;
}

const DEFAULT_COLUMNS = 80;
/** How long a terminal in nonblocking mode may refuse output before the rest is dropped. */
const BLOCKED_ATTEMPTS = 20;
const BLOCKED_PAUSE_MS = 5;

/** Looks at standard error. Environment variables that may not be read count as unset. */
export function stderrDisplay(): Display {
  return chooseDisplay({
    isTerminal: Deno.stderr.isTerminal(),
    term: readVariable("TERM"),
    noColor: readVariable("NO_COLOR"),
  });
}

/**
 * Decides how progress may be shown.
 *
 * @param facts `term` and `noColor` are the environment's TERM and NO_COLOR; https://no-color.org
 *   asks that an empty NO_COLOR be ignored.
 */
export function chooseDisplay(
  facts: { isTerminal: boolean; term: string | undefined; noColor: string | undefined },
): Display {
  const canRedraw = facts.isTerminal && facts.term !== "dumb";
  return { canRedraw, color: canRedraw && !facts.noColor, columns: terminalColumns };
}

/**
 * Writes all of the text.
 *
 * @throws {Error} Whatever `writeSync` throws, except `WouldBlock`, which is retried for a tenth of
 *   a second.
 */
export function writeFully(writer: SyncWriter, text: string): void {
  let rest: Uint8Array = new TextEncoder().encode(text);
  let blocked = 0;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writer.writeSync(rest));
      blocked = 0;
    } catch (error) {
      // Another program on this terminal may have put it in nonblocking mode (ssh does).
      if (!(error instanceof Deno.errors.WouldBlock) || ++blocked > BLOCKED_ATTEMPTS) throw error;
      sleepSync(BLOCKED_PAUSE_MS);
    }
  }
}

/** The part of `Deno.stdout` that is written to without blocking the event loop. */
export interface AsyncWriter {
  write(data: Uint8Array): Promise<number>;
}

/**
 * Writes all of the text without blocking the event loop: the reader may take its time, and signals
 * are still handled.
 *
 * @returns `false` once a pipe's reader has gone, as `head` does.
 * @throws {Error} Whatever `write` throws, except `BrokenPipe`, and `WouldBlock`, which is retried.
 */
export async function writeAll(writer: AsyncWriter, text: string): Promise<boolean> {
  let rest: Uint8Array = new TextEncoder().encode(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(await writer.write(rest));
    } catch (error) {
      if (error instanceof Deno.errors.BrokenPipe) return false;
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      await new Promise((resolve) => setTimeout(resolve, BLOCKED_PAUSE_MS));
    }
  }
  return true;
}

/**
 * A sink for messages. Once it cannot be written to (closed, broken pipe, full disk), text is
 * silently dropped: a restore must not fail because its log did.
 */
export function openSink(writer: SyncWriter = Deno.stderr): Sink {
  let isBroken = false;
  return (text) => {
    if (isBroken) return;
    try {
      writeFully(writer, text);
    } catch (error) {
      // A terminal that is stopped (Ctrl-S) will continue.
      isBroken = !(error instanceof Deno.errors.WouldBlock);
    }
  };
}

/** Width of the terminal on standard error; `undefined` if it is not a terminal. */
export function stderrColumns(): number | undefined {
  return Deno.stderr.isTerminal() ? terminalColumns() : undefined;
}

/** Width of the terminal on standard output; `undefined` if it is not a terminal. */
export function stdoutColumns(): number | undefined {
  return Deno.stdout.isTerminal() ? terminalColumns() : undefined;
}

function terminalColumns(): number {
  try {
    // Serial consoles report 0.
    return Deno.consoleSize().columns || DEFAULT_COLUMNS;
  } catch {
    return DEFAULT_COLUMNS;
  }
}

function readVariable(name: string): string | undefined {
  try {
    return Deno.env.get(name);
  } catch {
    return undefined;
  }
}

function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
