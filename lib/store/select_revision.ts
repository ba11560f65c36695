/**
 * Finds the revisions that a user typed: a path, a directory with a spec (`DIR/last(tag:daily)`),
 * or the two as separate arguments.
 *
 * A file at the path always takes precedence; `store.ts` resolves it. A restore by path neither
 * lists the directory nor loads the YAML parser, unless there is something to warn about.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import { isFileAt } from "../linux/file_status.ts";
import { Slices, type Steps } from "../slices.ts";
import { quote } from "../wording.ts";
import type { CatalogEntry, SkippedRevision } from "./catalog.ts";
import {
  interpretRevision,
  noSuchRevision,
  type SelectOptions,
  type SpecMeaning,
} from "./revision_meaning.ts";
import { parseRevisionSpec, type ResolvedSpec, resolveRevisionSpec } from "./revision_spec.ts";
import {
  describeRevisions,
  readRevisionWarnings,
  warningAboutFuture,
  warningAboutLeftOut,
  warningAboutSkipped,
  warningsAbout,
  warningsAboutOrder,
} from "./revision_warnings.ts";
import { hintNear, listHint } from "./store_hints.ts";
import { locateRevision, requireStore, type RevisionLocation } from "./store.ts";

export type { SelectOptions } from "./revision_meaning.ts";

/** A revision whose map is a regular file. */
export interface FoundRevision extends RevisionLocation {
  /** Its catalog entry; `null` if it was named by path or uuid, for which no list is read. */
  readonly entry: CatalogEntry | null;
}

/** The one revision that was meant. */
export interface SelectedRevision extends FoundRevision {
  /** One line each: it is unfinished or distrusted, or others could not be read. */
  readonly warnings: readonly string[];
}

/** The revisions that were meant. */
export interface SelectedRevisions {
  /** The backup directory. */
  readonly basedir: string;
  /** At least one, in the order of the spec. */
  readonly revisions: readonly FoundRevision[];
  /** Those that were meant but cannot be used (on another server), in the order of the spec. */
  readonly leftOut: readonly SkippedRevision[];
  /** As in {@linkcode SelectedRevision}, and which revisions were left out. */
  readonly warnings: readonly string[];
}

/**
 * Finds the one revision that a user means.
 *
 * @param path `DIR/UUID` or any other path for `locateRevision`; or `DIR/SPEC`, or `SPEC` in the
 *   current directory; with `options.spec` a backup directory.
 * @throws {RevisionError} If there is none, or more than one (then with `candidates`), or it cannot
 *   be used.
 * @throws {StoreFormatError} If a spec's directory is not a backup directory.
 * @throws {UsageError} If a spec is not understood, or its directory is a file.
 */
export async function selectRevision(
  path: string,
  options: SelectOptions = {},
): Promise<SelectedRevision> {
  const meaning = interpretRevision(path, options);
  if (meaning.kind === "file") return await selectFile(meaning.path);
  if (meaning.kind === "directory") {
    throw new RevisionError(
      `Cannot open revision ${quote(path)}: ` +
        "it is a directory, name a revision in it (DIR/UUID or DIR/SPEC, or -r SPEC); " +
        hintNear(meaning.dir),
      { path },
    );
  }

  const resolved = await resolve(meaning, options.signal);
  if (resolved.entries.length > 1) throw ambiguous(meaning, resolved.entries);
  const [revision] = resolved.usable;
  if (revision === undefined) throw unusable(meaning, resolved);
  const warnings = [
    ...warningsAbout([revision.entry]),
    ...warningAboutFuture(revision.entry, Date.now()),
    ...warningsAboutOrder(resolved),
    ...warningAboutSkipped(resolved.skipped),
  ];
  return { ...revision, warnings };
}

/**
 * Finds the revisions that a user means. A directory by itself means all of its revisions.
 *
 * @param path As for {@linkcode selectRevision}.
 * @throws {RevisionError} If there is none, or none that can be used.
 * @throws {StoreFormatError} If the directory is not a backup directory.
 * @throws {UsageError} If a spec is not understood, or its directory is a file.
 */
export async function selectRevisions(
  path: string,
  options: SelectOptions = {},
): Promise<SelectedRevisions> {
  const meaning = interpretRevision(path, options);
  if (meaning.kind === "file") {
    const { warnings, ...revision } = await selectFile(meaning.path);
    return { basedir: revision.basedir, revisions: [revision], leftOut: [], warnings };
  }

  const specMeaning = meaning.kind === "spec" ? meaning : allOf(meaning.dir);
  const resolved = await resolve(specMeaning, options.signal);
  const { usable, leftOut, skipped } = resolved;
  if (usable.length === 0) throw unusable(specMeaning, resolved);
  return {
    basedir: specMeaning.dir,
    revisions: usable,
    leftOut,
    warnings: [
      ...warningsAbout(usable.map(({ entry }) => entry)),
      ...warningAboutLeftOut(leftOut),
      ...warningsAboutOrder(resolved),
      ...warningAboutSkipped(skipped),
    ],
  };
}

async function selectFile(path: string): Promise<SelectedRevision> {
  const location = locateRevision(path);
  const warnings = await readRevisionWarnings(location.mapPath);
  return { ...location, entry: null, warnings };
}

function allOf(dir: string): SpecMeaning {
  const text = "all";
  return { kind: "spec", dir, spec: parseRevisionSpec(text), text, subject: quote(dir), path: dir };
}

type ListedRevision = FoundRevision & { readonly entry: CatalogEntry };

interface Resolved extends ResolvedSpec {
  /** The entries that can be used. There is at least one entry. */
  readonly usable: readonly ListedRevision[];
  /** The entries that cannot be used. */
  readonly leftOut: readonly SkippedRevision[];
  /** Unreadable revisions: whether the spec means them is unknown. */
  readonly skipped: readonly SkippedRevision[];
}

async function resolve(
  { dir, spec, subject, path }: SpecMeaning,
  signal: AbortSignal | undefined,
): Promise<Resolved> {
  requireStore(dir);
  // Imported late because it brings the YAML parser, which takes 13 ms to load.
  const { readCatalogSteps, whyUnusable } = await import("./catalog.ts");
  const slices = new Slices({ signal });
  const { revisions, skipped } = await slices.run(readCatalogSteps(dir));
  const refuse = (state?: string) => {
    const [reason, hint] = revisions.length === 0
      ? [`there is no revision in ${quote(dir)}`]
      : [state, listHint(dir)];
    return noSuchRevision(subject, path, [reason, ...warningAboutSkipped(skipped), hint]);
  };
  const resolved = resolveRevisionSpec(spec, revisions, refuse);
  const { entries } = resolved;
  if (entries.length === 0) throw refuse();
  const usable: ListedRevision[] = [];
  const leftOut: SkippedRevision[] = [];
  await slices.run(locateAll());
  return { ...resolved, usable, leftOut, skipped };

  function* locateAll(): Steps<void> {
    for (const entry of entries) {
      yield;
      const { name, mapPath } = entry;
      const reason = whyUnusable(entry) ??
        (isFileAt(mapPath) ? null : "its map is not a regular file");
      if (reason !== null) leftOut.push({ name, reason });
      else usable.push({ ...locateRevision(mapPath), entry });
    }
  }
}

function ambiguous(
  { subject, path, text }: SpecMeaning,
  entries: readonly CatalogEntry[],
): RevisionError {
  const candidates = entries.map(({ name, time, info }) => ({
    name,
    time: time?.toISOString() ?? null,
    tags: info.tags,
  }));
  const hint = entries.some(({ time }) => time !== null)
    ? `the last of them is ${quote(`last(${text.trim()})`, 100)}`
    : "name one by its uuid";
  return new RevisionError(
    `Cannot open revision ${subject}: it means ${entries.length} revisions, ${hint}`,
    { path, candidates },
  );
}

/** Builds the error of a spec that means only revisions that cannot be used. */
function unusable(
  { dir, subject, path }: SpecMeaning,
  { entries, leftOut }: Resolved,
): RevisionError {
  const { name, reason } = leftOut[0]!;
  const [state, hint] = leftOut.length === 1
    ? [`it is ${quote(name, 64)}: ${reason}`, nextStepFrom(entries[0]!, dir)]
    : [
      `none of ${leftOut.length} revisions can be used: ${describeRevisions(leftOut)}`,
      listHint(dir),
    ];
  return new RevisionError(`Cannot open revision ${subject}: ${state}; ${hint}`, { path });
}

function nextStepFrom({ info, isLocal, hasMap }: CatalogEntry, dir: string): string {
  if (!isLocal) return "restore it there; last(local) skips such revisions";
  // A running backup has metadata but no map yet; "last" means it, as in backy.
  if (!info.isComplete && !hasMap) {
    return "its backup has not finished; last(clean) skips such revisions";
  }
  return listHint(dir);
}
