import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals, assertMatch } from "../assert.ts";
import { type ChunkContent, sampleBytes } from "../support/store_builder.ts";
import { bootRecord, gptImage } from "../image/table_builder.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import {
  copyFifo,
  LoopDevice,
  loopDeviceProblem,
  makeFifo,
  testUnless,
} from "../support/machine.ts";
import { assertFailure, assertSuccess, extract, parseJsonLines } from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const USAGE = 2;
const TARGET = 4;
const MIB = 1_048_576;
const SECTOR_BYTES = 512;
const DEVICE_BYTES = 10 * CHUNK_BYTES;
const noLoop = loopDeviceProblem();

/** Offset and sectors of the partitions of the MBR. */
const PARTITIONS: readonly [number: number, start: number, sectors: number][] = [
  [1, 2048, 4096],
  // Begins and ends in the middle of chunks.
  [2, 9000, 12_345],
  // Nothing but zeros that the map leaves out.
  [3, 24_576, 8192],
];

/** Adds a revision of a disk's image. */
function addDisk(name: string, image: Uint8Array<ArrayBuffer>) {
  const chunks: ChunkContent[] = [];
  for (let at = 0; at < image.length; at += CHUNK_BYTES) {
    const chunk = image.slice(at, at + CHUNK_BYTES);
    chunks.push(isFilled(chunk, 0) ? "absent" : chunk);
  }
  return store.add(name, chunks, { size: image.length });
}

let store: SampleStore;
let mbr: ReturnType<SampleStore["add"]>;
let gpt: ReturnType<SampleStore["add"]>;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  const disk = new Uint8Array(4 * CHUNK_BYTES);
  disk.set(sampleBytes(40, 3 * CHUNK_BYTES - MIB), MIB);
  disk.set(bootRecord(...PARTITIONS.map(([, start, sectors]) => ({ type: 0x83, start, sectors }))));
  mbr = addDisk("Mbr", disk);
  const table = gptImage(2 * CHUNK_BYTES, [
    { number: 1, first: 2048n, last: 4095n },
    { number: 14, first: 8000n, last: 9999n },
  ]);
  const gptDisk = sampleBytes(41, 2 * CHUNK_BYTES);
  gptDisk.fill(0, 0, MIB).fill(0, 2 * CHUNK_BYTES - MIB);
  for (const [at, bytes] of table.pieces) gptDisk.set(bytes, at);
  gpt = addDisk("Gpt", gptDisk);
});
Deno.test.afterAll(() => store[Symbol.dispose]());

function partition(image: Uint8Array, start: number, sectors: number): Uint8Array {
  return image.subarray(start * SECTOR_BYTES, (start + sectors) * SECTOR_BYTES);
}

/** Ranges of the sample image: the first byte, and the first one behind. */
function ranges(): [text: string, start: number, end: number][] {
  const size = store.image.length;
  return [
    ["0:1", 0, 1],
    ["0:", 0, size],
    [":1MiB", 0, MIB],
    [`${size - 1}:`, size - 1, size],
    [`${size - 1}:1`, size - 1, size],
    // Within one chunk, not aligned to anything.
    [`${Seq.UNALIGNED_ZEROS * CHUNK_BYTES + 777}:3001`, ...span(Seq.UNALIGNED_ZEROS, 777, 3001)],
    // From the middle of data over zeros into data.
    ["3M:10M", 3 * MIB, 13 * MIB],
    // Nothing but zeros.
    ["4MiB:8MiB", 4 * MIB, 12 * MIB],
    ["32M:", 32 * MIB, size],
  ];
}

function span(seq: number, offset: number, length: number): [number, number] {
  const start = seq * CHUNK_BYTES + offset;
  return [start, start + length];
}

Deno.test("--range to a new file: the bytes at their offset, zeros before them, nothing after", async (t) => {
  for (const [text, start, end] of ranges()) {
    await t.step(text, async () => {
      const path = store.file(`range-${start}-${end}`);
      assertSuccess(await extract(["--range", text, store.revision.path, path]));
      const expected = new Uint8Array(end);
      expected.set(store.image.subarray(start, end), start);
      assertBytes(Deno.readFileSync(path), expected);
      Deno.removeSync(path);
    });
  }
});

Deno.test("--range to an existing file keeps the rest, whatever happens to zeros", async (t) => {
  const old = new Uint8Array(store.image.length + 5000).fill(0xaa);
  for (const [at, [text, start, end]] of ranges().entries()) {
    await t.step(text, async () => {
      const sparse = at % 2 === 0 ? "auto" : "never";
      const options = at % 3 === 0 ? ["--update"] : at % 3 === 1 ? ["--verify-target"] : [];
      const path = store.file("kept", old);
      assertSuccess(
        await extract([`--range=${text}`, "-s", sparse, ...options, store.revision.path, path]),
      );
      const expected = old.slice();
      expected.set(store.image.subarray(start, end), start);
      assertBytes(Deno.readFileSync(path), expected);
    });
  }
});

Deno.test("--range to a stream: exactly those bytes", async (t) => {
  for (const [text, start, end] of ranges()) {
    await t.step(text, async () => {
      const outcome = await extract(["--range", text, store.revision.path]);
      assertSuccess(outcome);
      assertBytes(outcome.stdout, store.image.subarray(start, end));
    });
  }
  const fifo = makeFifo(store.file("fifo"));
  const path = store.file("from-fifo");
  await Promise.all([
    extract(["-q", "--range=3M:10M", store.revision.path, fifo]),
    copyFifo(fifo, path),
  ]);
  assertBytes(Deno.readFileSync(path), store.image.subarray(3 * MIB, 13 * MIB));
});

testUnless(noLoop, "--range to a device writes its bytes only", async () => {
  for (const sectorBytes of [512, 4096]) {
    for (const [text, start, end] of ranges()) {
      using device = new LoopDevice(DEVICE_BYTES, { sectorBytes });
      assertSuccess(await extract(["--range", text, store.revision.path, device.path]));
      const expected = new Uint8Array(DEVICE_BYTES).fill(0xaa);
      expected.set(store.image.subarray(start, end), start);
      assertBytes(device.read(), expected);
    }
  }
});

Deno.test("--range reads only the chunks that it needs", async () => {
  await store.withDamage(store.chunkFileAt(Seq.HOLES), () => {}, async () => {
    const args = ["--json", "--range=0:12MiB", store.revision.path, store.file("few")];
    const { code, stderr } = await extract(args);
    const summary = parseJsonLines(stderr).at(-1)!;
    assertEquals([code, summary.distinctChunks, summary.dataBytes], [0, 1, CHUNK_BYTES]);
    assertEquals(summary.extent, { start: 0, end: 12 * MIB, targetStart: 0 });
    assertEquals((await extract(["--range=12MiB:1", store.revision.path])).code, 3);
  });
});

Deno.test("--range outside the image is refused: exit 2, nothing is created", async () => {
  const before = store.namesBeside();
  const size = store.image.length;
  const ranges = {
    [`${size}:`]: `from byte ${size} to the end`,
    [`${size - 1}:2`]: `bytes ${size - 1} to ${size}`,
    "1T:1K": `bytes ${2 ** 40} to ${2 ** 40 + 1023}`,
  };
  for (const [text, what] of Object.entries(ranges)) {
    assertFailure(await extract([`--range=${text}`, store.revision.path, store.file("not-made")]), {
      code: USAGE,
      says: [`Cannot restore ${what}: the image has ${size} bytes`],
    });
  }
  assertEquals(store.namesBeside(), before);
});

Deno.test("--partition of an MBR goes to the start of a file, a stream and a device", async (t) => {
  for (const [number, start, sectors] of PARTITIONS) {
    await t.step(`partition ${number}`, async () => {
      const expected = partition(mbr.image, start, sectors);
      const path = store.file(`partition-${number}`, "x".repeat(number === 1 ? 20 * MIB : 0));
      assertSuccess(await extract(["--partition", String(number), mbr.path, path]));
      assertBytes(Deno.readFileSync(path), expected);
      const piped = await extract([`--partition=${number}`, mbr.path]);
      assertSuccess(piped);
      assertBytes(piped.stdout, expected);
      const options = [`--partition=${number}`, "--update", "--verify-target"];
      assertSuccess(await extract([...options, mbr.path, path]));
      assertBytes(Deno.readFileSync(path), expected);
    });
    const name = `partition ${number} to a device${noLoop === null ? "" : ` [ignored: ${noLoop}]`}`;
    await t.step({
      name,
      ignore: noLoop !== null,
      fn: async () => {
        const expected = partition(mbr.image, start, sectors);
        using device = new LoopDevice(DEVICE_BYTES);
        assertSuccess(await extract(["--partition", String(number), mbr.path, device.path]));
        const whole = new Uint8Array(DEVICE_BYTES).fill(0xaa);
        whole.set(expected);
        assertBytes(device.read(), whole);
      },
    });
  }
});

Deno.test("--partition of a GPT is found by its number", async () => {
  for (const [number, start, sectors] of [[1, 2048, 2048], [14, 8000, 2000]] as const) {
    const outcome = await extract([`--partition=${number}`, gpt.path]);
    assertSuccess(outcome);
    assertBytes(outcome.stdout, partition(gpt.image, start, sectors));
  }
});

Deno.test("--partition with a number that cannot be restored lists the partitions; nothing is created", async () => {
  const before = store.namesBeside();
  const notMade = store.file("not-made");
  const cases: [args: string[], code: number, message: RegExp][] = [
    [["--partition=4", mbr.path, notMade], USAGE, /^Cannot find partition 4: there are 1 to 3$/],
    [["--partition=2", gpt.path, notMade], USAGE, /^Cannot find partition 2: there are 1 and 14$/],
    [
      ["--partition=1", store.revision.path, notMade],
      USAGE,
      /the image has no partition table; without --partition it is restored as a whole$/,
    ],
    [["--partition=0", mbr.path, notMade], USAGE, /"0" is not a whole number from 1 to \d+$/],
    [["--partition=2", mbr.path, "/"], TARGET, /it is a directory$/],
  ];
  for (const [args, code, message] of cases) {
    assertFailure(await extract(args), { code, says: [message] });
  }
  assertEquals(store.namesBeside(), before);
});

testUnless(
  noLoop,
  "--partition needs a device as large as the partition, not as the image",
  async () => {
    const [, start, sectors] = PARTITIONS[0]!;
    using small = new LoopDevice(sectors * SECTOR_BYTES - SECTOR_BYTES);
    const refused = await extract(["--partition=1", mbr.path, small.path]);
    assertFailure(refused, {
      code: TARGET,
      says: [/the device has \d+ bytes .*, .* needs \d+ bytes/],
    });
    using exact = new LoopDevice(sectors * SECTOR_BYTES);
    assertSuccess(await extract(["--partition=1", mbr.path, exact.path]));
    assertBytes(exact.read(), partition(mbr.image, start, sectors));
  },
);

Deno.test("--partition fails if the partition table lies in a bad chunk: exit 3; --also helps", async () => {
  using spare = new SampleStore();
  const spareDisk = mbr.ids[0]!;
  const file = `${store.basedir}/chunks/${spareDisk.slice(0, 2)}/${spareDisk}.chunk.lzo`;
  const folder = `${spare.basedir}/chunks/${spareDisk.slice(0, 2)}`;
  Deno.mkdirSync(folder, { recursive: true });
  Deno.copyFileSync(file, `${folder}/${spareDisk}.chunk.lzo`);
  await store.withDamage(file, () => {}, async () => {
    const args = ["--partition=1", "--on-error=zero", mbr.path];
    const outcome = await extract([...args, store.file("not-made")]);
    assertFailure(outcome, {
      code: 3,
      says: [
        /^Cannot read chunk ".*" \(seq 0, .*\): there is no/,
        "To go on, add --also DIR for a good copy of the chunk elsewhere; " +
        "if it has the partition table, list --partitions may still know which bytes to give " +
        "to --range",
      ],
    });
    assertEquals(store.namesBeside().includes("not-made"), false);
    const helped = await extract(["--also", spare.basedir, ...args]);
    assertEquals(helped.code, 0, helped.stderr);
    const [, start, sectors] = PARTITIONS[0]!;
    assertBytes(helped.stdout, partition(mbr.image, start, sectors));
  });
});

Deno.test("The summary of a partial restore says that it is a part, and of what", async () => {
  const { stderr } = await extract(["--partition=1", mbr.path, store.file("said")]);
  assertMatch(stderr, /^Restoring Mbr \(2 MiB, 1 distinct chunk\) to /m);
  assertMatch(stderr, /^Restored 2 MiB in /m);
});
