/**
 * Tells what a user typed for a revision: a path, a directory, or a directory and a spec. Looks at
 * the file system but reads no file. `select_revision.ts` takes it from here.
 *
 * @module
 */

import { RevisionError, UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { Errno, errnoOf } from "../linux/errno.ts";
import { linkOrNull, pathIn, splitPath } from "../linux/paths.ts";
import { METADATA_SUFFIX } from "./layout.ts";
import { parseRevisionSpec, type RevisionSpec } from "./revision_spec.ts";
import { isDateLike } from "./dates.ts";
import { requireStore } from "./store.ts";
import { hintAbove, hintNear, joinClauses, listHint } from "./store_hints.ts";

/** Ways to name a revision other than by its path. */
export interface SelectOptions {
  /** A revision spec; the path is then a backup directory. */
  readonly spec?: string | undefined;
  /** The backup directory of a spec without one; a name without a slash is first sought there. */
  readonly relativeTo?: string | undefined;
  /** Aborts the search in a directory of many revisions; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** What was typed, taken apart. */
export type RevisionMeaning =
  /** For `locateRevision`, which may refuse it. */
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "directory"; readonly dir: string }
  | SpecMeaning;

/** A spec in a directory that may not be a backup directory. */
export interface SpecMeaning {
  readonly kind: "spec";
  readonly dir: string;
  readonly spec: RevisionSpec;
  /** The spec as it was typed. */
  readonly text: string;
  /** Spec and directory as they were typed, quoted, for messages. */
  readonly subject: string;
  /** The `path` of errors. */
  readonly path: string;
}

// How much of a spec a message quotes.
const SPEC_MAX_CHARS = 200;

/**
 * Finds out what a user means.
 *
 * @throws {RevisionError} If it can only be a revision's name or path, and there is no such one.
 * @throws {StoreFormatError} If it is a spec in a directory that does not exist.
 * @throws {UsageError} If a spec is not understood, or its directory is a file.
 */
export function interpretRevision(path: string, options: SelectOptions): RevisionMeaning {
  const { spec, relativeTo } = options;
  if (spec !== undefined) return interpretIn(path, spec);
  if (relativeTo !== undefined && path !== "" && !path.includes("/")) {
    return interpretBeside(relativeTo, path);
  }
  return interpretPath(path, relativeTo ?? ".");
}

/**
 * Builds the error of a revision that does not exist.
 *
 * @param subject What was typed, quoted.
 * @param clauses What is wrong, unless it is just that; then what else the user should know.
 */
export function noSuchRevision(
  subject: string,
  path: string,
  [state = "there is no such revision", ...more]: readonly (string | undefined)[] = [],
): RevisionError {
  return new RevisionError(`Cannot open revision ${subject}: ${joinClauses(state, ...more)}`, {
    path,
  });
}

function interpretIn(dir: string, text: string): RevisionMeaning {
  const kind = kindOf(dir);
  if (kind === "other") {
    const state = joinClauses(`${quote(dir)} is not a directory`, hintAbove(dir));
    throw new UsageError(`Cannot look for revision ${quote(text, SPEC_MAX_CHARS)}: ${state}`);
  }
  const spec = parseRevisionSpec(text);
  requireStore(dir);
  if (spec.kind !== "name") return specIn(dir, text, spec);
  const path = pathIn(dir, spec.name);
  // The metadata is not read, because a restore must work even if it is damaged.
  if (isRevisionAt(path)) return { kind: "file", path };
  throw noSuchRevision(subjectOf(dir, text), path, [undefined, listHint(dir)]);
}

/** Looks a bare name up in the backup directory first, then as a path. */
function interpretBeside(dir: string, name: string): RevisionMeaning {
  const path = pathIn(dir, name);
  if (isRevisionAt(path)) return { kind: "file", path };
  const spec = tryParse(name, kindOf(name) !== "nothing");
  if (spec !== null && spec.kind !== "name") return specIn(dir, name, spec);
  if (kindOf(name) !== "nothing" || isRevisionAt(name)) return interpretPath(name, dir);
  throw noSuchRevision(subjectOf(dir, name), path, [undefined, hintNear(dir)]);
}

/** @param base Directory of a spec that was typed without one. */
function interpretPath(path: string, base: string): RevisionMeaning {
  if (path === "" || isRevisionAt(path)) return { kind: "file", path };
  if (kindOf(path) === "directory") return { kind: "directory", dir: path };

  const { prefix, rest } = splitAfterDirectory(path);
  // A tag may contain a slash; a slash before any sign of a spec ends the name of a directory.
  const missing = /^([^:(),&]*)\//s.exec(rest);
  const text = missing === null ? rest : rest.slice(missing[0].length);
  const spec = tryParse(text);
  if (spec === null || spec.kind === "name") {
    throw noSuchRevision(quote(path), path, [undefined, hintNear(splitPath(path).dir)]);
  }
  if (missing !== null) {
    requireStore(prefix + missing[1]);
    // The directory was made a moment ago.
    throw noSuchRevision(quote(path), path);
  }
  const dir = prefix === "" ? base : prefix.replace(/\/+$/, "") || "/";
  return { kind: "spec", dir, spec, text, subject: quote(path), path };
}

function specIn(dir: string, text: string, spec: RevisionSpec): SpecMeaning {
  return { kind: "spec", dir, spec, text, subject: subjectOf(dir, text), path: dir };
}

function subjectOf(dir: string, text: string): string {
  return `${quote(text, SPEC_MAX_CHARS)} in ${quote(dir)}`;
}

/**
 * Parses what may be a spec or a path that does not exist.
 *
 * @param isPath Whether it must be a path if it is not a spec.
 * @returns `null` if it is not a spec and does not look like one.
 * @throws {UsageError} If it looks like a spec and is not one.
 */
function tryParse(text: string, isPath = false): RevisionSpec | null {
  try {
    return parseRevisionSpec(text);
  } catch (error) {
    if (!isPath && (/[:(),&]|\.\./.test(text) || isDateLike(text))) throw error;
    return null;
  }
}

/**
 * Splits a path after the longest prefix that is a directory; `prefix` is "" or ends with a slash.
 */
function splitAfterDirectory(path: string): { prefix: string; rest: string } {
  let end = path.lastIndexOf("/") + 1;
  while (end > 0 && kindOf(path.slice(0, end)) !== "directory") {
    end = path.slice(0, end - 1).lastIndexOf("/") + 1;
  }
  return { prefix: path.slice(0, end), rest: path.slice(end) };
}

/**
 * Whether a path is to be opened as a revision, or refused as one: something other than a directory
 * is there, or metadata alone.
 */
function isRevisionAt(path: string): boolean {
  const kind = kindOf(path);
  return kind === "other" || kind === "nothing" && kindOf(path + METADATA_SUFFIX) === "other";
}

/** Returns "other" also if the system refuses to tell: opening the path will say why. */
function kindOf(path: string): "directory" | "other" | "nothing" {
  try {
    return Deno.statSync(path).isDirectory ? "directory" : "other";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      return linkOrNull(path) !== null ? "other" : "nothing";
    }
    if (error instanceof Deno.errors.NotADirectory) return "nothing";
    // A spec may be longer than the name of a file can be.
    return errnoOf(error) === Errno.ENAMETOOLONG ? "nothing" : "other";
  }
}
