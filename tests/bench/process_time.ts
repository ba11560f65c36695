/**
 * Says in which threads of a process, and in which children of this one, processor time goes.
 *
 * @module
 */

import { median } from "./codec.ts";

/** Unit of the times in /proc/PID/stat, the same on all Linux systems that Deno runs on. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time. */
export interface ProcessorTime {
  readonly user: number;
  readonly system: number;
}

/** What takes part in reading a mount. */
export type Part = "workers" | "main thread" | "other threads" | "reader";

/** The parts in the order in which they are printed. */
export const PARTS: readonly Part[] = ["workers", "main thread", "other threads", "reader"];

/** The processor time of each part so far. */
export type PartTimes = ReadonlyMap<Part, ProcessorTime>;

/**
 * Reads the times of a mount's process and of all children of this process that have ended, which
 * are the readers. Format: proc_pid_stat(5).
 *
 * @param pid The mount's process; `null` if there is none.
 */
export function readPartTimes(pid: number | null): PartTimes {
  const times = new Map<Part, ProcessorTime>();
  for (const [id, { name, time }] of pid === null ? [] : threadsOf(pid)) {
    const isWorker = name.startsWith("worker");
    const part = id === pid ? "main thread" : isWorker ? "workers" : "other threads";
    times.set(part, sum(times.get(part), time));
  }
  times.set("reader", timeOf(readStat("/proc/self/stat").fields, 13));
  return times;
}

/** A thread of a process. */
export interface Thread {
  readonly name: string;
  /** So far. */
  readonly time: ProcessorTime;
}

/** Reads the threads of a process, by their ids; that of the first one is the process's. */
export function threadsOf(pid: number): Map<number, Thread> {
  const dir = `/proc/${pid}/task`;
  return new Map([...Deno.readDirSync(dir)].map(({ name: id }) => {
    const { name, fields } = readStat(`${dir}/${id}/stat`);
    return [Number(id), { name, time: timeOf(fields, 11) }];
  }));
}

/** Returns how much was added to each part. */
export function timesSince(before: PartTimes, after: PartTimes): PartTimes {
  const none = { user: 0, system: 0 };
  return new Map(PARTS.map((part) => {
    const { user, system } = before.get(part) ?? none;
    return [part, sum(after.get(part), { user: -user, system: -system })];
  }));
}

/** Describes the medians of several runs in a line. */
export function renderTimes(runs: readonly PartTimes[]): string {
  const all = runs.map((times) =>
    PARTS.reduce((total, part) => sum(total, times.get(part)!), {
      user: 0,
      system: 0,
    })
  );
  const total = median(all.map(({ user, system }) => user + system));
  const parts = PARTS.filter((part) => runs.some((times) => isSome(times.get(part)!))).map(
    (part) => {
      const middle = (key: keyof ProcessorTime) =>
        median(runs.map((times) => times.get(part)![key])).toFixed(2);
      return `${part} ${middle("user")} + ${middle("system")}`;
    },
  );
  return `processor time ${total.toFixed(2)} s: ${parts.join(", ")} (user + kernel)`;
}

function isSome({ user, system }: ProcessorTime): boolean {
  return user + system > 0;
}

/** The name in parentheses, which may hold anything, and what follows it. */
function readStat(path: string): { name: string; fields: string[] } {
  const text = Deno.readTextFileSync(path);
  const [start, end] = [text.indexOf("(") + 1, text.lastIndexOf(")")];
  return { name: text.slice(start, end), fields: text.slice(end + 2).split(" ") };
}

function timeOf(fields: readonly string[], at: number): ProcessorTime {
  const seconds = (index: number) => Number(fields[index]) / TICKS_PER_SECOND;
  return { user: seconds(at), system: seconds(at + 1) };
}

function sum(a: ProcessorTime | undefined, b: ProcessorTime): ProcessorTime {
  return { user: (a?.user ?? 0) + b.user, system: (a?.system ?? 0) + b.system };
}
