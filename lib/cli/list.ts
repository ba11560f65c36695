/**
 * `backy-extract list`: which revisions there are, as a table or as JSON. Only reads, and takes no lock: a map
 * that is removed meanwhile is shown as gone.
 *
 * With `--json`, one object a line: first the revisions of unknown time, then the others, oldest first. Programs should
 * skip types and fields that they do not know; these keep their meaning:
 *
 * | type       | fields                                                                                            |
 * | ---------- | ------------------------------------------------------------------------------------------------- |
 * | `revision` | `uuid`; `time`: when the backup began, ISO 8601 with the zone's offset, `null` if the metadata    |
 * |            | has none that can be read; `tags`: an array of texts; `trust`: "trusted", "distrusted",           |
 * |            | "verified" or what stands there; `isComplete`: whether the backup ran to its end; `server`: where |
 * |            | the image is, `null`: here; `parent`: uuid or `null`;                                             |
 * |            | `bytesWritten`, `durationSeconds` of the backup, `null` where not recorded; `state` and `reason`, |
 * |            | see {@linkcode ListedRevision}; `sizeBytes`: size of the image; `distinctChunks`: number of its   |
 * |            | chunks, without zeros; `distinctBytes`: what they hold; these three are `null` unless the state   |
 * |            | is "usable"                                                                                       |
 * |            | A `trust`, `server` or `parent` that is no word or host's name is "?"                             |
 * | `skipped`  | `name`: of a metadata file without ".rev", `reason`: why it could not be used                     |
 *
 * @module
 */

import { OsError, RevisionError } from "../errors.ts";
import { reasonOf } from "../ffi/errno.ts";
import { planRestore } from "../restore/plan.ts";
import {
  type CatalogEntry,
  readCatalog,
  type SkippedRevision,
  whyUnusable,
} from "../store/catalog.ts";
import { readRevisionMap } from "../store/revision_map.ts";
import { listHint, noSuchRevision } from "../store/revision_meaning.ts";
import {
  parseRevisionSpec,
  type ResolvedSpec,
  resolveRevisionSpec,
} from "../store/revision_spec.ts";
import { warningAboutPassedOver } from "../store/revision_warnings.ts";
import { openStore } from "../store/store.ts";
import { quote } from "../wording.ts";
import { ExitCode } from "./exit_code.ts";
import { formatBytes, formatCount, formatQuantity } from "./format.ts";
import { renderJsonLine } from "./json_line.ts";
import { formatListedTime, formatLocalIso, localZone } from "./local_time.ts";
import { renderTable, type TableColumn } from "./table.ts";

/**
 * Whether an image can be read, by metadata and map: "usable"; "remote": it is on another server; "other-format";
 * "no-map"; "gone": the map was removed while the list was made; "bad-map": it cannot be understood.
 */
export type RevisionState = "usable" | "remote" | "other-format" | "no-map" | "gone" | "bad-map";

/** Numbers that a revision's map tells. */
interface MapFacts {
  readonly sizeBytes: number;
  readonly distinctChunks: number;
  readonly distinctBytes: number;
}

/** A revision with what its map tells. */
export interface ListedRevision {
  readonly entry: CatalogEntry;
  readonly state: RevisionState;
  /** One line that says why the state is not "usable"; `null` if it is. */
  readonly reason: string | null;
  /** `null` unless the state is "usable". */
  readonly facts: MapFacts | null;
}

/** What is to be listed. */
export interface ListCommand {
  /** The backup directory. */
  readonly dir: string;
  /** Which revisions, and in which order; default: all, oldest first. */
  readonly spec?: string | undefined;
  /** Lines of JSON instead of a table. */
  readonly json: boolean;
}

/** Where a list goes. */
export interface ListOutput {
  /** Writes to standard output; may throw. */
  readonly write: (text: string) => void;
  /** Says that something is not as it should be; the text without tool name. */
  readonly warn: (text: string) => void;
  /** Says why there is no list. */
  readonly fail: (text: string) => void;
  /** Whether standard output is a terminal, to which the table is fitted. */
  readonly isTerminal: boolean;
  /** Width of that terminal. */
  readonly columns: number;
}

/** Reads the map of each revision, one when the next one is asked for; a large one takes a tenth of a second. */
export function* listRevisions(entries: Iterable<CatalogEntry>): Generator<ListedRevision, void> {
  for (const entry of entries) yield listRevision(entry);
}

/**
 * Lists the revisions of a backup directory. Those that cannot be used are no failure, and an empty directory is none.
 *
 * @returns FAILURE if standard output cannot be written; nothing else is told by it.
 * @throws {StoreFormatError} If the directory cannot be read, or there is no revision and no chunk store in it.
 * @throws {UsageError} If the spec is not understood.
 * @throws {RevisionError} If a part of the spec names a revision that does not exist. A set may be empty.
 */
export function runList(command: ListCommand, output: ListOutput): ExitCode {
  const { dir, spec, json } = command;
  const parsedSpec = spec === undefined ? undefined : parseRevisionSpec(spec);
  const catalog = readCatalog(dir);
  const { skipped } = catalog;
  if (catalog.revisions.length + skipped.length === 0) openStore(dir);
  const { entries, passedOver }: ResolvedSpec = parsedSpec
    ? resolveRevisionSpec(
      parsedSpec,
      catalog.revisions,
      (state) =>
        noSuchRevision(`${quote(spec ?? "", 200)} in ${quote(dir)}`, dir, [state, listHint(dir)]),
    )
    : { entries: catalog.revisions, passedOver: [] };

  const revisions: ListedRevision[] = [];
  const texts = json
    ? renderLines(entries, skipped, revisions)
    : renderWhole(entries, revisions, output.isTerminal ? output.columns : undefined);
  for (const text of texts) {
    try {
      output.write(text);
    } catch (error) {
      output.fail(`Cannot write standard output: ${reasonOf(error)}`);
      return ExitCode.FAILURE;
    }
  }
  for (const { state, reason } of revisions) if (state === "bad-map") output.warn(reason ?? "");
  for (const { name, reason } of skipped) output.warn(`skipped ${quote(name, 255)}: ${reason}`);
  for (const line of warningAboutPassedOver(passedOver)) output.warn(line);
  if (catalog.revisions.length === 0) output.warn(`there are no revisions in ${quote(dir)}`);
  return ExitCode.COMPLETE;
}

/** Yields lines of JSON, each as soon as it can be written. `revisions` takes what was listed. */
function* renderLines(
  entries: Iterable<CatalogEntry>,
  skipped: readonly SkippedRevision[],
  revisions: ListedRevision[],
): Generator<string, void> {
  for (const revision of listRevisions(entries)) {
    revisions.push(revision);
    yield renderRevisionLine(revision);
  }
  for (const { name, reason } of skipped) yield renderJsonLine({ type: "skipped", name, reason });
}

/** Yields the table, unless there is nothing in it. `revisions` takes what was listed. */
function* renderWhole(
  entries: Iterable<CatalogEntry>,
  revisions: ListedRevision[],
  maxCells: number | undefined,
): Generator<string, void> {
  revisions.push(...listRevisions(entries));
  if (revisions.length > 0) yield renderRevisions(revisions, maxCells);
}

/**
 * Renders the table and, below it, how many revisions there are.
 *
 * @param maxCells Width of the terminal; absent: as wide as it takes.
 */
export function renderRevisions(revisions: readonly ListedRevision[], maxCells?: number): string {
  const lines = renderTable(revisions, { columns: tableColumns(), maxCells });
  const unusable = revisions.filter(({ state }) => state !== "usable").length;
  const remark = unusable === 0 ? "" : `, ${formatCount(unusable)} of them not usable here`;
  return `${[...lines, formatQuantity(revisions.length, "revision") + remark].join("\n")}\n`;
}

/** With uuids of 22 characters and notes, all of it fits in 80 cells. */
function tableColumns(): TableColumn<ListedRevision>[] {
  return [
    {
      title: `Date (${localZone()})`,
      cell: ({ entry }) => formatListedTime(entry.time),
      minCells: "2026-01-11 17:45".length,
    },
    { title: "Revision", cell: ({ entry }) => entry.name },
    {
      title: "Size",
      align: "right",
      cell: ({ facts }) => facts ? formatBytes(facts.sizeBytes) : "-",
    },
    {
      title: "Chunks",
      align: "right",
      cell: ({ facts }) => facts ? formatCount(facts.distinctChunks) : "-",
    },
    { title: "Trust", cell: ({ entry }) => entry.info.trust, minCells: 5 },
    { title: "Note", cell: noteOf, minCells: 8, isOptional: true },
    { title: "Tags", cell: ({ entry }) => entry.info.tags.join(","), minCells: 3 },
  ];
}

/** Says what is special about a revision, in a few words. */
function noteOf({ entry, state }: ListedRevision): string {
  const notes: Readonly<Record<RevisionState, string>> = {
    "usable": "",
    "remote": `on server ${quote(entry.info.server, 100)}`,
    "other-format": `format ${quote(entry.info.backendType ?? "", 40)}`,
    "no-map": "map missing",
    "gone": "gone",
    "bad-map": "map unreadable",
  };
  const isUnfinished = !entry.info.isComplete && state !== "gone";
  return [isUnfinished ? "unfinished" : "", notes[state]].filter((note) => note !== "").join(", ");
}

function renderRevisionLine({ entry, state, reason, facts }: ListedRevision): string {
  const { uuid, tags, trust, isComplete, server, parent, stats } = entry.info;
  return renderJsonLine({
    type: "revision",
    uuid,
    time: entry.time && formatLocalIso(entry.time),
    tags,
    trust,
    isComplete,
    server: server === "" ? null : server,
    parent,
    state,
    reason,
    bytesWritten: stats.bytesWritten ?? null,
    durationSeconds: stats.durationSeconds ?? null,
    ...facts ?? { sizeBytes: null, distinctChunks: null, distinctBytes: null },
  });
}

function listRevision(entry: CatalogEntry): ListedRevision {
  const reason = whyUnusable(entry);
  if (reason !== null) {
    const state = !entry.isLocal ? "remote" : !entry.isChunked ? "other-format" : "no-map";
    return { entry, state, reason, facts: null };
  }
  try {
    const plan = planRestore(readRevisionMap(entry.mapPath));
    const { imageBytes: sizeBytes, distinctChunks, distinctBytes } = plan;
    return {
      entry,
      state: "usable",
      reason: null,
      facts: { sizeBytes, distinctChunks, distinctBytes },
    };
  } catch (error) {
    if (!(error instanceof RevisionError)) throw error;
    const { cause } = error;
    const isGone = cause instanceof Deno.errors.NotFound ||
      (cause instanceof OsError && cause.errnoName === "ENOENT");
    return { entry, state: isGone ? "gone" : "bad-map", reason: error.message, facts: null };
  }
}
