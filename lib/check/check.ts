/**
 * Reads, decodes and verifies each distinct chunk of some revisions once, and says what is damaged
 * and which parts of the images that affects. Read this first.
 *
 * This file finds the revisions and adds up the results; `directory_check.ts` checks the revisions
 * of one backup directory. An interrupted check reports what is known so far.
 *
 * Reads backup directories, where it creates at most an absent lock file. It neither prints nor
 * exits.
 *
 * @module
 */

import { realPathOrNull } from "../linux/paths.ts";
import { selectRevisions } from "../store/select_revision.ts";
import type { RevisionLocation } from "../store/store.ts";
import { DirectoryCheck, type DirectoryReport } from "./directory_check.ts";
import type { CheckOptions } from "./options.ts";

export type { CheckedRevision, CheckedState } from "./directory_check.ts";
export type { CheckEvent, CheckOptions } from "./options.ts";

/** What a check found, in all backup directories together. */
export interface CheckReport extends DirectoryReport {
  /** Wall time in whole milliseconds. */
  readonly elapsedMs: number;
  /** The reason of the signal that ended the check early; `null` if it came to its end. */
  readonly interruption: unknown;
}

/**
 * Checks revisions.
 *
 * @returns What was found. Neither damage nor an interruption is an error here.
 * @throws {StoreFormatError} If a directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision.
 * @throws {UsageError} If a spec is not understood.
 * @throws {LockError} If a purge lock could not be taken.
 */
export async function check(options: CheckOptions): Promise<CheckReport> {
  const startMs = performance.now();
  const { signal } = options;
  const checks = (await findRevisions(options)).map((found) => new DirectoryCheck(found, options));
  let interruption: unknown = null;
  try {
    for (const each of checks) await each.run();
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error;
    interruption = error;
  }
  const parts = checks.map((each) => each.report());
  const sum = (of: (part: DirectoryReport) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  return {
    revisions: parts.flatMap(({ revisions }) => revisions),
    distinctChunks: sum(({ distinctChunks }) => distinctChunks),
    checkedChunks: sum(({ checkedChunks }) => checkedChunks),
    damagedChunks: sum(({ damagedChunks }) => damagedChunks),
    readBytes: sum(({ readBytes }) => readBytes),
    decodedBytes: sum(({ decodedBytes }) => decodedBytes),
    damaged: parts.flatMap(({ damaged }) => damaged),
    elapsedMs: Math.round(performance.now() - startMs),
    interruption,
  };
}

/** Finds the revisions of each backup directory, each once; one may be named in several ways. */
async function findRevisions(
  { revisions, spec, signal, onEvent }: CheckOptions,
): Promise<RevisionLocation[][]> {
  const byDirectory = new Map<string, Map<string, RevisionLocation>>();
  for (const path of revisions) {
    const { revisions: found, warnings } = await selectRevisions(path, { spec, signal });
    for (const text of warnings) onEvent?.({ type: "warning", text });
    for (const revision of found) {
      const { basedir, name } = revision;
      const realPath = realPathOrNull(basedir) ?? basedir;
      const byName = byDirectory.get(realPath) ?? new Map<string, RevisionLocation>();
      if (!byName.has(name)) byName.set(name, revision);
      byDirectory.set(realPath, byName);
    }
  }
  return [...byDirectory.values()].map((byName) => [...byName.values()]);
}
