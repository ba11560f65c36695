/**
 * The table of `backy-extract list`, for a terminal's width or in full. Pure.
 *
 * @module
 */

import type { Steps } from "../slices.ts";
import type { ListedRevision, RevisionState } from "../store/listed_revision.ts";
import { localZone } from "../store/dates.ts";
import { quote } from "../wording.ts";
import { formatBytes, formatCount, formatListedTime, formatQuantity } from "./format.ts";
import {
  joinColumns,
  type SetColumn,
  setColumns,
  type TableColumn,
  truncate,
  wholeWidth,
} from "./table.ts";

/** The columns, in their order. */
type Name = "date" | "revision" | "size" | "chunks" | "trust" | "note" | "tags";

/**
 * Layouts from wide to narrow: the columns, and what goes into a line of its own below each
 * revision's. Only tags may be cut. With uuids of 22 characters, the third has room for most notes
 * in 80 cells.
 */
const LAYOUTS: readonly { readonly columns: readonly Name[]; readonly below: readonly Name[] }[] = [
  { columns: ["date", "revision", "size", "chunks", "trust", "note", "tags"], below: [] },
  { columns: ["date", "revision", "size", "trust", "note", "tags"], below: [] },
  { columns: ["date", "revision", "size", "trust", "note"], below: ["tags"] },
  { columns: ["date", "revision", "size", "trust"], below: ["note", "tags"] },
  { columns: ["date", "revision", "size"], below: ["trust", "note", "tags"] },
  { columns: ["date", "revision"], below: ["size", "trust", "note", "tags"] },
];

const INDENT = "    ";
const GAP = "  ";
/** The least width of tags. */
const TAGS_MIN_CELLS = 10;

/**
 * Renders the table and, below it, how many revisions there are.
 *
 * @param maxCells Width of the terminal; absent: as wide as it takes.
 * @returns Lines, rendered as they are consumed.
 */
export function* renderRevisions(
  revisions: readonly ListedRevision[],
  maxCells?: number,
): Steps<Iterable<string>> {
  const columns = new Map<Name, SetColumn>();
  for (const [name, column] of tableColumns()) {
    const [set] = yield* setColumns(revisions, [column]);
    if (set) columns.set(name, set);
  }
  const unusable = revisions.filter(({ state }) => state !== "usable").length;
  const remark = unusable === 0 ? "" : `, ${formatCount(unusable)} of them not usable here`;
  const last = formatQuantity(revisions.length, "revision") + remark;
  return linesOf(columns, maxCells, last);
}

function* linesOf(
  columns: ReadonlyMap<Name, SetColumn>,
  maxCells: number | undefined,
  last: string,
): Generator<string, void> {
  const pick = (names: readonly Name[]) =>
    names.map((name) => columns.get(name)).filter((column) => column !== undefined);
  const { columns: names, below } =
    LAYOUTS.find(({ columns }) =>
      maxCells === undefined || wholeWidth(pick(columns)) <= maxCells
    ) ??
      LAYOUTS.at(-1)!;
  let at = -1;
  for (const line of joinColumns(pick(names), { maxCells })) {
    yield line;
    if (at >= 0) {
      const rest = below.map((name) => [name, columns.get(name)?.texts[at] ?? ""] as const);
      const lineBelow = joinBelow(rest, maxCells ?? Infinity);
      if (lineBelow !== "") yield lineBelow;
    }
    at++;
  }
  yield last;
}

/**
 * The line below a revision's, with tags cut to fit; "" if there is nothing to say.
 */
function joinBelow(cells: readonly (readonly [Name, string])[], maxCells: number): string {
  const told = cells.filter(([, text]) => text !== "");
  if (told.length === 0) return "";
  const whole = INDENT + told.filter(([name]) => name !== "tags").map(([, text]) => text).join(GAP);
  const tags = told.find(([name]) => name === "tags")?.[1];
  if (tags === undefined) return whole;
  const head = whole === INDENT ? whole : whole + GAP;
  return head + truncate(tags, Math.max(TAGS_MIN_CELLS, maxCells - head.length));
}

function tableColumns(): [Name, TableColumn<ListedRevision>][] {
  return [
    ["date", {
      title: `Date (${localZone()})`,
      cell: ({ entry }) => formatListedTime(entry.time),
      // Only the title is wider.
      minCells: "2026-01-11 17:45".length,
    }],
    ["revision", { title: "Revision", cell: ({ entry }) => entry.name }],
    ["size", {
      title: "Size",
      align: "right",
      cell: ({ facts }) => facts ? formatBytes(facts.sizeBytes) : "-",
    }],
    ["chunks", {
      title: "Chunks",
      align: "right",
      cell: ({ facts }) => facts ? formatCount(facts.distinctChunks) : "-",
    }],
    ["trust", { title: "Trust", cell: ({ entry }) => entry.info.trust }],
    ["note", { title: "Note", cell: noteOf, isOptional: true }],
    ["tags", { title: "Tags", cell: ({ entry }) => entry.info.tags.join(",") }],
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
