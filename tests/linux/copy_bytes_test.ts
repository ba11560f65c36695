import { copyBytes } from "../../lib/linux/copy_bytes.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { randomFrom } from "../support/random.ts";

const BYTES = 100_000;

Deno.test("copyBytes() copies between shared and other memory, and nothing beside", () => {
  const random = randomFrom(11);
  const memory = [() => new Uint8Array(BYTES), () => new Uint8Array(new SharedArrayBuffer(BYTES))];
  for (const makeSource of memory) {
    for (const makeTarget of memory) {
      for (let round = 0; round < 200; round++) {
        const source = makeSource(), target = makeTarget().fill(255);
        source.forEach((_, at) => source[at] = at % 251);
        const length = random(round % 2 === 0 ? 8192 : BYTES);
        const from = random(BYTES - length), to = random(BYTES - length);
        copyBytes(target.subarray(to), source.subarray(from, from + length));
        const expected = new Uint8Array(BYTES).fill(255);
        expected.set(source.subarray(from, from + length), to);
        assertEquals(target.every((byte, at) => byte === expected[at]), true);
      }
    }
  }
});

Deno.test("copyBytes() writes nothing if there is no room", () => {
  const target = new Uint8Array(5000);
  for (const length of [5001, 100_000]) {
    const source = new Uint8Array(new SharedArrayBuffer(length)).fill(1);
    assertThrows(() => copyBytes(target, source), RangeError);
  }
  assertEquals(target.every((byte) => byte === 0), true);
});
