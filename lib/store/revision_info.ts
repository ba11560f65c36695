/**
 * Reads a revision's metadata, `NAME.rev`: YAML as PyYAML writes it.
 *
 * Listings, revision specs and error messages need it; a restore does not. So it refuses only files
 * that cannot be metadata at all, and treats odd fields as if they were absent.
 *
 * @module
 */

import { parseDocument } from "npm:yaml@2.9.1";
import { RevisionError } from "../errors.ts";
import { parseTimestamp } from "./dates.ts";
import { METADATA_SUFFIX } from "./layout.ts";
import { parsePlainMetadata } from "./plain_metadata.ts";
import { reasonOf, rethrowLack } from "../linux/errno.ts";
import { quote, shownHostName, shownWord } from "../wording.ts";
import { readBeginning, splitPath } from "../linux/paths.ts";

/**
 * A revision's metadata. Names and tags are as in the file: quote them before showing them. Text
 * that does not look like the word or host that it should be is {@linkcode WITHHELD}.
 */
export interface RevisionInfo {
  /** The revision's name, safe as a file name: neither empty nor a path. */
  readonly uuid: string;
  /** When the backup started, to the millisecond; `null` if absent or not understood. */
  readonly timestamp: Date | null;
  /** Its tags, in the order of the file. */
  readonly tags: readonly string[];
  /** The tags it was made with, if they are recorded. */
  readonly origTags: readonly string[];
  /** "trusted" (also if absent), "distrusted", "verified", or another word from the file. */
  readonly trust: string;
  /** The server that has map and chunks; "" for this one. */
  readonly server: string;
  /** "chunked", another format's name, or `null`, because newer producers write none. */
  readonly backendType: string | null;
  /** Name of the revision it was made from; `null` for a full backup. */
  readonly parent: string | null;
  /** What the producer measured. */
  readonly stats: {
    readonly bytesWritten?: number;
    readonly durationSeconds?: number;
  };
  /** Whether the backup completed. */
  readonly isComplete: boolean;
}

// Real files have about 400 bytes. The worst YAML of this length takes half a second to parse.
const METADATA_MAX_BYTES = 256 * 1024;

/**
 * Reads and parses a metadata file.
 *
 * @param path Path of the `.rev` file.
 * @throws {RevisionError} If it is absent, unreadable or larger than 256 KiB, or if
 *   {@linkcode parseRevisionInfo} refuses it.
 */
export function readRevisionInfo(path: string): RevisionInfo {
  const refuse = (state: string, cause?: unknown) =>
    new RevisionError(
      `Cannot read revision metadata ${quote(path)}: ${state}`,
      { path },
      { cause },
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
 * @param path Named in errors; its name without ".rev" is the uuid if the text has none.
 * @throws {RevisionError} If the text is not a YAML mapping or not a revision's, or if its uuid
 *   cannot be a file name. No message quotes the text.
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
      // Scalars stay text, and there are no merge keys. PyYAML quotes by YAML 1.1's rules, so it
      // leaves a name or tag such as 12e03 unquoted, which is a number in the schemas of YAML 1.2.
      schema: "failsafe",
      // Finding repeated keys takes quadratic time, and in PyYAML the last one wins.
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: "error",
    });
    const problem = document.errors[0];
    if (problem) {
      // The parser's message quotes the text, which may be a secret if this is a link.
      throw refuse(`it is not valid YAML at character ${problem.pos[0]}`);
    }
    // PyYAML writes a list that occurs twice as an anchor and an alias; a few are enough.
    content = document.toJS({ mapAsMap: true, maxAliasCount: 10 });
  } catch (error) {
    if (error instanceof RevisionError) throw error;
    // A ReferenceError, which quotes an alias, or a RangeError because nesting exceeds the stack.
    throw refuse("it is not plain YAML, but has many or unknown aliases or is deeply nested");
  }
  if (!(content instanceof Map)) throw refuse("it is not a YAML mapping");
  return content;
}

/** Whether a mapping is a revision's metadata and not some other program's file. */
function isMetadata(fields: Fields): boolean {
  return ["uuid", "timestamp", "stats"].some((name) => fields.has(name));
}

/** Returns a scalar as text, {@linkcode WITHHELD} if it does not look as it should. */
function shown(value: unknown, show: (text: string) => string): string | undefined {
  const text = textOf(value);
  return text === undefined ? undefined : show(text);
}

/** Returns a scalar as text; `undefined` for lists, mappings, and YAML's ways to write null. */
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
  const base = splitPath(path).name;
  return base.endsWith(METADATA_SUFFIX) ? base.slice(0, -METADATA_SUFFIX.length) : base;
}

/** Whether a name may be appended to a directory: a hostile uuid must not lead out of it. */
function isFileName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && name.length <= 255 &&
    // deno-lint-ignore no-control-regex
    !/[/\u0000-\u001f\u007f]/.test(name);
}
