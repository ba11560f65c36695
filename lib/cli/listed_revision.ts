/**
 * A revision as a list shows it: what its metadata says, and what its map does. Next:
 * `list_table.ts`.
 *
 * @module
 */

import { OsError, RevisionError } from "../errors.ts";
import type { MapFacts, MapFactsReader } from "../store/map_facts.ts";
import type { Steps } from "../slices.ts";
import { type CatalogEntry, whyUnusable } from "../store/catalog.ts";

/**
 * Whether an image can be read, by metadata and map: "usable"; "remote": it is on another server;
 * "other-format"; "no-map"; "gone": the map was removed while the list was made; "bad-map": it
 * is not valid.
 */
export type RevisionState = "usable" | "remote" | "other-format" | "no-map" | "gone" | "bad-map";

/** A revision with what was read from its map. */
export interface ListedRevision {
  readonly entry: CatalogEntry;
  readonly state: RevisionState;
  /** Why it is not "usable", in one line; `null` if it is. */
  readonly reason: string | null;
  /** `null` unless the state is "usable". */
  readonly facts: MapFacts | null;
}

/** Reads the map of a revision, if it has one here. A large one takes a tenth of a second. */
export function* listRevision(entry: CatalogEntry, reader: MapFactsReader): Steps<ListedRevision> {
  const reason = whyUnusable(entry);
  if (reason !== null) {
    const state = !entry.isLocal ? "remote" : !entry.isChunked ? "other-format" : "no-map";
    return { entry, state, reason, facts: null };
  }
  try {
    const facts = yield* reader.read(entry.mapPath);
    return { entry, state: "usable", reason: null, facts };
  } catch (error) {
    if (!(error instanceof RevisionError)) throw error;
    const { cause } = error;
    const isGone = cause instanceof Deno.errors.NotFound ||
      (cause instanceof OsError && cause.errnoName === "ENOENT");
    return { entry, state: isGone ? "gone" : "bad-map", reason: error.message, facts: null };
  }
}
