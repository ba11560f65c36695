/**
 * How much memory processes take.
 *
 * @module
 */

/** Returns the largest memory that a process has used, in bytes; 0 if it has ended. */
export function peakOf(pid: number): number {
  return fieldOf(pid, "VmHWM");
}

/** Returns the memory that a process uses, in bytes; 0 if it has ended. */
export function memoryOf(pid: number): number {
  return fieldOf(pid, "VmRSS");
}

function fieldOf(pid: number, name: string): number {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
