/**
 * A revision's metadata as extended attributes, to be looked at with `getfattr -d`. Pure.
 *
 * @module
 */

import type { RevisionInfo } from "../store/revision_info.ts";

const VALUES: Readonly<Record<string, (info: RevisionInfo) => string | null>> = {
  /** Separated by commas. */
  "user.backy.tags": ({ tags }) => tags.join(","),
  "user.backy.trust": ({ trust }) => trust,
  /** As `2026-01-11T17:45:25.666Z`; absent if there is none in the metadata. */
  "user.backy.timestamp": ({ timestamp }) => timestamp?.toISOString() ?? null,
  /** Whether the backup ran to its end: `true` or `false`. */
  "user.backy.complete": ({ isComplete }) => String(isComplete),
};

/** Names that a revision can have values for. */
export const EXTENDED_NAMES: readonly string[] = Object.keys(VALUES);

/** Returns a value in UTF-8; `null` if a revision has none of that name. */
export function extendedAttribute(
  info: RevisionInfo,
  name: string,
): Uint8Array<ArrayBuffer> | null {
  const value = Object.hasOwn(VALUES, name) ? VALUES[name]!(info) : null;
  return value === null ? null : new TextEncoder().encode(value);
}
