/**
 * The file that `--report` names. It is created before the restore begins, so that failing to
 * create it is noticed then.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { describeErrno, Errno, reasonOf } from "../linux/errno.ts";
import { isSameFile as isSameStatus, statFd, statOrNull } from "../linux/file_status.ts";
import { fdatasyncFd, openFd, OpenFlag, releaseFd, writeAll } from "../linux/files.ts";
import { describeHarm } from "../target/backup_files.ts";
import { quote } from "../wording.ts";
import { renderJsonLine } from "./json_line.ts";

/**
 * In case it has become a FIFO or a terminal since it was checked: opening it must neither wait for
 * a reader nor make it the controlling terminal.
 */
const REPORT_OPEN_FLAGS = OpenFlag.O_WRONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY;

/**
 * A report to be written. If nothing was written, disposing it removes the file it created.
 */
export interface ReportFile extends Disposable {
  /** Writes the report. @throws {OsError} If that fails. */
  write(report: object): void;
}

/**
 * Creates a file for a report, or takes an empty one, such as a killed restore leaves behind.
 *
 * @param target What is restored to.
 * @throws {UsageError} If it cannot be created, is not empty, belongs to a backup, is the target,
 *   or is standard output or standard error.
 */
export function openReportFile(path: string, target: string): ReportFile {
  requireReportFile(path, target);
  const isNew = statOrNull(path) === null;
  let fd: number;
  try {
    fd = openFd(path, REPORT_OPEN_FLAGS | (isNew ? OpenFlag.O_CREAT | OpenFlag.O_EXCL : 0));
  } catch (error) {
    throw cannotUse(path, reasonOf(error));
  }
  let isWritten = false;
  return {
    write(report) {
      writeAll(fd, new TextEncoder().encode(renderJsonLine({ ...report })), path);
      fdatasyncFd(fd, path);
      isWritten = true;
    },
    [Symbol.dispose]() {
      releaseFd(fd);
      if (isNew && !isWritten) Deno.removeSync(path);
    },
  };
}

/**
 * Checks, without creating it, that a report could be written.
 *
 * @throws {UsageError} As {@linkcode openReportFile}.
 */
export function requireReportFile(path: string, target: string): void {
  const info = statOrNull(path);
  if (info !== null && !info.isFile) throw cannotUse(path, "it is not a regular file");
  if (info !== null && info.size > 0) {
    throw cannotUse(path, "it exists and is not empty; name another file");
  }
  let isFolder: boolean;
  try {
    // Without all permissions the runtime drops the slash that would require a directory.
    isFolder = Deno.statSync(folderOf(path)).isDirectory;
  } catch (error) {
    throw cannotUse(path, reasonOf(error));
  }
  if (!isFolder) throw cannotUse(path, describeErrno(Errno.ENOTDIR));
  if (target !== "-" && isSameFile(path, target)) {
    throw cannotUse(path, "the image is restored to it");
  }
  const folder = Deno.realPathSync(folderOf(path));
  const realPath = info === null ? `${folder}/${nameOf(path)}` : Deno.realPathSync(path);
  // A report can always go elsewhere, so no option overrides this.
  const [harm] = describeHarm({ path, realPath, info });
  if (harm !== undefined) throw cannotUse(path, `${harm}; name another file`);
  for (const [fd, name] of [[1, "standard output"], [2, "standard error"]] as const) {
    if (info !== null && isOpenAs(fd, info)) throw cannotUse(path, `${name} goes to it`);
  }
}

/** Whether a descriptor leads to a file. */
function isOpenAs(fd: number, info: Deno.FileInfo): boolean {
  try {
    return isSameStatus(statFd(fd), info);
  } catch {
    return false; // it is closed
  }
}

/** Whether two paths lead to one file, or would if it existed. */
function isSameFile(a: string, b: string): boolean {
  const [infoA, infoB] = [statOrNull(a), statOrNull(b)];
  if (infoA && infoB) return infoA.dev === infoB.dev && infoA.ino === infoB.ino;
  return !infoA && !infoB && nameOf(a) === nameOf(b) && isSameFile(folderOf(a), folderOf(b));
}

/** The folder of a path, with a slash at its end, which only a directory may have; or ".". */
function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : path.slice(0, slash + 1);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function cannotUse(path: string, state: string): UsageError {
  return new UsageError(`Cannot use option "--report": ${quote(path)}: ${state}`);
}
