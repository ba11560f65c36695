/**
 * What /proc tells of processes: their command lines, ancestors, descriptors and mount namespaces.
 *
 * Users other than root see only the descriptors of their own processes, and nobody sees processes
 * of other PID namespaces. `root` is a folder that stands for "/" where /proc is looked up. Nothing
 * here throws.
 *
 * @module
 */

import { type FileIdentity, isSameIdentity, statUnsynced } from "./file_status.ts";
import { OpenFlag } from "./files.ts";
import { libc } from "./libc.ts";
import { isInside, linkOrNull, listNames, readBeginning, readTextOrNull } from "./paths.ts";
import { printable } from "./printable.ts";

const MAX_COMMAND_CHARS = 120;

/** How much of a command line is read. */
const COMMAND_MAX_BYTES = 4096;

/** Whether this process acts as root, for whom file systems keep a reserve. */
export function isRoot(): boolean {
  return libc.geteuid() === 0;
}

/**
 * Names a process in one line, as `pid 17 (backy purge)`; `pid 17` if it is gone or may not be
 * looked at.
 */
export function describeProcess(pid: number): string {
  const command = readWords(`/proc/${pid}/cmdline`) || readWords(`/proc/${pid}/comm`);
  return command === "" ? `pid ${pid}` : `pid ${pid} (${printable(command, MAX_COMMAND_CHARS)})`;
}

/** Reads the start of a file of /proc, with spaces for NULs; "" if it cannot be read. */
function readWords(path: string): string {
  try {
    const text = new TextDecoder().decode(readBeginning(path, COMMAND_MAX_BYTES));
    return text.replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** Finds the processes that have a word among their first arguments. */
export function findProcesses(word: string): number[] {
  return listPids().filter((pid) => {
    try {
      const bytes = readBeginning(`/proc/${pid}/cmdline`, COMMAND_MAX_BYTES);
      return new TextDecoder().decode(bytes).split("\0").includes(word);
    } catch {
      return false;
    }
  });
}

/** The ids of all processes that can be seen, in no particular order. */
export function listPids(root = ""): number[] {
  return listNames(`${root}/proc`).filter((name) => /^\d+$/.test(name)).map(Number);
}

/**
 * A process, by default this one, and those it descends from, nearest first; empty without /proc.
 */
export function ancestry(descendant = ownPid()): number[] {
  const line: number[] = [];
  for (let pid = descendant; pid !== null && pid > 0; pid = parentOf(pid)) {
    if (line.includes(pid)) break;
    line.push(pid);
  }
  return line;
}

/** The name of a process's program, at most 15 bytes of it; `null` if it cannot be told. */
export function programName(pid: number): string | null {
  const text = readTextOrNull(`/proc/${pid}/stat`);
  return text && text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
}

/** This process's id in the namespace of /proc, which need not be its own. */
function ownPid(): number | null {
  return numberOrNull(/^\d+/.exec(readTextOrNull("/proc/self/stat") ?? "")?.[0]);
}

/**
 * The parent's id is the second field behind the command, which may hold anything. Source:
 * proc_pid_stat(5).
 */
function parentOf(pid: number): number | null {
  const text = readTextOrNull(`/proc/${pid}/stat`) ?? "";
  return numberOrNull(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
}

/** Whether signals of the terminal, such as Ctrl-C, go to this process: proc_pid_stat(5). */
export function isInForeground(): boolean {
  const text = readTextOrNull("/proc/self/stat") ?? "";
  const [, , group, , , foreground] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return group !== undefined && group === foreground;
}

function numberOrNull(digits: string | undefined): number | null {
  return digits === undefined || digits === "" ? null : Number(digits);
}

/**
 * Tells mount namespaces apart. @returns The same text for all processes of one; `null` if that
 * cannot be told.
 */
export function mountNamespace(pid: number | "self", root = ""): string | null {
  return linkOrNull(`${root}/proc/${pid}/ns/mnt`);
}

/**
 * Whether a process has files of a mount open. Links of descriptors do not tell: they lose the path
 * once the mount is detached.
 *
 * @param mountId Number of the mount, see mountinfo(5).
 */
export function hasOpenOnMount(pid: number, mountId: number, root = ""): boolean {
  const folder = `${root}/proc/${pid}/fdinfo`;
  const line = new RegExp(`^mnt_id:\\s*${mountId}$`, "m");
  return listNames(folder).some((fd) => line.test(readTextOrNull(`${folder}/${fd}`) ?? ""));
}

/**
 * Whether a process has a file in a directory open, runs or maps one, or has its working or root
 * directory there. Only links are read, never the directory itself.
 *
 * @param dir Absolute, without symbolic links.
 */
export function isProcessInside(pid: number, dir: string, root = ""): boolean {
  const base = `${root}/proc/${pid}`;
  const fds = listNames(`${base}/fd`).map((fd) => `fd/${fd}`);
  return ["cwd", "root", "exe", ...fds].some((name) =>
    isInside(linkOrNull(`${base}/${name}`) ?? "", dir)
  ) || isMappedInside(readTextOrNull(`${base}/maps`) ?? "", dir);
}

/** Whether a file in a directory is mapped; a path is the sixth field. Source: proc_pid_maps(5). */
function isMappedInside(maps: string, dir: string): boolean {
  if (!maps.includes(dir)) return false;
  return Array.from(maps.matchAll(/^(?:\S+ +){5}(\/.*)$/gm), ([, path]) => path!)
    .some((path) => isInside(path, dir));
}

/** A descriptor of some process. */
export interface Descriptor {
  readonly fd: number;
  readonly isWritable: boolean;
  /** Ids under which /proc/locks names the holders of the `flock`s taken through it. */
  readonly flockPids: readonly number[];
}

/** Finds the descriptors of a process that lead to one of some files. */
export function findDescriptors(pid: number, files: readonly FileIdentity[]): Descriptor[] {
  const isWanted = (fd: string) => {
    const status = statUnsynced(`/proc/${pid}/fd/${fd}`);
    return status !== null && files.some((file) => isSameIdentity(file, status));
  };
  return listNames(`/proc/${pid}/fd`).filter(isWanted).map((fd) => {
    // Source: proc_pid_fdinfo(5); what follows "lock:" is a line of /proc/locks.
    const info = readTextOrNull(`/proc/${pid}/fdinfo/${fd}`) ?? "";
    const flags = parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? "0", 8);
    const flocks = info.matchAll(/^lock:\s+\d+: FLOCK +\S+ +\S+ +(\d+) /gm);
    return {
      fd: Number(fd),
      isWritable: (flags & OpenFlag.O_ACCMODE) !== OpenFlag.O_RDONLY,
      flockPids: Array.from(flocks, ([, pid]) => Number(pid)),
    };
  });
}
