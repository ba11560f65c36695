import { CHUNK_BYTES } from "lzo-wasm";
import { assertEquals } from "../assert.ts";
import {
  assertDecodes,
  assertSameBytes,
  assertSameVerdict,
  decodeStream,
  hex,
  sourceConstant,
} from "./codec_harness.ts";
import { testWithLiblzo2 } from "../support/liblzo2.ts";
import {
  assemble,
  type Bytes,
  bytesOf,
  END,
  firstLiterals,
  m1Far,
  m1Near,
  m2,
  m3,
  m4,
  run,
} from "./lzo_assembler.ts";
import { decodeReference } from "./lzo_reference.ts";
import { randomFrom } from "../support/random.ts";
import { randomBytes } from "./random_streams.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyz".repeat(40);
const MARGIN = sourceConstant("lzo1x_decode.ts", "MARGIN");
const noise = randomBytes(randomFrom(7), 60_000);

/** `count` letters in the notation of the vectors. */
function letters(count: number): string {
  return `"${LETTERS.slice(0, count)}"`;
}

/** A run that leaves `length` bytes to look back on, and then state 4. */
function history(length: number): Bytes {
  return run(noise.subarray(0, length));
}

/** A short match that leaves state 0 to 3. */
function leave(state: number): Bytes {
  return m3({ length: 3, distance: 1, trailing: noise.subarray(0, state) });
}

// One line per instruction and variant: the stream, and its decoded bytes, worked out by hand.
const vectors: [name: string, stream: string, decoded: string][] = [
  ["first byte 18: one literal", '12 "a" 11 00 00', "a"],
  ["first byte 19: two literals", '13 "ab" 11 00 00', "ab"],
  ["first byte 20: three literals", '14 "abc" 11 00 00', "abc"],
  ["first byte 21: four literals", '15 "abcd" 11 00 00', "abcd"],
  ["first byte 22: five literals", '16 "abcde" 11 00 00', "abcde"],
  ["first byte 255: 238 literals", `ff ${letters(238)} 11 00 00`, LETTERS.slice(0, 238)],
  ["first byte 1: run of 4", '01 "abcd" 11 00 00', "abcd"],
  ["first byte 15: run of 18", `0f ${letters(18)} 11 00 00`, LETTERS.slice(0, 18)],
  ["first byte 0: run of 19", `00 01 ${letters(19)} 11 00 00`, LETTERS.slice(0, 19)],
  ["first byte 0: run of 273", `00 ff ${letters(273)} 11 00 00`, LETTERS.slice(0, 273)],
  ["run of 274, one zero byte", `00 00 01 ${letters(274)} 11 00 00`, LETTERS.slice(0, 274)],
  ["run of 784, three of them", `00 00 00 00 01 ${letters(784)} 11 00 00`, LETTERS.slice(0, 784)],
  ["run after a match", '12 "a" 21 00 00 01 "bcde" 11 00 00', "aaaabcde"],
  ["M1 in state 1", '12 "a" 00 00 11 00 00', "aaa"],
  ["M1 in state 2", '13 "ab" 04 00 11 00 00', "abab"],
  ["M1 in state 3", '14 "abc" 08 00 11 00 00', "abcab"],
  ["M1 with one literal", '14 "abc" 09 00 "x" 11 00 00', "abcabx"],
  ["M1 with two literals", '14 "abc" 0a 00 "xy" 11 00 00', "abcabxy"],
  ["M1 with three literals", '14 "abc" 0b 00 "xyz" 11 00 00', "abcabxyz"],
  ["M1 after M1", '12 "a" 01 00 "b" 04 00 11 00 00', "aaabab"],
  ["M1 with H", '15 "abcd" 22 0d 00 "x" 00 01 11 00 00', "abcdabcdxab"],
  ["M2 of 3", '15 "abcd" 4c 00 11 00 00', "abcdabc"],
  ["M2 of 4", '15 "abcd" 6c 00 11 00 00', "abcdabcd"],
  ["M2 of 5", '15 "abcd" 8c 00 11 00 00', "abcdabcda"],
  ["M2 of 6", '15 "abcd" ac 00 11 00 00', "abcdabcdab"],
  ["M2 of 7", '15 "abcd" cc 00 11 00 00', "abcdabcdabc"],
  ["M2 of 8", '15 "abcd" ec 00 11 00 00', "abcdabcdabcd"],
  ["M2 with one literal", '15 "abcd" 4d 00 "x" 11 00 00', "abcdabcx"],
  ["M2 with two literals", '15 "abcd" 4e 00 "xy" 11 00 00', "abcdabcxy"],
  ["M2 with three literals", '15 "abcd" 4f 00 "xyz" 11 00 00', "abcdabcxyz"],
  ["M2 with H", '1a "abcdefghi" 40 01 11 00 00', "abcdefghiabc"],
  ["M3 of 3", '15 "abcd" 21 0c 00 11 00 00', "abcdabc"],
  ["M3 of 33", '12 "a" 3f 00 00 11 00 00', "a".repeat(34)],
  ["M3 of 34, extended", '12 "a" 20 01 00 00 11 00 00', "a".repeat(35)],
  ["M3 of 288, extended", '12 "a" 20 ff 00 00 11 00 00', "a".repeat(289)],
  ["M3 of 289, one zero byte", '13 "ab" 20 00 01 04 00 11 00 00', "ab".repeat(145) + "a"],
  ["M3 of 799, three of them", '12 "a" 20 00 00 00 01 00 00 11 00 00', "a".repeat(800)],
  ["M3 with one literal", '15 "abcd" 21 0d 00 "x" 11 00 00', "abcdabcx"],
  ["M3 with two literals", '15 "abcd" 21 0e 00 "xy" 11 00 00', "abcdabcxy"],
  ["M3 with three literals", '15 "abcd" 21 0f 00 "xyz" 11 00 00', "abcdabcxyz"],
  ["M3 extended, with a literal", '12 "a" 20 01 01 00 "x" 11 00 00', `${"a".repeat(35)}x`],
];

for (const [name, stream, decoded] of vectors) {
  Deno.test(`decode() decodes a vector: ${name}`, () => {
    const bytes = assertDecodes(bytesOf(stream), name);
    assertEquals(new TextDecoder().decode(bytes), decoded);
  });
}

// The same for matches that reach far: the bytes of the instruction, its length and distance,
// after 50,000 literals.
const farVectors: [name: string, bytes: string, length: number, distance: number][] = [
  ["M1 in state 4, nearest", "00 00", 3, 2049],
  ["M1 in state 4, D", "0c 00", 3, 2052],
  ["M1 in state 4, farthest", "0c ff", 3, 3072],
  ["M2, farthest", "fc ff", 8, 2048],
  ["M3, farthest, a distance of 16384", "21 fc ff", 3, 16384],
  ["M3 extended, farthest", "20 01 fc ff", 34, 16384],
  ["M4, nearest", "11 04 00", 3, 16385],
  ["M4 of 9", "17 04 00", 9, 16385],
  ["M4 of 10, extended", "10 01 04 00", 10, 16385],
  ["M4 of 265, one zero byte", "10 00 01 04 00", 265, 16385],
  ["M4 of 264, extended", "10 ff fc ff", 264, 32767],
  ["M4 with H, nearest", "19 00 00", 3, 32768],
  ["M4 with H, of 9", "1f 00 00", 9, 32768],
  ["M4 with H, of 10, extended", "18 01 00 00", 10, 32768],
  ["M4 with H, of 520, two zero bytes", "18 00 00 01 00 00", 520, 32768],
  ["M4 with H, farthest", "19 fc ff", 3, 49151],
];

for (const [name, bytes, length, distance] of farVectors) {
  Deno.test(`decode() decodes a vector: ${name}`, () => {
    for (const padding of [[], leave(0), assemble(leave(0), history(100))]) {
      const stream = assemble(history(50_000), bytesOf(bytes), padding, END);
      const decoded = assertDecodes(stream, name);
      const match = noise.subarray(50_000 - distance, 50_000 - distance + length);
      assertSameBytes(decoded.subarray(50_000, 50_000 + length), match, name);
    }
  });
}

Deno.test("decode() decodes every first byte from 18 on with the state it leaves", () => {
  for (let byte = 18; byte <= 255; byte++) {
    const count = byte - 17;
    const start = firstLiterals(noise.subarray(0, count));
    assertDecodes(assemble(start, END), `${byte}`);
    assertDecodes(assemble(start, m2({ length: 3, distance: 1 }), END), `${byte}, M2`);
    // A byte below 16 is an M1 of two bytes after 1 to 3 literals; after more it is one that
    // reaches too far back.
    const m1 = assemble(start, m1Near({ distance: 1 }), END);
    if (count < 4) assertEquals(assertDecodes(m1, `${byte}, M1`).length, count + 2);
    else {
      assertEquals(decodeStream(m1, count + 3), {
        fault: "LZO look-behind overrun",
        inputOffset: 1 + count,
      });
    }
  }
});

Deno.test("decode() decodes literal runs of every length, at the output's end and before more", () => {
  for (let length = 4; length <= 900; length++) {
    const literals = noise.subarray(0, length);
    const tail = assemble(leave(0), history(100), END);
    const start = assemble(firstLiterals(noise.subarray(0, 40)), leave(0), run(literals));
    const decoded = assertDecodes(assemble(start, END), `run of ${length}`);
    assertSameBytes(decoded.subarray(43), literals, `run of ${length}`);
    assertDecodes(assemble(start, tail), `run of ${length}, more`);
    assertDecodes(assemble(run(literals), tail), `first run of ${length}`);
  }
});

Deno.test("decode() decodes M1 in each state with each distance", () => {
  for (const state of [1, 2, 3]) {
    for (let distance = 1; distance <= 1024; distance++) {
      const trailing = noise.subarray(0, distance & 3);
      const match = m1Near({ distance, trailing });
      assertDecodes(
        assemble(history(1100), leave(state), match, match.length > 2 ? match : [], END),
        `state ${state}, distance ${distance}`,
      );
    }
  }
  for (let distance = 2049; distance <= 3072; distance++) {
    const trailing = noise.subarray(0, distance & 3);
    const start = assemble(history(3072), m1Far({ distance, trailing }));
    assertDecodes(assemble(start, END), `state 4, distance ${distance}`);
    assertDecodes(assemble(start, m3({ length: 100, distance: 9 }), END), `more, ${distance}`);
  }
});

Deno.test("decode() decodes M2 of each length, distance and number of trailing literals", () => {
  for (let distance = 1; distance <= 2048; distance += distance < 80 ? 1 : 41) {
    for (let length = 3; length <= 8; length++) {
      for (let count = 0; count <= 3; count++) {
        const match = m2({ length, distance, trailing: noise.subarray(0, count) });
        assertDecodes(
          assemble(history(2048), match, match, m3({ length: 50, distance: 20 }), match, END),
          `length ${length}, distance ${distance}, ${count} literals`,
        );
      }
    }
  }
});

Deno.test("decode() decodes M3 and M4 of each length and number of trailing literals", () => {
  const start = assemble(history(49_200));
  for (
    let length = 3;
    length <= 600;
    length += length < 45 || length > 280 && length < 300 ? 1 : 9
  ) {
    for (let count = 0; count <= 3; count++) {
      const trailing = noise.subarray(100, 100 + count);
      const matches = [1, 7, 16, 17, 33, 2048, 16383, 16384]
        .map((distance) => m3({ length, distance, trailing }))
        .concat(
          [16385, 32767, 32768, 49151].map((distance) => m4({ length, distance, trailing })),
        );
      assertDecodes(assemble(start, ...matches, END), `length ${length}, ${count} literals`);
    }
  }
});

Deno.test("decode() repeats what a match overlaps: distances 1 to 40, lengths 3 to 300", () => {
  const expected = new Uint8Array(400);
  const tail = m3({ length: 60, distance: 1 });
  for (let distance = 1; distance <= 40; distance++) {
    const start = firstLiterals(noise.subarray(0, distance));
    expected.set(noise.subarray(0, distance));
    for (let i = distance; i < 400; i++) expected[i] = expected[i - distance]!;
    for (let length = 3; length <= 300; length++) {
      const match = m3({ length, distance });
      const total = distance + length;
      for (const more of [[], tail]) {
        const outputBytes = total + (more.length && 60);
        const verdict = decodeStream(assemble(start, match, more, END), outputBytes);
        const what = `distance ${distance}, length ${length}`;
        if (!("bytes" in verdict)) throw new Error(`${what}: ${verdict.fault}`);
        assertSameBytes(verdict.bytes.subarray(0, total), expected.subarray(0, total), what);
      }
    }
  }
});

Deno.test("decode() takes matches that reach exactly to the output's start", () => {
  const more = m3({ length: 200, distance: 5 });
  const counts = [
    ...Array(70).keys(),
    238,
    1024,
    2048,
    2049,
    3072,
    16384,
    16385,
    32767,
    32768,
    49151,
  ];
  for (const count of counts.filter((count) => count >= 4)) {
    const start = history(count);
    const matches: Bytes[] = [];
    if (count <= 2048) matches.push(m2({ length: 8, distance: count }));
    if (count <= 16384) {
      matches.push(m3({ length: 3, distance: count }), m3({ length: 400, distance: count }));
    } else matches.push(m4({ length: 3, distance: count }), m4({ length: 400, distance: count }));
    if (count >= 2049 && count <= 3072) matches.push(m1Far({ distance: count }));
    for (const match of matches) {
      assertDecodes(assemble(start, match, END), `${count}`);
      assertDecodes(assemble(start, match, more, history(90), END), `${count}, more`);
    }
  }
  for (const count of [1, 2, 3]) {
    const start = firstLiterals(noise.subarray(0, count));
    assertDecodes(assemble(start, m1Near({ distance: count }), END), `M1, ${count}`);
    const repeat = m3({ length: 200, distance: count });
    assertDecodes(assemble(start, m1Near({ distance: count }), repeat, END), `M1, ${count}, more`);
  }
});

Deno.test("decode() changes paths around its margin, at both ends, after every instruction", () => {
  const pivots: [state: number, instruction: Bytes][] = [
    [0, run(noise.subarray(0, 4))],
    [0, run(noise.subarray(0, 18))],
    [0, run(noise.subarray(0, 19))],
    [1, m1Near({ distance: 17 })],
    [3, m1Near({ distance: 3, trailing: [1, 2] })],
    ...[0, 1, 2, 3].flatMap((count): [number, Bytes][] => {
      const trailing = noise.subarray(50, 50 + count);
      return [
        [0, m2({ length: 8, distance: 16, trailing })],
        [1, m2({ length: 3, distance: 5, trailing })],
        [2, m3({ length: 32, distance: 40, trailing })],
        [0, m3({ length: 33, distance: 16, trailing })],
        [0, m3({ length: 34, distance: 15, trailing })],
        [3, m4({ length: 9, distance: 16385, trailing })],
      ];
    }),
  ];
  // What follows takes 0 to twice MARGIN bytes of the input, of the output, or of both.
  const tails = Array.from({ length: 2 * MARGIN }, (_, count): Bytes[] => [
    count >= 4 ? history(count) : [],
    m3({ length: 3 + count, distance: 100 }),
    assemble(
      ...Array.from(
        { length: count >> 1 },
        () => m2({ length: 3, distance: 3, trailing: [count] }),
      ),
    ),
  ]).flat();
  const far = m3({ length: 16_400, distance: 61 });
  for (const [state, pivot] of pivots) {
    for (const tail of tails) {
      const needsState0 = tail.length > 0 && tail[0]! < 16;
      const glue = needsState0 ? m2({ length: 3, distance: 30 }) : [];
      const stream = assemble(history(64), far, leave(state), pivot, glue, tail, END);
      assertDecodes(stream, hex(stream));
    }
  }
});

Deno.test("decode() decodes to 1 byte, to a few, and to a full chunk", () => {
  const sizes = [1, 2, 3, 15, 16, 17, 31, 32, 33, 39, 40, 41, 4096, CHUNK_BYTES - 1, CHUNK_BYTES];
  for (const size of sizes) {
    if (size <= 238) {
      assertDecodes(assemble(firstLiterals(noise.subarray(0, size)), END), `${size}`);
    }
    if (size >= 4) {
      const literals = new Uint8Array(size).map((_, i) => noise[i % 59_999]!);
      assertDecodes(assemble(run(literals), END), `${size}, run`);
      const match = m3({ length: size - 1, distance: 1 });
      assertDecodes(assemble(firstLiterals([size & 255]), match, END), `${size}, match`);
      const trailing = size >= 7 ? noise.subarray(0, 3) : [];
      const m = m3({ length: size - 1 - trailing.length, distance: 1, trailing });
      assertDecodes(assemble(firstLiterals([9]), m, END), `${size}, match with literals`);
    }
  }
});

// The end marker is recognised by its distance; its other fields are ignored.
const endMarkers = [
  "11 00 00",
  "12 00 00",
  "17 00 00",
  "10 01 00 00",
  "10 00 00 ff 00 00",
  "11 01 00",
];

Deno.test("decode() takes an end marker of any length and with any trailing bits", () => {
  for (const marker of endMarkers) {
    for (const start of [firstLiterals([1]), history(50), history(20_000)]) {
      assertDecodes(assemble(start, bytesOf(marker)), marker);
    }
  }
});

testWithLiblzo2("decode() takes the end markers that liblzo2 takes", (library) => {
  const start = history(50);
  for (const marker of [...endMarkers, "11 02 00", "16 03 00"]) {
    const stream = assemble(start, bytesOf(marker));
    const bytes = library.decode(stream, 50);
    const verdict = decodeStream(stream, 50);
    assertEquals("bytes" in verdict, bytes !== null, marker);
  }
});

Deno.test("decode() refuses the end marker where H makes its distance 32768", () => {
  const stream = assemble(history(100), bytesOf("19 00 00"));
  assertSameVerdict(decodeStream(stream, 100), decodeReference(stream, 100), "19 00 00");
  assertEquals(decodeStream(stream, 100), {
    fault: "LZO look-behind overrun",
    inputOffset: stream.length - 3,
  });
});
