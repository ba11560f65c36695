/**
 * The file that `--report` names. It is created before the restore begins, so that a failure is
 * noticed then.
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
 * Should it have become a FIFO or terminal since it was looked at: opening must not wait for a
 * reader, nor take it over.
 */
const REPORT_OPEN_FLAGS = OpenFlag.O_WRONLY | OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY;

/**
 * A report to be written. Disposing it removes the file if it was created and nothing was written.
 */
export interface ReportFile extends Disposable {
  /** Writes the report. @throws What the file system throws. */
  write(report: object): void;
}

/**
 * Creates a file for a report, or takes an empty one, as a restore that was killed leaves behind.
 *
 * @param target What is restored to.
 * @throws {UsageError} If it cannot be created, holds something, belongs to a backup, is the
 *   target, or takes what is printed.
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
 * Finds out, as far as that goes without creating it, whether a report could be written. @throws
 * {UsageError}
 */
export function requireReportFile(path: string, target: string): void {
  const info = statOrNull(path);
  if (info !== null && !info.isFile) throw cannotUse(path, "it is not a regular file");
  if (info !== null && info.size > 0) {
    throw cannotUse(path, "it exists and is not empty; name another file");
  }
  let isFolder: boolean;
  try {
    // With less than all permissions the runtime drops the slash at the end, which would have told.
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
  // Unlike a target it can as well lie elsewhere: no option overrides this.
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

/** Ends with a slash, so that only a directory can be there, or is that of a bare name. */
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
