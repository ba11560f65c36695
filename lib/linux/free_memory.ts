/**
 * How much memory this process may still take, from /proc/meminfo and the limits of its control
 * groups.
 *
 * Without a limit that anybody set, the kernel's own estimate counts (`MemAvailable`,
 * proc_meminfo(5)). A container or a systemd slice may leave far less than that, and a process
 * that exceeds its limit is killed. All levels of the hierarchy count, as any may be the narrowest.
 * Sources: cgroups(7), the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. Nothing
 * here throws: what cannot be read limits nothing.
 *
 * @module
 */

import { type Mount, parseMountTable } from "./mounts.ts";
import { isInside, readTextOrNull } from "./paths.ts";

/** Reads a file of /proc or /sys; `null` if it cannot be read. */
export type ReadFile = (path: string) => string | null;

/** Names of a control group's files; those of version 1 and 2 differ. */
interface MemoryFiles {
  /** Bytes, or the word `max`. */
  readonly limits: readonly string[];
  readonly usage: string;
  /** Line of `memory.stat` with the bytes of file cache that go first when memory is short. */
  readonly reclaimable: string;
}

const V1: MemoryFiles = {
  limits: ["memory.limit_in_bytes"],
  usage: "memory.usage_in_bytes",
  reclaimable: "total_inactive_file",
};

const V2: MemoryFiles = {
  // Above `high` a group is slowed down until it is as good as stopped.
  limits: ["memory.max", "memory.high"],
  usage: "memory.current",
  reclaimable: "inactive_file",
};

/**
 * Tells how many bytes can be taken without swapping and without passing the limit of a control
 * group.
 *
 * @param read Default: reads the file by libc.
 * @returns Bytes, >= 0; `null` if neither the machine nor a control group says.
 */
export function freeMemoryBytes(read: ReadFile = readTextOrNull): number | null {
  const amounts = [...groupFolders(read)].map(([folder, files]) =>
    roomInGroup(folder, files, read)
  );
  amounts.push(machineBytes(read("/proc/meminfo") ?? ""));
  const known = amounts.filter((bytes) => bytes !== null);
  return known.length === 0 ? null : Math.max(0, Math.min(...known));
}

/** Free memory of the whole machine; kernels before 3.14 make no estimate. */
function machineBytes(meminfo: string): number | null {
  const kib = (name: string) => new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo)?.[1];
  const amount = kib("MemAvailable") ?? kib("MemFree");
  return amount === undefined ? null : Number(amount) * 1024;
}

/**
 * Lists the folders of this process's control groups for memory, from the innermost to the root of
 * what is mounted.
 */
function* groupFolders(read: ReadFile): Generator<[folder: string, files: MemoryFiles]> {
  const mounts = parseMountTable(read("/proc/self/mountinfo") ?? "");
  // `4:memory:/docker/1a2b` in version 1, `0::/system.slice` in version 2.
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (group === undefined) continue;
    const files = controllers === "" ? V2 : V1;
    if (files === V1 && !controllers!.split(",").includes("memory")) continue;
    const mount = mounts.find((mount) => filesOfMount(mount) === files);
    if (!mount) continue;
    // What is mounted may begin below the hierarchy's root, and in a container often begins with
    // the group itself.
    const names = isInside(group, mount.root)
      ? group.slice(mount.root.length).split("/").filter(Boolean)
      : [];
    for (; names.length > 0; names.pop()) yield [`${mount.mountpoint}/${names.join("/")}`, files];
    yield [mount.mountpoint, files];
  }
}

/** The files of a mounted hierarchy that controls memory; `null` for all other mounts. */
function filesOfMount({ type, superOptions }: Mount): MemoryFiles | null {
  if (type === "cgroup2") return V2;
  return type === "cgroup" && superOptions.split(",").includes("memory") ? V1 : null;
}

/** Bytes that a group may still take; `null` if it has no limit, or none that can be read. */
function roomInGroup(folder: string, files: MemoryFiles, read: ReadFile): number | null {
  // An unlimited group of version 1 shows a number beyond any machine's memory.
  const limits = files.limits.map((name) => parseBytes(read(`${folder}/${name}`)))
    .filter((bytes) => bytes !== null);
  const used = parseBytes(read(`${folder}/${files.usage}`));
  if (limits.length === 0 || used === null) return null;
  const stat = read(`${folder}/memory.stat`) ?? "";
  const cached = new RegExp(`^${files.reclaimable} (\\d+)$`, "m").exec(stat)?.[1] ?? 0;
  return Math.min(...limits) - Math.max(0, used - Number(cached));
}

function parseBytes(text: string | null): number | null {
  return text !== null && /^\d+\s*$/.test(text) ? Number(text) : null;
}
