/**
 * Measures what a command costs the whole machine: time, processor time, page cache. Kernel threads
 * do part of the work of a write, and are not seen in the times of the process.
 *
 * @module
 */

import { timed } from "./restore.ts";

/** What a command took. */
export interface MachineUse {
  readonly seconds: number;
  /** Processor time of all programs, and of the kernel for them and for itself. */
  readonly userSeconds: number;
  readonly systemSeconds: number;
  /** By how much the page cache has grown. */
  readonly cacheMib: number;
}

/** Unit of the times in /proc/stat, the same on all Linux systems that Deno runs on. */
const TICKS_PER_SECOND = 100;

/** Runs a shell script, `args` being its arguments. @throws {Error} If it fails. */
export async function measureUse(script: string, args: readonly string[]): Promise<MachineUse> {
  const before = readState();
  const { seconds } = await timed(script, args);
  const after = readState();
  return {
    seconds,
    userSeconds: after.userSeconds - before.userSeconds,
    systemSeconds: after.systemSeconds - before.systemSeconds,
    cacheMib: after.cacheMib - before.cacheMib,
  };
}

/** Reads counters of /proc/stat and /proc/meminfo, see proc(5). */
function readState(): Omit<MachineUse, "seconds"> {
  const [line = ""] = Deno.readTextFileSync("/proc/stat").split("\n");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = line
    .split(/\s+/).slice(1).map((ticks) => Number(ticks) / TICKS_PER_SECOND);
  const cached = /^Cached:\s*(\d+) kB/m.exec(Deno.readTextFileSync("/proc/meminfo"));
  return {
    userSeconds: user + nice,
    systemSeconds: system + irq + softIrq,
    cacheMib: Number(cached?.[1] ?? 0) / 1024,
  };
}
