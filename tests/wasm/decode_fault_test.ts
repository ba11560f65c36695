import { CHUNK_BYTES, type DecodeFault, input } from "lzo-wasm";
import { assert, assertEquals } from "../assert.ts";
import { assertDecodes, assertSameVerdict, decodeStream, hex } from "./codec_harness.ts";
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
import { randomBytes, randomStream } from "./random_streams.ts";

const noise = randomBytes(randomFrom(11), 60_000);

function literals(count: number): Uint8Array {
  return noise.subarray(0, count);
}

/**
 * The last instruction of a stream, of every kind, and what it needs before it.
 */
const lastInstructions: [name: string, before: Bytes, instruction: Bytes][] = [
  ["first literals, 1", [], firstLiterals(literals(1))],
  ["first literals, 3", [], firstLiterals(literals(3))],
  ["first literals, 238", [], firstLiterals(literals(238))],
  ["first run", [], run(literals(4))],
  ["first run, extended", [], run(literals(300))],
  ["run", leave(0), run(literals(4))],
  ["run of 18", leave(0), run(literals(18))],
  ["run, extended", leave(0), run(literals(19))],
  ["run, extended by zero bytes", leave(0), run(literals(1000))],
  ["M1 in state 1", leave(1), m1Near({ distance: 3 })],
  ["M1 in state 3", leave(3), m1Near({ distance: 20, trailing: literals(3) })],
  ["M1 in state 4", run(literals(3000)), m1Far({ distance: 2500 })],
  ["M1 in state 4, literals", run(literals(3000)), m1Far({ distance: 2500, trailing: [1, 2] })],
  ["M2", run(literals(20)), m2({ length: 3, distance: 20 })],
  ["M2, near", run(literals(20)), m2({ length: 8, distance: 3 })],
  ["M2, one literal", run(literals(20)), m2({ length: 8, distance: 20, trailing: [1] })],
  ["M2, three literals", run(literals(20)), m2({ length: 4, distance: 9, trailing: [1, 2, 3] })],
  ["M3", run(literals(20)), m3({ length: 3, distance: 20 })],
  ["M3 of 33", run(literals(20)), m3({ length: 33, distance: 16 })],
  ["M3, extended", run(literals(20)), m3({ length: 34, distance: 17 })],
  ["M3, extended, near", run(literals(20)), m3({ length: 1000, distance: 7 })],
  ["M3, three literals", run(literals(20)), m3({ length: 32, distance: 20, trailing: [1, 2, 3] })],
  ["M4", run(literals(17_000)), m4({ length: 9, distance: 16_400 })],
  ["M4, extended", run(literals(17_000)), m4({ length: 700, distance: 16_385 })],
  [
    "M4, two literals",
    run(literals(40_000)),
    m4({ length: 3, distance: 40_000, trailing: [1, 2] }),
  ],
];

/** Instructions that leave a state, and about 50 bytes to look back on. */
function leave(state: number): Bytes {
  return assemble(run(literals(47)), m2({ length: 3, distance: 9, trailing: literals(state) }));
}

/** Short streams with every kind of instruction, for both paths. */
const variety = [
  assemble(...lastInstructions.slice(0, 1).map(([, , first]) => first), END),
  assemble(firstLiterals(literals(30)), m2({ length: 8, distance: 30 }), run(literals(18)), END),
  assemble(
    run(literals(40)),
    m3({ length: 2100, distance: 33, trailing: [1] }),
    m1Near({ distance: 1024, trailing: [2, 3] }),
    m1Near({ distance: 1, trailing: [] }),
    run(literals(600)),
    m1Far({ distance: 2600, trailing: [4, 5, 6] }),
    m2({ length: 5, distance: 2048, trailing: [7] }),
    m2({ length: 3, distance: 1 }),
    run(literals(5)),
    m3({ length: 30_000, distance: 16 }),
    m4({ length: 300, distance: 16_385, trailing: [8] }),
    m4({ length: 8, distance: 32_768 }),
    run(literals(50)),
    m3({ length: 33, distance: 5, trailing: [9, 9] }),
    END,
  ),
  ...[1, 2, 3, 4].map((seed) => randomStream(randomFrom(seed))),
];

function assertFault(stream: Uint8Array, outputBytes: number, fault: DecodeFault, what: string) {
  for (const at of ["start", "end"] as const) {
    const verdict = decodeStream(stream, outputBytes, { at });
    assertSameVerdict(verdict, decodeReference(stream, outputBytes), what);
    if ("bytes" in verdict) throw new Error(`${what}: decoded`);
    assertEquals(verdict.fault, fault, what);
  }
}

for (const [index, stream] of variety.entries()) {
  Deno.test(`decode() refuses every truncation of a valid stream (${index + 1})`, () => {
    const outputBytes = assertDecodes(stream, hex(stream)).length;
    for (let length = 0; length < stream.length; length++) {
      assertFault(
        stream.subarray(0, length),
        outputBytes,
        "LZO stream ends early",
        `${hex(stream)} cut to ${length}`,
      );
    }
  });
}

Deno.test("decode() refuses anything after the end marker", () => {
  for (const stream of variety) {
    const outputBytes = assertDecodes(stream, hex(stream)).length;
    for (const garbage of [[0], [0x11, 0, 0], new Uint8Array(200)]) {
      assertFault(
        assemble(stream, garbage),
        outputBytes,
        "LZO stream continues after its end marker",
        hex(stream),
      );
    }
  }
});

Deno.test("decode() refuses output that is one byte too long, by any instruction", () => {
  for (const [name, before, instruction] of lastInstructions) {
    const stream = assemble(before, instruction, END);
    const outputBytes = assertDecodes(stream, name).length;
    assertFault(stream, outputBytes - 1, "LZO output overrun", name);
    const verdict = decodeStream(stream, outputBytes - 1);
    assertEquals("fault" in verdict && verdict.inputOffset, before.length, name);
  }
});

Deno.test("decode() refuses every announced length below the right one, with much input left", () => {
  const tail = assemble(m3({ length: 3, distance: 1 }), run(literals(200)), END);
  for (const [name, before, instruction] of lastInstructions) {
    const stream = assemble(before, instruction, tail);
    const outputBytes = assertDecodes(stream, name).length;
    const least = Math.max(1, outputBytes - 1300);
    for (let announced = least; announced < outputBytes; announced++) {
      assertFault(stream, announced, "LZO output overrun", `${name}, ${announced} bytes`);
    }
  }
  for (const stream of variety) {
    const outputBytes = assertDecodes(stream, hex(stream)).length;
    const stride = Math.ceil(outputBytes / 3000);
    for (let announced = 1; announced < outputBytes; announced += stride) {
      assertFault(stream, announced, "LZO output overrun", `${hex(stream)} to ${announced} bytes`);
    }
  }
});

Deno.test("decode() refuses output that is too short, by 1 byte to a chunk", () => {
  for (const [name, before, instruction] of lastInstructions) {
    const stream = assemble(before, instruction, END);
    const outputBytes = assertDecodes(stream, name).length;
    for (const announced of [outputBytes + 1, outputBytes + 20, outputBytes + 100, CHUNK_BYTES]) {
      assertFault(stream, announced, "LZO stream ends before the announced length", name);
    }
  }
});

Deno.test("decode() refuses a full chunk that goes on", () => {
  const full = [
    assemble(firstLiterals([1]), m3({ length: CHUNK_BYTES - 1, distance: 1 })),
    run(new Uint8Array(CHUNK_BYTES)),
  ];
  for (const start of full) {
    assertDecodes(assemble(start, END), "full chunk");
    for (const more of [m2({ length: 3, distance: 1 }), m3({ length: 3, distance: 17 })]) {
      assertFault(assemble(start, more, END), CHUNK_BYTES, "LZO output overrun", "full chunk");
    }
  }
});

Deno.test("decode() refuses a match of any kind that starts one byte too early", () => {
  const more = assemble(m3({ length: 300, distance: 1 }), END);
  const matches: [filled: number, before: Bytes, match: Bytes][] = [];
  for (const filled of [1, 2, 3]) {
    matches.push([filled, firstLiterals(literals(filled)), m1Near({ distance: filled + 1 })]);
  }
  for (let filled = 4; filled < 70; filled++) {
    for (const trailing of [[], [1, 2, 3]]) {
      const distance = filled + 1;
      matches.push(
        [filled, run(literals(filled)), m2({ length: 3, distance, trailing })],
        [filled, run(literals(filled)), m3({ length: 3, distance, trailing })],
        [filled, run(literals(filled)), m3({ length: 33, distance, trailing })],
        [filled, run(literals(filled)), m3({ length: 500, distance, trailing })],
      );
    }
  }
  for (const filled of [2048, 2049, 3000, 3071]) {
    matches.push([filled, run(literals(filled)), m1Far({ distance: filled + 1 })]);
  }
  for (const filled of [2047, 1000]) {
    const match = m2({ length: 3, distance: filled + 1 });
    matches.push([filled, run(literals(filled)), match]);
  }
  for (const filled of [16_383, 10_000]) {
    for (const length of [3, 500]) {
      matches.push([filled, run(literals(filled)), m3({ length, distance: filled + 1 })]);
    }
  }
  for (const filled of [16_384, 32_766, 32_767, 32_768, 49_150]) {
    for (const length of [3, 9, 500]) {
      matches.push([filled, run(literals(filled)), m4({ length, distance: filled + 1 })]);
    }
  }
  for (const [filled, before, match] of matches) {
    const stream = assemble(before, match, more);
    const what = `${filled} bytes, ${hex(assemble(match))}`;
    assertFault(stream, CHUNK_BYTES, "LZO look-behind overrun", what);
    assertFault(stream, filled + match.length, "LZO look-behind overrun", what);
    const verdict = decodeStream(stream, CHUNK_BYTES);
    assertEquals("fault" in verdict && verdict.inputOffset, before.length, what);
  }
});

Deno.test("decode() refuses the farthest of each match with few bytes decoded", () => {
  const far: Bytes[] = [
    m2({ length: 3, distance: 2048 }),
    m3({ length: 3, distance: 16384 }),
    m4({ length: 3, distance: 16385 }),
    m4({ length: 3, distance: 49151 }),
    m1Far({ distance: 3072 }),
  ];
  for (const filled of [4, 15, 16, 17, 40, 41, 2047]) {
    for (const match of far) {
      const stream = assemble(run(literals(filled)), match, run(literals(200)), END);
      assertFault(stream, CHUNK_BYTES, "LZO look-behind overrun", `${filled} bytes, ${match[0]}`);
    }
  }
});

Deno.test("decode() refuses a first match: nothing is decoded yet", () => {
  for (const first of ["40 00", "20 01 00 00", "3f 00 00", "10 01 04 00", "ff ff"]) {
    const bytes = bytesOf(first);
    // A first byte above 17 means literals; only 16 starts an instruction that is not a run.
    const isLiterals = bytes[0]! > 17;
    const stream = assemble(bytes, isLiterals ? literals(238) : [], END);
    const verdict = decodeStream(stream, 1000);
    assertSameVerdict(verdict, decodeReference(stream, 1000), first);
    assert("fault" in verdict, first);
  }
  assertFault(bytesOf("10 01 04 00 11 00 00"), 10, "LZO look-behind overrun", "M4 at once");
  const noOutput = "LZO stream ends before the announced length";
  assertFault(bytesOf("10 01 00 00"), 10, noOutput, "end marker at once");
});

Deno.test("decode() refuses a first byte of 17 regardless of what follows", () => {
  for (const stream of ["11", "11 00 00", "11 01 00 11 00 00", "11 04 00 12 00 00 00 00"]) {
    assertFault(bytesOf(stream), 10, "LZO stream of an unknown version", stream);
  }
});

Deno.test("decode() refuses an empty stream and streams of 1 to 3 bytes", () => {
  assertFault(new Uint8Array(0), 1, "LZO stream ends early", "empty");
  for (let first = 0; first < 256; first++) {
    for (const rest of [[], [0], [255], [0, 0], [255, 255]]) {
      const stream = Uint8Array.of(first, ...rest);
      const verdict = decodeStream(stream, 1, { at: "end" });
      assertSameVerdict(verdict, decodeReference(stream, 1), hex(stream));
      assert("fault" in verdict);
    }
  }
});

// As many zero bytes as the input buffer holds make a length of 1.1e9: no 32-bit sum of the decoder
// wraps around.
for (
  const [name, opcode, operand] of [["run", 0x00, []], ["M3", 0x20, [0, 0]], ["M4", 0x10, [
    4,
    0,
  ]]] as const
) {
  Deno.test(`decode() refuses lengths beyond reason: ${name} with up to 4 MiB of zero bytes`, () => {
    // A first byte of 0 starts a run; M3 and M4 need something to look back on.
    const before = name === "run" ? [] : assemble(run(literals(20_000)));
    const most = input.length - before.length - 1 - 1 - operand.length - END.length;
    for (const zeros of [70_000, most]) {
      const stream = assemble(before, [opcode], new Uint8Array(zeros), [1], operand, END);
      const fault = name === "run" ? "LZO stream ends early" : "LZO output overrun";
      assertFault(stream, CHUNK_BYTES, fault, `${zeros} zero bytes`);
      const endless = stream.subarray(0, before.length + 1 + zeros);
      assertFault(endless, CHUNK_BYTES, "LZO stream ends early", `${zeros} zero bytes only`);
    }
  });
}

Deno.test("decode() ends for an input buffer full of any one byte", () => {
  for (let byte = 0; byte < 256; byte++) {
    input.fill(byte);
    const verdict = decodeStream(input, CHUNK_BYTES);
    assert("fault" in verdict, `${byte}`);
    if (byte % 16 === 0) {
      assertSameVerdict(verdict, decodeReference(input, CHUNK_BYTES), `${byte}`);
    }
  }
});
