import {
  type AskedFor,
  describeLoss,
  renderDryRun,
  renderReport,
} from "../../lib/cli/report_text.ts";
import type { BadRange, Loss } from "../../lib/restore/damage.ts";
import type { DryRunReport, RestoreReport } from "../../lib/restore/report.ts";
import { assert, assertEquals } from "../assert.ts";

const MIB = 2 ** 20;
const ASKED: AskedFor = { update: false, sparse: "auto", format: "raw", output: "out" };

const NO_LOSS: Loss = { badRanges: [], badRangeCount: 0, badBytes: 0, badChunks: 0 };

const DRY: DryRunReport = {
  imageBytes: 100 * MIB,
  extent: { start: 0, end: 100 * MIB, targetStart: 0 },
  dataSeqs: 15,
  dataBytes: 60 * MIB,
  zeroSeqs: 10,
  zeroBytes: 40 * MIB,
  keptSeqs: 0,
  keptBytes: 0,
  distinctChunks: 12,
  distinctBytes: 48 * MIB,
  readBytes: 7 * MIB,
  mayWriteLess: false,
  lentChunks: [],
  elapsedMs: 2000,
  ...NO_LOSS,
};

const REPORT: RestoreReport = {
  ...DRY,
  decodedBytes: 48 * MIB,
  writtenBytes: 60 * MIB,
  sameBytes: 0,
  rewrittenBytes: null,
  isVerified: true,
  isSynced: true,
};

function bad(offset: number, chunkId: string): BadRange {
  return { offset, length: 4 * MIB, chunkId, reason: "missing", detail: "Cannot" };
}

const BAD: Loss = {
  badRanges: [bad(0, "a"), bad(8 * MIB, "a"), bad(12 * MIB, "b")],
  badRangeCount: 3,
  badBytes: 12 * MIB,
  badChunks: 2,
};

const HEAD = "100 MiB in 2.0 s (50 MiB/s): 25 chunks, 10 of them zero, 12 distinct";

const REPORTS: readonly [name: string, report: Partial<RestoreReport>, lines: string[]][] = [
  ["a plain restore", {}, [`Restored ${HEAD} decoded and verified`]],
  ["one that did not verify", { isVerified: false }, [`Restored ${HEAD} decoded but not verified`]],
  ["gaps, of chunks that stand at several places", BAD, [
    "Restored 88 MiB of 100 MiB in 2.0 s (50 MiB/s): 25 chunks, 10 of them zero, " +
    "10 of 12 distinct decoded and verified",
  ]],
  ["a base", { keptSeqs: 1, keptBytes: 4 * MIB }, [
    `Restored ${HEAD} decoded and verified`,
    "1 chunk (4 MiB) not written: the same in the base revision",
  ]],
  ["a target that was read back", { rewrittenBytes: 0 }, [
    `Restored ${HEAD} decoded and verified`,
    "The target was read back and holds what was written",
  ]],
  ["a target that was written again", { rewrittenBytes: 8 * MIB }, [
    `Restored ${HEAD} decoded and verified`,
    "The target was read back: 8 MiB had to be written again, and now it holds that",
  ]],
  ["other backup directories", {
    lentChunks: [{ dir: "/a\x1b", chunks: 1 }, { dir: "/b", chunks: 1234 }],
  }, [
    `Restored ${HEAD} decoded and verified`,
    '1 chunk came from "/a\\x1b"',
    '1,234 chunks came from "/b"',
  ]],
];

for (const [name, report, lines] of REPORTS) {
  Deno.test(`renderReport() tells of ${name}`, () => {
    assertEquals(renderReport({ ...REPORT, ...report }, ASKED), lines);
  });
}

Deno.test("renderReport() tells of an update what was there, and what was not", () => {
  const asked = { ...ASKED, update: true };
  const lines = (report: Partial<RestoreReport>) => renderReport({ ...REPORT, ...report }, asked);
  assertEquals(lines({ sameBytes: 96 * MIB }), [
    `Updated ${HEAD} compared`,
    "96 MiB were there already, 4 MiB were brought up to date",
  ]);
  assertEquals(lines({})[1], "0 B were there already, 100 MiB were brought up to date");
  assertEquals(
    lines({ sameBytes: 80 * MIB, ...BAD })[1],
    "80 MiB were there already, 8 MiB were brought up to date",
  );
});

Deno.test("renderReport() tells no infinite rate where the clock stood still", () => {
  const [line] = renderReport({ ...REPORT, elapsedMs: 0 }, ASKED);
  assert(!/Infinity|NaN/.test(line!), line);
});

Deno.test("renderDryRun() tells what would be read and written, and from how many files", () => {
  const start = "Would restore 100 MiB: read 7 MiB from 12 files, write 60 MiB (15 chunks); " +
    "40 MiB of zeros (10 chunks) ";
  const depends = "left out, deallocated or written, as the target allows";
  const cases: [asked: Partial<AskedFor>, zeros: string][] = [
    [{}, depends],
    [{ sparse: "never" }, "written or allocated"],
    [{ sparse: "always" }, "left out, of a file that keeps its content deallocated"],
    [{ output: "-" }, "written"],
    [{ output: "-", sparse: "always" }, "written"],
    [{ output: "-", format: "rbd-diff" }, "as records without data"],
  ];
  for (const [asked, zeros] of cases) {
    assertEquals(renderDryRun(DRY, { ...ASKED, ...asked }), [start + zeros, "Nothing was changed"]);
  }
});

Deno.test("renderDryRun() counts no files that are missing, and says what is part or limit only", () => {
  const report = { ...DRY, imageBytes: 1024 * MIB, ...BAD, mayWriteLess: true };
  const [line] = renderDryRun(report, { ...ASKED, sparse: "never" });
  assertEquals(
    line,
    "Would restore 100 MiB of 1 GiB: read at most 7 MiB from 10 files, " +
      "write at most 60 MiB (15 chunks); 40 MiB of zeros (10 chunks) written or allocated",
  );
});

Deno.test("describeLoss() says how much is lost, or would be, and what can be done", () => {
  const loss = "2 chunks missing or corrupt: 3 ranges of the image (12 MiB) ";
  const cases = [
    [false, "zero", "lost and filled with zeros"],
    [true, "zero", "would be lost and filled with zeros"],
    [
      true,
      "abort",
      "cannot be restored: the restore would fail; --also DIR may have good copies, " +
      "--on-error=zero would leave zeros there",
    ],
  ] as const;
  for (const [isDryRun, onError, end] of cases) {
    assertEquals(describeLoss(BAD, { isDryRun, onError }), loss + end);
  }
  assertEquals(
    describeLoss(BAD, { isDryRun: false, onError: "zero", canUpdate: true }),
    `${loss}lost and filled with zeros; --update --also DIR puts good copies there`,
  );
  const one = describeLoss({ badRangeCount: 1, badBytes: 4 * MIB, badChunks: 1 }, {
    isDryRun: false,
    onError: "zero",
  });
  assertEquals(
    one,
    "1 chunk missing or corrupt: 1 range of the image (4 MiB) lost and filled with zeros",
  );
});
