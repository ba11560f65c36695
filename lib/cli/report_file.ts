/**
 * The file that `--report` names. It is created before the restore begins: that it cannot be is to be known then.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { reasonOf } from "../ffi/errno.ts";
import { quote } from "../wording.ts";
import { renderJsonLine } from "./json_line.ts";
import { writeFully } from "./terminal.ts";

/** A report to be written. Disposing it removes the file if nothing was written. */
export interface ReportFile extends Disposable {
  /** Writes the report. @throws What the file system throws. */
  write(report: object): void;
}

/** Creates a file for a report. @throws {UsageError} If it cannot be created, or is there already. */
export function openReportFile(path: string): ReportFile {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { write: true, createNew: true });
  } catch (error) {
    const reason = error instanceof Deno.errors.AlreadyExists
      ? "there is such a file already"
      : reasonOf(error);
    throw new UsageError(`Cannot use option "--report": ${quote(path)}: ${reason}`);
  }
  let isWritten = false;
  return {
    write(report) {
      writeFully(file, renderJsonLine({ ...report }));
      file.syncDataSync();
      isWritten = true;
    },
    [Symbol.dispose]() {
      file.close();
      if (!isWritten) Deno.removeSync(path);
    },
  };
}
