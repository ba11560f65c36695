import { makeDryRunReport, makeReport } from "../../lib/restore/report.ts";
import { assertEquals } from "../assert.ts";

const numbers = {
  imageBytes: 10,
  extent: { start: 0, end: 10, targetStart: 0 },
  dataSeqs: 2,
  dataBytes: 6,
  zeroSeqs: 1,
  zeroBytes: 4,
  keptSeqs: 0,
  keptBytes: 0,
  distinctChunks: 2,
  distinctBytes: 6,
};
const plan = { summary: numbers, zeroRanges: new Float64Array(2) };
const progress = {
  imageBytes: 10,
  readBytes: 5,
  decodedBytes: 6,
  writtenBytes: 7,
  sameBytes: 1,
  jobs: 2,
  badBytes: 0,
  freeBytes: 0,
  chunksFrom: [1, 0, 1],
};
const sources = ["/srv/own", "/srv/second", "/srv/third"];
const lentChunks = [{ dir: "/srv/second", chunks: 0 }, { dir: "/srv/third", chunks: 1 }];

const NO_LOSS = { badRanges: [], badRangeCount: 0, badBytes: 0, badChunks: 0 };

Deno.test("makeReport() keeps the plan's numbers and leaves its memory", () => {
  const run = {
    elapsedMs: 8,
    isVerified: true,
    isSynced: false,
    rewrittenBytes: null,
    ...NO_LOSS,
  };
  assertEquals(makeReport(plan, progress, { ...run, sources }), {
    ...numbers,
    readBytes: 5,
    decodedBytes: 6,
    writtenBytes: 7,
    sameBytes: 1,
    lentChunks,
    ...run,
  });
});

Deno.test("makeDryRunReport() says what would be read, not what was", () => {
  const run = { elapsedMs: 8, mayWriteLess: true, ...NO_LOSS };
  assertEquals(makeDryRunReport(plan, progress, { ...run, sources }), {
    ...numbers,
    readBytes: 5,
    lentChunks,
    ...run,
  });
});
