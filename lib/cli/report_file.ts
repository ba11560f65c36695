/**
 * The file that `--report` names. It is created before the restore begins, so that failing to
 * create it is noticed then.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { describeErrno, Errno, reasonOf } from "../linux/errno.ts";
import { isSameFile, statFdOrNull, statOrNull } from "../linux/file_status.ts";
import { fdatasyncFd, openFd, OpenFlag, releaseFd, writeAll } from "../linux/files.ts";
import { pathIn, splitPath } from "../linux/paths.ts";
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
  const { dir, name } = splitPath(path);
  let isFolder: boolean;
  try {
    isFolder = Deno.statSync(dir).isDirectory;
  } catch (error) {
    throw cannotUse(path, reasonOf(error));
  }
  if (!isFolder) throw cannotUse(path, describeErrno(Errno.ENOTDIR));
  if (target !== "-" && areSamePath(path, target)) {
    throw cannotUse(path, "the image is restored to it");
  }
  const realPath = info === null ? pathIn(Deno.realPathSync(dir), name) : Deno.realPathSync(path);
  // A report can always go elsewhere, so no option overrides this.
  const [harm] = describeHarm({ path, realPath, info });
  if (harm !== undefined) throw cannotUse(path, `${harm}; name another file`);
  for (const [fd, stream] of [[1, "standard output"], [2, "standard error"]] as const) {
    const open = statFdOrNull(fd);
    if (info && open && isSameFile(open, info)) throw cannotUse(path, `${stream} goes to it`);
  }
}

/** Whether two paths lead to one file, or would if it existed. */
function areSamePath(a: string, b: string): boolean {
  const [infoA, infoB] = [statOrNull(a), statOrNull(b)];
  if (infoA && infoB) return isSameFile(infoA, infoB);
  const [partsA, partsB] = [splitPath(a), splitPath(b)];
  return !infoA && !infoB && partsA.name === partsB.name && areSamePath(partsA.dir, partsB.dir);
}

function cannotUse(path: string, state: string): UsageError {
  return new UsageError(`Cannot use option "--report": ${quote(path)}: ${state}`);
}
