/**
 * Reads a revision map that a running backup may be writing, once it is complete. Used by
 * `image_map.ts`; a restore refuses such a map instead.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import { type FileState, fileState } from "../linux/file_state.ts";
import { describeChange } from "../store/map_file.ts";
import type { StoredRevisionMap } from "../store/revision_map.ts";
import { quote } from "../wording.ts";

/** How often a map that is being written is checked, and how long opening its image may wait. */
const MAP_POLL_MS = 50, MAP_PATIENCE_MS = 10_000;

/** How maps are read and their files checked. */
export interface MapAccess {
  /** Reads a revision map, away from this thread. */
  readonly readMap: (path: string) => Promise<StoredRevisionMap>;
  /** Default: {@linkcode fileState}. */
  readonly readState?: (path: string) => FileState;
}

/**
 * Reads a map when its file has not changed for so long that any further change will be noticed.
 *
 * @throws {RevisionError} If it cannot be read, or is being written for too long to wait.
 * @throws {OsError} If there is no such file.
 */
export async function readWholeMap(
  path: string,
  { readMap, readState = fileState }: MapAccess,
): Promise<StoredRevisionMap> {
  const deadline = performance.now() + MAP_PATIENCE_MS;
  for (let failure: unknown;;) {
    const { isSettled, version } = readState(path);
    if (isSettled) {
      try {
        const map = await readMap(path);
        // Otherwise it changed meanwhile, and might change again unnoticed.
        if (map.state.version === version) return map;
      } catch (error) {
        // If nobody is writing it, trying again does not help.
        if (readState(path).version === version) throw error;
        failure = error;
      }
    }
    if (performance.now() > deadline) {
      throw new RevisionError(
        `Cannot use revision map ${quote(path)}: ${describeChange("again and again")}`,
        { path },
        { cause: failure },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, MAP_POLL_MS));
  }
}
