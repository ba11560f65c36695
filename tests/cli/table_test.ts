import stringWidth from "string-width";
import { renderTable, type TableColumn, truncate } from "../../lib/cli/table.ts";
import { assert, assertEquals } from "../assert.ts";

interface Row {
  readonly id: string;
  readonly size: string;
  readonly tags: string;
  readonly note: string;
}

const COLUMNS: readonly TableColumn<Row>[] = [
  { title: "Id", cell: ({ id }) => id },
  { title: "Size", align: "right", cell: ({ size }) => size },
  { title: "Tags", cell: ({ tags }) => tags, minCells: 6 },
  { title: "Note", cell: ({ note }) => note, minCells: 8, isOptional: true },
];

const ROWS: readonly Row[] = [
  { id: "abcdef", size: "4 MiB", tags: "daily,weekly", note: "" },
  { id: "b", size: "12.5 GiB", tags: "daily", note: "on server elsewhere" },
];

Deno.test("renderTable() aligns columns below their titles, without spaces at the end", () => {
  assertEquals(renderTable(ROWS, { columns: COLUMNS }), [
    "Id          Size  Tags          Note",
    "abcdef     4 MiB  daily,weekly",
    "b       12.5 GiB  daily         on server elsewhere",
  ]);
});

Deno.test("renderTable() shortens the last column that may be, then the one before it", () => {
  assertEquals(renderTable(ROWS, { columns: COLUMNS, maxCells: 45 }), [
    "Id          Size  Tags          Note",
    "abcdef     4 MiB  daily,weekly",
    "b       12.5 GiB  daily         on server el…",
  ]);
  assertEquals(renderTable(ROWS, { columns: COLUMNS, maxCells: 34 }), [
    "Id          Size  Tags    Note",
    "abcdef     4 MiB  daily…",
    "b       12.5 GiB  daily   on serv…",
  ]);
});

Deno.test("renderTable() cuts a wide title before it cuts cells", () => {
  const columns = [
    { title: "Date (America/Los_Angeles)", cell: () => "2026-01-11", minCells: 10 },
    { title: "Tags", cell: () => "daily", minCells: 2 },
  ];
  const at = (maxCells: number) => renderTable([0], { columns, maxCells });
  assertEquals(at(20), ["Date (Americ…  Tags", "2026-01-11     daily"]);
  assertEquals(at(17), ["Date (Ame…  Tags", "2026-01-11  daily"]);
  assertEquals(at(15), ["Date (Ame…  Ta…", "2026-01-11  da…"]);
});

Deno.test("renderTable() fits each width down to the least, below which it stays", () => {
  const least = 6 + 2 + 8 + 2 + 6 + 2 + 8;
  for (let maxCells = 0; maxCells < 80; maxCells++) {
    for (const line of renderTable(ROWS, { columns: COLUMNS, maxCells })) {
      assert(stringWidth(line) <= Math.max(maxCells, least), `${maxCells}: ${line}`);
    }
  }
  const full = renderTable(ROWS, { columns: COLUMNS });
  assertEquals(renderTable(ROWS, { columns: COLUMNS, maxCells: 51 }), full);
  assert(renderTable(ROWS, { columns: COLUMNS, maxCells: 1 })[1]!.startsWith("abcdef     4 MiB"));
});

Deno.test("renderTable() leaves out an optional column that is empty", () => {
  const [titles] = renderTable(ROWS.slice(0, 1), { columns: COLUMNS });
  assertEquals(titles, "Id       Size  Tags");
});

Deno.test("renderTable() shows a table without rows as its titles, and one without columns", () => {
  assertEquals(renderTable([], { columns: COLUMNS }), ["Id  Size  Tags"]);
  assertEquals(renderTable([], { columns: [], maxCells: 10 }), [""]);
});

Deno.test("renderTable() counts wide, combining and paired characters by their cells", () => {
  const texts = ["plain", "日本", "e\u0301te\u0301", "👩🏽🇩🇪", "\u1112\u1161\u11ab"];
  const rows = texts.map((text) => ({ text }));
  const lines = renderTable(rows, {
    columns: [{ title: "T", cell: ({ text }) => text }, { title: "E", cell: () => "|" }],
  });
  for (const line of lines.slice(1)) assertEquals(stringWidth(line.split("|")[0]!), 7, line);
});

Deno.test("renderTable() makes hostile cells printable and bounds them", () => {
  const evil = "\x1b]0;x\x07\n\u202e\u2028";
  const columns = [{ title: "A", cell: (text: string) => text }, { title: "B", cell: () => "b" }];
  const lines = renderTable([evil, "\ud83d", "y".repeat(1_000_000)], { columns });
  assertEquals(lines.length, 4);
  assertEquals(lines[1]!.split("  ")[0], "\\x1b]0;x\\x07\\n\\u{202e}\\u{2028}");
  for (const line of lines) {
    assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(line), line);
    assert(line.length < 520);
  }
});

Deno.test("truncate() cuts at any width, only between graphemes", () => {
  const texts = [
    "日本語のテキスト",
    "e\u0301e\u0301e\u0301e\u0301",
    "a👩‍👩‍👧b👩‍👩‍👧",
    "𠀀𠀁𠀂",
    "plain text",
  ];
  for (const text of texts) {
    const parts = [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
    for (let cells = 0; cells <= stringWidth(text) + 1; cells++) {
      const cut = truncate(text, cells);
      assert(stringWidth(cut) <= cells, `${cells}: ${cut}`);
      if (cells >= stringWidth(text)) assertEquals(cut, text);
      else if (cells > 0) {
        const kept = cut.slice(0, -1);
        assertEquals(cut.at(-1), "…");
        assert(parts.some((_, at) => parts.slice(0, at).join("") === kept), cut);
        assert(stringWidth(cut) >= cells - 1, cut);
      }
    }
  }
});
