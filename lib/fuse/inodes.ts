/**
 * Inode numbers of a mount. Each state of a revision has a number of its own, which is never used
 * again; those of its partitions and of the links to it follow from that number, so that nothing
 * need be remembered. Pure.
 *
 * @module
 */

import { FUSE_ROOT_ID } from "../deno_fuse/mod.ts";

/** The root directory. */
export const ROOT_INO = FUSE_ROOT_ID;

/** The symbolic link `last`. */
export const LAST_INO = 2;

/** The first revision; the others follow. */
export const FIRST_REVISION_INO = 3;

/** Numbers from here on are derived: so many for each revision. */
const DERIVED_BASE = 2 ** 52, SLOTS = 2 ** 20;

/** What is derived from the number of a revision; partitions have the slots behind. */
export const Slot = { PARTS: 0, DATE_LINK: 1, DATE_PARTS_LINK: 2, FIRST_PARTITION: 16 } as const;

/** The directory `by-date`. */
export const BY_DATE_INO = derivedIno(0, 0);

/** The symbolic link `last.parts`. */
export const LAST_PARTS_INO = derivedIno(0, 1);

/** Derives a number. @param slot A {@linkcode Slot}, or one of a partition. */
export function derivedIno(revisionIno: number, slot: number): number {
  if (slot >= SLOTS) throw new RangeError(`Cannot number file ${slot} of revision ${revisionIno}`);
  return DERIVED_BASE + revisionIno * SLOTS + slot;
}

/** Takes a number apart; `slot` is `null` for that of a revision itself. */
export function splitIno(ino: number): { revisionIno: number; slot: number | null } {
  if (ino < DERIVED_BASE) return { revisionIno: ino, slot: null };
  const derived = ino - DERIVED_BASE;
  return { revisionIno: Math.floor(derived / SLOTS), slot: derived % SLOTS };
}
