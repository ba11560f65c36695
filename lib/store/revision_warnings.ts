/**
 * Warnings about revisions that can be read: they are unfinished or distrusted, or others are
 * missing from the list.
 *
 * @module
 */

import { METADATA_SUFFIX } from "./layout.ts";
import type { SkippedRevision } from "./catalog.ts";
import type { RevisionInfo } from "./revision_info.ts";
import type { ResolvedSpec } from "./revision_spec.ts";
import { printable, quote } from "../wording.ts";
import { readRegular, splitPath } from "../linux/paths.ts";

// Real metadata has about 400 bytes.
const GLANCE_MAX_BYTES = 64 * 1024;

// Limits for text from a store in a message.
const NAMES_MAX = 3;
const NAME_MAX_CHARS = 64;
const REASON_MAX_CHARS = 160;

/** How far the clocks of servers may differ. */
const CLOCK_SKEW_MS = 3_600_000;

/** The backup's duration in seconds, in the two forms in which producers write it. */
const DURATION = /^stats: *(?:\{[^{}]*|(?:\r?\n [^\n]*)*)\bduration: +\d/m;

/**
 * Warns about a revision of which only the map's path is known. There are no warnings if its
 * metadata is absent or cannot be read.
 *
 * Every restore by path gets here, and loading the YAML parser takes 13 ms. So the text is searched
 * first, which takes 0.5 ms, and parsed only if it contains "distrusted" or lacks a duration.
 */
export async function readRevisionWarnings(mapPath: string): Promise<string[]> {
  const path = mapPath + METADATA_SUFFIX;
  try {
    if (looksFine(path)) return [];
    const { readRevisionInfo } = await import("./revision_info.ts");
    const info = readRevisionInfo(path);
    const { name } = splitPath(mapPath);
    return warningsAbout([{ name, info }]);
  } catch {
    return [];
  }
}

function looksFine(path: string): boolean {
  const bytes = readRegular(path, GLANCE_MAX_BYTES);
  if (bytes === null) return true;
  const text = new TextDecoder().decode(bytes);
  return bytes.length < GLANCE_MAX_BYTES && !text.includes("distrusted") && DURATION.test(text);
}

/** Warns about unfinished and distrusted revisions: at most one line for each of the two. */
export function warningsAbout(
  revisions: readonly { readonly name: string; readonly info: RevisionInfo }[],
): string[] {
  const warnings: string[] = [];
  const unfinished = revisions.filter(({ info }) => !info.isComplete);
  if (unfinished.length > 0) {
    warnings.push(
      unfinished.length === 1
        ? `Revision ${nameOf(unfinished[0]!)} is unfinished: its backup did not run to its end`
        : `${unfinished.length} revisions are unfinished, their backups did not run to their ends: ` +
          listed(unfinished.map(nameOf)),
    );
  }
  const distrusted = revisions.filter(({ info }) => info.trust === "distrusted");
  if (distrusted.length > 0) {
    warnings.push(
      distrusted.length === 1
        ? `Revision ${nameOf(distrusted[0]!)} is distrusted: it may differ from what was backed up`
        : `${distrusted.length} revisions are distrusted, they may differ from what was backed up: ` +
          listed(distrusted.map(nameOf)),
    );
  }
  return warnings;
}

/** Warns about revisions that a spec could not consider: at most one line. */
export function warningAboutSkipped(skipped: readonly SkippedRevision[]): string[] {
  return warningAboutMissing(skipped, "could not be read");
}

/** Warns about revisions that a spec means but that cannot be used: at most one line. */
export function warningAboutLeftOut(leftOut: readonly SkippedRevision[]): string[] {
  return warningAboutMissing(leftOut, "cannot be used");
}

/**
 * Warns about revisions that the order could not choose because they have no time, and about those
 * that share the time of a chosen one: at most one line for each of the two.
 */
export function warningsAboutOrder({ passedOver, tied }: Omit<ResolvedSpec, "entries">): string[] {
  const warnings: string[] = [];
  if (passedOver.length > 0) {
    const [subject, whose] = passedOver.length === 1
      ? ["1 revision was", "its time is"]
      : [`${passedOver.length} revisions were`, "their times are"];
    const names = listed(passedOver.map(nameOf));
    warnings.push(`${subject} passed over because ${whose} unknown: ${names}`);
  }
  if (tied.length > 0) {
    const subject = tied.length === 1 ? "1 revision has" : `${tied.length} revisions have`;
    const names = listed(tied.map(nameOf));
    warnings.push(`${subject} the same time as the one that was chosen: ${names}`);
  }
  return warnings;
}

/** Warns about a revision from the future: a clock was wrong, and it may not be the newest. */
export function warningAboutFuture(
  { name, time }: { readonly name: string; readonly time: Date | null },
  now: number,
): string[] {
  if (time === null || time.getTime() <= now + CLOCK_SKEW_MS) return [];
  return [
    `Revision ${nameOf({ name })} is dated ${time.toISOString()}, which is in the future: ` +
    "a clock is or was wrong, and others may be newer",
  ];
}

function warningAboutMissing(missing: readonly SkippedRevision[], state: string): string[] {
  const count = missing.length;
  if (count === 0) return [];
  const subject = count === 1 ? "1 revision" : `${count} revisions`;
  const verb = count === 1 ? "was" : "were";
  return [`${subject} ${state} and ${verb} left out: ${describeRevisions(missing)}`];
}

/** Lists a few revisions with reasons: `"a" (its map is missing), "b" (...) and 2 more`. */
export function describeRevisions(revisions: readonly SkippedRevision[]): string {
  return listed(
    revisions.map((revision) =>
      `${nameOf(revision)} (${printable(revision.reason, REASON_MAX_CHARS)})`
    ),
  );
}

function nameOf({ name }: { readonly name: string }): string {
  return quote(name, NAME_MAX_CHARS);
}

function listed(texts: readonly string[]): string {
  const more = texts.length > NAMES_MAX ? ` and ${texts.length - NAMES_MAX} more` : "";
  return texts.slice(0, NAMES_MAX).join(", ") + more;
}
