import type { KnownRange } from "../../lib/target/block_io.ts";
import { type RbdHandle, RbdIo } from "../../lib/target/rbd_io.ts";
import { assertEquals, assertThrows } from "../assert.ts";

/** A handle of an image that is never touched. */
function handleOf(dataRanges: readonly number[] | null, mayHaveHoles = true): RbdHandle {
  const shared = dataRanges &&
    new Float64Array(new SharedArrayBuffer(dataRanges.length * 8));
  shared?.set(dataRanges!);
  return {
    access: "random",
    kind: "rbd",
    path: "rbd:pool/vm0",
    image: 1,
    zeroPolicy: "skip",
    dataRanges: shared,
    mayHaveHoles,
  };
}

function rangesOf(handle: RbdHandle, offset: number, length: number): KnownRange[] {
  return [...new RbdIo(handle, { extent: { start: 0, end: 1000 } }).ranges(offset, length)];
}

Deno.test("RbdIo.ranges() covers a range by what the cluster knows of it, in order", () => {
  const dataRanges = [100, 200, 300, 400, 900, 1100];
  for (let offset = 0; offset < 1000; offset += 50) {
    for (let end = offset + 50; end <= 1000; end += 50) {
      const found = rangesOf(handleOf(dataRanges), offset, end - offset);
      let at = offset;
      for (const range of found) {
        assertEquals(range.offset, at);
        at += range.length;
        for (let byte = range.offset; byte < at; byte += 50) {
          const isData = dataRanges.some((start, index) =>
            index % 2 === 0 && start <= byte && byte < dataRanges[index + 1]!
          );
          assertEquals(range.content, isData ? "unknown" : "zeros");
        }
      }
      assertEquals(at, end);
    }
  }
});

Deno.test("RbdIo.ranges() knows nothing without the cluster's map, and all of an empty image", () => {
  assertEquals(rangesOf(handleOf(null), 10, 20), [{ offset: 10, length: 20, content: "unknown" }]);
  assertEquals(rangesOf(handleOf([]), 10, 20), [{ offset: 10, length: 20, content: "zeros" }]);
  const missing = rangesOf(handleOf([], false), 10, 20);
  assertEquals(missing, [{ offset: 10, length: 20, content: "missing" }]);
});

Deno.test("RbdIo touches nothing outside of its extent, which librbd would drop without a word", () => {
  const io = new RbdIo(handleOf(null), { extent: { start: 10, end: 20 } });
  assertThrows(() => io.write(new Uint8Array(11), 10), RangeError);
  assertThrows(() => io.zero(9, 1), RangeError);
  assertThrows(() => io.clear(20, 1), RangeError);
});

Deno.test("RbdIo begins nothing once it should stop: the image may be closed", () => {
  const handle: RbdHandle = { ...handleOf(null), zeroPolicy: "deallocate" };
  using io = new RbdIo(handle, { extent: { start: 0, end: 1000 }, shouldStop: () => true });
  io.write(new Uint8Array(10), 0);
  io.zero(10, 10);
  io.clear(20, 10);
  assertEquals(io.read(new Uint8Array(10), 0, 10), false);
  io.drain();
});
