import { CHUNK_BYTES, outputs, scanZeros } from "lzo-wasm";
import { assertEquals, assertThrows } from "../assert.ts";

const buffer = outputs[1]!;
const GRANULE = 65_536;

function scan(bytes: number, granuleBytes: number): number[] {
  return [...scanZeros(1, { bytes, granuleBytes })];
}

Deno.test("scanZeros() finds a chunk of zeros regardless of what follows", () => {
  buffer.fill(0);
  assertEquals(scan(CHUNK_BYTES, GRANULE), Array(64).fill(1));
  buffer.fill(0xff, 1000);
  assertEquals(scan(1000, 64), Array(16).fill(1));
});

Deno.test("scanZeros() sees one byte at the first and last place of each granule", () => {
  buffer.fill(0);
  for (let granule = 0; granule < 64; granule++) {
    const expected = Array(64).fill(1);
    expected[granule] = 0;
    for (const at of [0, 1, 15, 16, GRANULE / 2, GRANULE - 16, GRANULE - 1]) {
      for (const value of [1, 0x80]) {
        buffer[granule * GRANULE + at] = value;
        assertEquals(scan(CHUNK_BYTES, GRANULE), expected, `granule ${granule}, byte ${at}`);
      }
      buffer[granule * GRANULE + at] = 0;
    }
  }
});

Deno.test("scanZeros() sees every place of a granule", () => {
  buffer.fill(0);
  for (let at = 0; at < 256; at++) {
    buffer[at] = 1;
    const expected = [1, 1, 1, 1];
    expected[at >> 6] = 0;
    assertEquals(scan(256, 64), expected, `byte ${at}`);
    buffer[at] = 0;
  }
});

Deno.test("scanZeros() takes lengths that are not a multiple of 16, with a short last granule", () => {
  for (let bytes = 1; bytes <= 200; bytes++) {
    const count = Math.ceil(bytes / 64);
    buffer.fill(0, 0, bytes);
    buffer.fill(0xff, bytes, 400);
    assertEquals(scan(bytes, 64), Array(count).fill(1), `${bytes} bytes`);
    buffer[bytes - 1] = 1;
    assertEquals(scan(bytes, 64), [...Array(count - 1).fill(1), 0], `${bytes} bytes, last set`);
  }
  buffer.fill(0);
  buffer[CHUNK_BYTES - 2] = 1;
  assertEquals(scan(CHUNK_BYTES - 1, GRANULE), [...Array(63).fill(1), 0]);
  assertEquals(scan(CHUNK_BYTES - 2, GRANULE), Array(64).fill(1));
});

Deno.test("scanZeros() takes a granule larger than the bytes", () => {
  buffer.fill(0, 0, 100);
  assertEquals(scan(50, 4096), [1]);
  assertEquals(scan(50, CHUNK_BYTES), [1]);
  buffer[49] = 1;
  assertEquals(scan(50, 4096), [0]);
  assertEquals(scan(49, 4096), [1]);
});

Deno.test("scanZeros() rejects granules that are no multiple of 16, too small or beyond a chunk", () => {
  const wrong = [0, -16, 8, 17, 16.5, NaN, Infinity, GRANULE - 16, 2 ** 32, 2 ** 32 + GRANULE];
  for (const granuleBytes of wrong) {
    const scan = () => scanZeros(1, { bytes: CHUNK_BYTES, granuleBytes });
    assertThrows(scan, RangeError, `in granules of ${granuleBytes}`);
  }
  for (const bytes of [-1, CHUNK_BYTES + 1, NaN, 0.5]) {
    assertThrows(() => scanZeros(1, { bytes, granuleBytes: GRANULE }), RangeError, "Cannot use");
  }
  assertThrows(() => scanZeros(2, { bytes: 1, granuleBytes: GRANULE }), RangeError, "Cannot use");
});
