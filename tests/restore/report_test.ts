import { makeReport } from "../../lib/restore/report.ts";
import { assertEquals } from "../assert.ts";

Deno.test("makeReport() keeps the plan's numbers and leaves its memory", () => {
  const numbers = {
    imageBytes: 10,
    seqCount: 3,
    zeroSeqs: 1,
    zeroBytes: 4,
    distinctChunks: 2,
    distinctBytes: 6,
  };
  const plan = { ...numbers, ids: new Uint8Array(48), firstSeqs: new Uint32Array(2) };
  const progress = { imageBytes: 10, readBytes: 5, decodedBytes: 6, writtenBytes: 7 };
  const report = makeReport(plan, progress, { elapsedMs: 8, isVerified: true, isSynced: false });
  assertEquals(report, {
    ...numbers,
    readBytes: 5,
    decodedBytes: 6,
    writtenBytes: 7,
    elapsedMs: 8,
    isVerified: true,
    isSynced: false,
  });
});
