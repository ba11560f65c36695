/**
 * What a user should know about revisions that can be read: unfinished, distrusted, or not all of
 * them listed.
 *
 * @module
 */

import { METADATA_SUFFIX } from "./layout.ts";
import type { SkippedRevision } from "./catalog.ts";
import type { RevisionInfo } from "./revision_info.ts";
import type { ResolvedSpec } from "./revision_spec.ts";
import { printable, quote } from "../wording.ts";
import { readBeginning } from "../linux/paths.ts";

// Real metadata has some 400 bytes.
const GLANCE_MAX_BYTES = 64 * 1024;

// Texts of a message that come from a store.
const NAMES_MAX = 3;
const NAME_MAX_CHARS = 64;
const REASON_MAX_CHARS = 160;

/** As much as clocks of servers differ. */
const CLOCK_SKEW_MS = 3_600_000;

/** A number of seconds as the backup's duration, in the two forms in which producers write it. */
const DURATION = /^stats: *(?:\{[^{}]*|(?:\r?\n [^\n]*)*)\bduration: +\d/m;

/**
 * Says what speaks against a revision of which only the map's path is known. Metadata that is
 * absent or cannot be read says nothing.
 *
 * A restore by path comes by here, and loading the YAML parser takes 13 ms. So the text is looked
 * at first, within 0.5 ms; only where "distrusted" stands in it or no duration is found is it
 * parsed.
 */
export async function readRevisionWarnings(mapPath: string): Promise<string[]> {
  const path = mapPath + METADATA_SUFFIX;
  try {
    if (looksFine(path)) return [];
    const { readRevisionInfo } = await import("./revision_info.ts");
    const info = readRevisionInfo(path);
    const name = mapPath.slice(mapPath.lastIndexOf("/") + 1);
    return warningsAbout([{ name, info }]);
  } catch {
    return [];
  }
}

function looksFine(path: string): boolean {
  // Opening a FIFO would wait for a writer, reading some files of /proc, which have no length, for
  // whatever they tell of.
  const { isFile, size } = Deno.statSync(path);
  if (!isFile || size === 0) return true;
  const bytes = readBeginning(path, GLANCE_MAX_BYTES);
  const text = new TextDecoder().decode(bytes);
  return bytes.length < GLANCE_MAX_BYTES && !text.includes("distrusted") && DURATION.test(text);
}

/**
 * Says which of the revisions are unfinished or distrusted; one line for each of these, however
 * many there are.
 */
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

/** Says which revisions are not among those that a spec was applied to: no line or one. */
export function warningAboutSkipped(skipped: readonly SkippedRevision[]): string[] {
  return warningAboutMissing(skipped, "could not be read");
}

/** Says which revisions a spec means that cannot be used: no line or one. */
export function warningAboutLeftOut(leftOut: readonly SkippedRevision[]): string[] {
  return warningAboutMissing(leftOut, "cannot be used");
}

/**
 * Says which revisions could not be chosen by their place in the order because they have no time,
 * and which could be meant as well because they have the same one: a line each, or none.
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

/**
 * Says that a revision would be of the future: then a clock was wrong, and it may not be the
 * newest.
 */
export function warningAboutFuture(
  { name, time }: { readonly name: string; readonly time: Date | null },
  now: number,
): string[] {
  if (time === null || time.getTime() <= now + CLOCK_SKEW_MS) return [];
  return [
    `Revision ${nameOf({ name })} is of ${time.toISOString()}, which is in the future: ` +
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

/**
 * Writes a few revisions with what is said about each: `"a" (its map is missing), "b" (...) and 2
 * more`.
 */
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
