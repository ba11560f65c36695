/**
 * Tells apart what a user may type for a revision: a path, a directory, or a directory and a spec.
 * Looks at the file system, but into no file. `select_revision.ts` goes on from here.
 *
 * @module
 */

import { RevisionError, UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { METADATA_SUFFIX, pathIn } from "./layout.ts";
import { parseRevisionSpec, type RevisionSpec } from "./revision_spec.ts";
import { isDateLike } from "./revision_spec_date.ts";
import { requireStore } from "./store.ts";
import { hintAbove, hintNear, listHint } from "./store_hints.ts";

/** How a revision may be named besides by its path. */
export interface SelectOptions {
  /** A revision spec; the path is then a backup directory. */
  readonly spec?: string | undefined;
  /**
   * A backup directory in which a name without a slash is looked for first, and a spec without a
   * directory.
   */
  readonly relativeTo?: string | undefined;
  /** Ends the search in a directory of many revisions; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** What was typed, taken apart. */
export type RevisionMeaning =
  /** For `locateRevision`, which may refuse it. */
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "directory"; readonly dir: string }
  | SpecMeaning;

/** A spec in a directory that may be none of backups. */
export interface SpecMeaning {
  readonly kind: "spec";
  readonly dir: string;
  readonly spec: RevisionSpec;
  /** The spec as it was typed. */
  readonly text: string;
  /** Both as it was typed, quoted, for messages. */
  readonly subject: string;
  /** For errors. */
  readonly path: string;
}

// Of a spec that is part of a message.
const SPEC_MAX_CHARS = 200;

/**
 * Finds out what a user means.
 *
 * @throws {RevisionError} If it can only be a revision's name or path, and there is none.
 * @throws {StoreFormatError} If it is a spec in a directory that is absent.
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
 * @param states What the user should know, if it is more than that.
 */
export function noSuchRevision(
  subject: string,
  path: string,
  [state = "there is no such revision", ...more]: readonly (string | undefined)[] = [],
): RevisionError {
  const states = [state, ...more].filter((text) => text !== undefined).join("; ");
  return new RevisionError(`Cannot open revision ${subject}: ${states}`, { path });
}

function interpretIn(dir: string, text: string): RevisionMeaning {
  const kind = kindOf(dir);
  if (kind === "other") {
    const state = [`${quote(dir)} is not a directory`, hintAbove(dir)].filter(Boolean).join("; ");
    throw new UsageError(`Cannot look for revision ${quote(text, SPEC_MAX_CHARS)}: ${state}`);
  }
  const spec = parseRevisionSpec(text);
  requireStore(dir);
  if (spec.kind !== "name") return specIn(dir, text, spec);
  const path = pathIn(dir, spec.name);
  // Without a look at the metadata, which may be damaged when a restore is needed.
  if (isRevisionAt(path)) return { kind: "file", path };
  throw noSuchRevision(subjectOf(dir, text), path, [undefined, listHint(dir)]);
}

/** Takes a bare name for one in a backup directory; only if it can be none there for a path. */
function interpretBeside(dir: string, name: string): RevisionMeaning {
  const path = pathIn(dir, name);
  if (isRevisionAt(path)) return { kind: "file", path };
  const spec = tryParse(name, kindOf(name) !== "nothing");
  if (spec !== null && spec.kind !== "name") return specIn(dir, name, spec);
  if (kindOf(name) !== "nothing" || isRevisionAt(name)) return interpretPath(name, dir);
  throw noSuchRevision(subjectOf(dir, name), path, [undefined, hintNear(dir)]);
}

/** @param base Directory of a spec that comes without one. */
function interpretPath(path: string, base: string): RevisionMeaning {
  if (path === "" || isRevisionAt(path)) return { kind: "file", path };
  if (kindOf(path) === "directory") return { kind: "directory", dir: path };

  const { prefix, rest } = splitAfterDirectory(path);
  // A slash may stand in a tag; before any sign of a spec it ends the name of a directory.
  const missing = /^([^:(),&]*)\//s.exec(rest);
  const text = missing === null ? rest : rest.slice(missing[0].length);
  const spec = tryParse(text);
  if (spec === null || spec.kind === "name") {
    const dir = path.slice(0, path.lastIndexOf("/") + 1).replace(/\/+$/, "");
    const where = dir !== "" ? dir : path.startsWith("/") ? "/" : ".";
    throw noSuchRevision(quote(path), path, [undefined, hintNear(where)]);
  }
  if (missing !== null) {
    requireStore(prefix + missing[1]);
    // It was made only now.
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
 * Parses what may be a spec, but also a path that does not exist.
 *
 * @param isPath Whether it is certainly a path if it is no spec.
 * @returns `null` if it is not one and does not look like one.
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
 * Splits a path after the longest of its beginnings that is a directory; `prefix` is "" or ends
 * with a slash.
 */
function splitAfterDirectory(path: string): { prefix: string; rest: string } {
  let end = path.lastIndexOf("/") + 1;
  while (end > 0 && kindOf(path.slice(0, end)) !== "directory") {
    end = path.slice(0, end - 1).lastIndexOf("/") + 1;
  }
  return { prefix: path.slice(0, end), rest: path.slice(end) };
}

/**
 * Whether a path leads to what is a revision or is to be refused as one, even if only its metadata
 * is there.
 */
function isRevisionAt(path: string): boolean {
  const kind = kindOf(path);
  return kind === "other" || kind === "nothing" && kindOf(path + METADATA_SUFFIX) === "other";
}

/** "other" is also what cannot be told: the system's reason is in the error of whoever opens it. */
function kindOf(path: string): "directory" | "other" | "nothing" {
  try {
    return Deno.statSync(path).isDirectory ? "directory" : "other";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return isLink(path) ? "other" : "nothing";
    if (error instanceof Deno.errors.NotADirectory) return "nothing";
    // A spec may be longer than a file's name.
    const { code } = error as { code?: string };
    return code === "ENAMETOOLONG" ? "nothing" : "other";
  }
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    return false;
  }
}
