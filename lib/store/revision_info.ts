/**
 * Reads a revision's metadata, `NAME.rev`: YAML as PyYAML writes it.
 *
 * A restore needs none of it; listings, revision specs and better error messages do. So it breaks
 * only on what cannot be metadata at all, and takes absent or odd fields for their defaults.
 *
 * @module
 */

import { parseDocument } from "yaml";
import { RevisionError } from "../errors.ts";
import { parseTimestamp } from "./dates.ts";
import { METADATA_SUFFIX } from "./layout.ts";
import { parsePlainMetadata } from "./plain_metadata.ts";
import { reasonOf, rethrowLack } from "../linux/errno.ts";
import { quote, shownHostName, shownWord } from "../wording.ts";
import { readBeginning } from "../linux/paths.ts";

/**
 * A revision's metadata. Names and tags are as in the file: quote them before they are shown. Words
 * and hosts that do not look like such are {@linkcode WITHHELD}.
 */
export interface RevisionInfo {
  /** The revision's name, safe as a file name: neither empty nor a path. */
  readonly uuid: string;
  /** When the backup was started; `null` if absent or not understood. Exact to the millisecond. */
  readonly timestamp: Date | null;
  readonly tags: readonly string[];
  /** The tags it was made with, as far as they are recorded. */
  readonly origTags: readonly string[];
  /** "trusted" (also if absent), "distrusted", "verified", or another word that stands there. */
  readonly trust: string;
  /** Where map and chunks are; "" means here. */
  readonly server: string;
  /** "chunked", another format's name, or `null`: newer producers write none. */
  readonly backendType: string | null;
  /** Name of the revision it was made from; `null` for a first or full one. */
  readonly parent: string | null;
  readonly stats: {
    readonly bytesWritten?: number;
    readonly durationSeconds?: number;
  };
  /** Whether the backup ran to its end. */
  readonly isComplete: boolean;
}

// Real ones have some 400 bytes. The worst YAML of this length keeps the parser busy for half a
// second.
const METADATA_MAX_BYTES = 256 * 1024;

/**
 * Reads and parses a metadata file.
 *
 * @param path Path of the `.rev` file.
 * @throws {RevisionError} If it is absent, unreadable, larger than 256 KiB, or
 *   {@linkcode parseRevisionInfo} refuses it.
 */
export function readRevisionInfo(path: string): RevisionInfo {
  const refuse = (state: string, cause?: unknown) =>
    new RevisionError(
      `Cannot read revision metadata ${quote(path)}: ${state}`,
      { path },
      cause === undefined ? undefined : { cause },
    );
  let text: string;
  try {
    const info = Deno.statSync(path);
    if (!info.isFile) throw refuse("it is not a regular file");
    if (info.size > METADATA_MAX_BYTES) throw refuse("it is larger than 256 KiB");
    text = new TextDecoder().decode(readBeginning(path, METADATA_MAX_BYTES));
  } catch (error) {
    rethrowLack(error, path);
    throw error instanceof RevisionError ? error : refuse(reasonOf(error), error);
  }
  return parseRevisionInfo(text, path);
}

/**
 * Parses the text of a metadata file.
 *
 * @param path Named in errors; its last part without ".rev" is the uuid where the text has none.
 * @throws {RevisionError} If the text is no YAML mapping or not that of a revision, or its uuid
 *   could not be a file's name. No message quotes it.
 */
export function parseRevisionInfo(text: string, path: string): RevisionInfo {
  const fields: Fields = parsePlainMetadata(text) ?? parseMapping(text, path);
  const refuse = (state: string) =>
    new RevisionError(`Cannot use revision metadata ${quote(path)}: ${state}`, { path });
  if (!isMetadata(fields)) throw refuse("it has neither uuid nor timestamp nor stats");
  const uuid = textOf(fields.get("uuid")) ?? nameOf(path);
  if (!isFileName(uuid)) throw refuse("its uuid cannot be the name of a file");
  const stats = fields.get("stats") instanceof Map ? fields.get("stats") as Fields : new Map();
  const bytesWritten = numberOf(stats.get("bytes_written"));
  const durationSeconds = numberOf(stats.get("duration"));
  return {
    uuid,
    timestamp: parseTimestamp(textOf(fields.get("timestamp")) ?? ""),
    tags: textsOf(fields.get("tags")),
    origTags: textsOf(fields.get("orig_tags")),
    trust: shown(fields.get("trust"), shownWord) ?? "trusted",
    server: shown(fields.get("server"), shownHostName) ?? "",
    backendType: shown(fields.get("backend_type"), shownWord) ?? null,
    parent: shown(fields.get("parent"), shownWord) ?? null,
    stats: {
      ...(bytesWritten === undefined ? {} : { bytesWritten }),
      ...(durationSeconds === undefined ? {} : { durationSeconds }),
    },
    isComplete: durationSeconds !== undefined,
  };
}

type Fields = ReadonlyMap<unknown, unknown>;

function parseMapping(text: string, path: string): Fields {
  const refuse = (state: string) =>
    new RevisionError(`Cannot parse revision metadata ${quote(path)}: ${state}`, { path });
  let content: unknown;
  try {
    const document = parseDocument(text, {
      // All scalars stay text. PyYAML quotes by YAML 1.1's rules, so a name or tag such as 12e03
      // stands there unquoted and would become a number in the schemas of YAML 1.2; and there are
      // no merge keys.
      schema: "failsafe",
      // A repeated key costs quadratic time to find, and PyYAML lets the last one win.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "error",
    });
    const problem = document.errors[0];
    if (problem) {
      // The parser's own words quote the text, which is a secret if this is a link to one.
      throw refuse(`it is not valid YAML at character ${problem.pos[0]}`);
    }
    // PyYAML writes a list that occurs twice as anchor and alias; nothing needs more than a few of
    // them.
    content = document.toJS({ mapAsMap: true, maxAliasCount: 10 });
  } catch (error) {
    if (error instanceof RevisionError) throw error;
    // A ReferenceError for aliases, which names them, or a RangeError for nesting beyond the stack.
    throw refuse("it is not plain YAML, but has many or unknown aliases or is deeply nested");
  }
  if (!(content instanceof Map)) throw refuse("it is not a YAML mapping");
  return content;
}

/** Whether a mapping is a revision's metadata at all, or that of some other program. */
function isMetadata(fields: Fields): boolean {
  return ["uuid", "timestamp", "stats"].some((name) => fields.has(name));
}

/** A scalar as text if it looks as it should, see {@linkcode WITHHELD}. */
function shown(value: unknown, show: (text: string) => string): string | undefined {
  const text = textOf(value);
  return text === undefined ? undefined : show(text);
}

/** A scalar as text; `undefined` for lists, mappings, nothing, and YAML's ways to write null. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  return value === "" || value === "~" || /^(null|Null|NULL)$/.test(value) ? undefined : value;
}

function textsOf(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value.map(textOf).filter((text) => text !== undefined);
}

function numberOf(value: unknown): number | undefined {
  const text = textOf(value);
  if (text === undefined || text.trim() === "") return undefined;
  const number = Number(text);
  return Number.isFinite(number) && number >= 0 ? number : undefined;
}

function nameOf(path: string): string {
  const base = path.slice(path.lastIndexOf("/") + 1);
  return base.endsWith(METADATA_SUFFIX) ? base.slice(0, -METADATA_SUFFIX.length) : base;
}

/** Whether a name may be put after a directory: a hostile uuid must not lead out of it. */
function isFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && name.length <= 255 &&
    // deno-lint-ignore no-control-regex
    !/[/\u0000-\u001f\u007f]/.test(name);
}
