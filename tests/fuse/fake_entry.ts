/**
 * Revisions as a catalog lists them, without files.
 *
 * @module
 */

import type { CatalogEntry } from "../../lib/store/catalog.ts";
import { parseRevisionInfo } from "../../lib/store/revision_info.ts";

/** Makes the entry of a readable revision; `fields` replaces some of its fields. */
export function fakeEntry(
  name: string,
  day: number,
  fields: Partial<CatalogEntry> = {},
  isComplete = true,
): CatalogEntry {
  const info = parseRevisionInfo(
    [
      `uuid: ${name}`,
      `timestamp: 2026-01-0${day} 00:00:00+00:00`,
      "tags: [daily, 'manual:before-upgrade']",
      isComplete ? "stats: {duration: 1}" : "stats: {}",
    ].join("\n"),
    `${name}.rev`,
  );
  const time = info.timestamp!;
  const flags = { hasMap: true, isLocal: true, isChunked: true };
  const paths = { mapPath: name, metadataPath: `${name}.rev`, metadataVersion: "first" };
  return { name, info, time, ...paths, ...flags, ...fields };
}
