import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo } from "../support/machine.ts";
import { chunkFile, sampleBytes } from "../support/store_builder.ts";
import { assertFailure, assertSuccess, extract } from "./harness.ts";
import { placesOf, SampleStore, Seq } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

type Damage = (path: string, content: Uint8Array<ArrayBuffer>) => void;

const CORRUPT = 3;
const HEADER_BYTES = 5;

/** Changes bytes of a chunk file. */
function change(edit: (content: Uint8Array<ArrayBuffer>) => void): Damage {
  return (path, content) => {
    edit(content);
    Deno.writeFileSync(path, content);
  };
}

function cutTo(bytes: number): Damage {
  return (path, content) => Deno.writeFileSync(path, content.subarray(0, bytes));
}

/** Cuts the end off. */
function cutBy(bytes: number): Damage {
  return (path, content) => Deno.writeFileSync(path, content.subarray(0, -bytes));
}

function announce(bytes: number): Damage {
  return change((content) => new DataView(content.buffer).setUint32(1, bytes, false));
}

/** What helps against a bad chunk. */
const WAYS = "--also DIR for a good copy of the chunk elsewhere, or --on-error=zero for zeros " +
  "in its place";

interface Case {
  readonly name: string;
  readonly damage: Damage;
  /** What follows "Cannot use chunk "…" (places): ". */
  readonly state: RegExp;
  /** Default: "Cannot use". */
  readonly action?: string;
}

/** What may be wrong with the file of the chunk at seqs HOLES and HOLES_REPEATED. */
const CASES: readonly Case[] = [
  {
    name: "is missing",
    damage: () => {},
    action: "Cannot read",
    state: /^there is no file ".*\.chunk\.lzo"$/,
  },
  { name: "is empty", damage: cutTo(0), state: /^its file holds 0 bytes only$/ },
  { name: "ends in its header", damage: cutTo(4), state: /^its file holds 4 bytes only$/ },
  {
    name: "ends after its header",
    damage: cutTo(5),
    state: /^LZO stream ends early at input byte \d+$/,
  },
  { name: "ends in its first instruction", damage: cutTo(6), state: /^LZO stream ends early at/ },
  { name: "lacks half of its file", damage: cutTo(100_000), state: /^LZO stream ends early at/ },
  { name: "lacks its last byte", damage: cutBy(1), state: /^LZO stream ends early at/ },
  { name: "lacks its end marker", damage: cutBy(3), state: /^LZO stream ends early at/ },
  {
    name: "has another first byte",
    damage: change((content) => content[0] = 0xf2),
    state: /^its file does not begin with 0xf0 or 0xf1$/,
  },
  {
    name: "consists of zeros",
    damage: change((content) => content.fill(0)),
    state: /^its file does not begin with 0xf0 or 0xf1$/,
  },
  { name: "announces no bytes", damage: announce(0), state: /^its file announces 0 bytes$/ },
  {
    name: "announces more than a chunk",
    damage: announce(CHUNK_BYTES + 1),
    state: /^its file announces 4194305 bytes$/,
  },
  {
    name: "announces less than the image needs",
    damage: announce(CHUNK_BYTES - 1),
    state: /^it holds 4194303 bytes, the image needs 4194304$/,
  },
  {
    name: "looks behind its output's start",
    // A match of length 3 at distance 1 + 8 * 255, with hardly any output before it.
    damage: change((content) => content.set([0x15, 1, 2, 3, 4, 0x40, 0xff], HEADER_BYTES)),
    state: /^LZO look-behind overrun at input byte \d+$/,
  },
  {
    name: "has bytes behind its end",
    damage: (path, content) => Deno.writeFileSync(path, new Uint8Array([...content, 0])),
    state: /^LZO stream continues after its end marker at input byte \d+$/,
  },
  {
    name: "has another chunk's content",
    damage: (path) => Deno.copyFileSync(store.chunkFileAt(Seq.UNALIGNED_ZEROS), path),
    state: /^its content hashes to "[0-9a-f]{32}"$/,
  },
  {
    name: "is a directory",
    damage: (path) => Deno.mkdirSync(path),
    action: "Cannot read",
    state: /Is a directory/,
  },
  {
    name: "is a FIFO",
    damage: (path) => void makeFifo(path),
    action: "Cannot read",
    state: /^".*\.chunk\.lzo" is not a regular file$/,
  },
  {
    name: "is a link to nothing",
    damage: (path) => Deno.symlinkSync("nothing", path),
    action: "Cannot read",
    state: /^there is no file ".*\.chunk\.lzo"$/,
  },
  {
    name: "is a link to /dev/zero",
    damage: (path) => Deno.symlinkSync("/dev/zero", path),
    action: "Cannot read",
    state: /^".*\.chunk\.lzo" is not a regular file$/,
  },
];

Deno.test("A chunk that is damaged stops the restore: exit 3, chunk, seqs, byte range, reason", async (t) => {
  const path = store.chunkFileAt(Seq.HOLES);
  const id = store.idAt(Seq.HOLES);
  for (const { name, damage, state, action = "Cannot use" } of CASES) {
    await t.step(`A chunk that ${name}`, async () => {
      const target = store.file("damaged-target", "old");
      await store.withDamage(path, damage, async () => {
        const [toFile, toStdout] = await Promise.all([
          extract([store.revision.path, target]),
          extract([store.revision.path]),
        ]);
        assertFailure(toFile, {
          code: CORRUPT,
          says: [
            failureOf(action, id, placesOf([Seq.HOLES, Seq.HOLES_REPEATED]), state),
            `"${target}" is incomplete`,
            `To go on, add --update, and ${WAYS}`,
          ],
        });
        // A stream gets chunks seq by seq, so the first seq is named.
        assertFailure(toStdout, {
          code: CORRUPT,
          says: [
            failureOf(action, id, placesOf([Seq.HOLES]), state),
            "standard output is incomplete",
            `To go on, add ${WAYS}`,
          ],
        });
        assertBytes(
          toStdout.stdout,
          store.image.subarray(0, toStdout.stdout.length),
        );
        assert(toStdout.stdout.length <= Seq.HOLES * CHUNK_BYTES, `${toStdout.stdout.length}`);
      });
    });
  }
});

/** Matches `Cannot use chunk "ID" (places): state`. */
function failureOf(action: string, id: string, places: string, state: RegExp): RegExp {
  const start = `${action} chunk "${id}" ${places}: `.replace(/[()]/g, "\\$&");
  // If there is a file, its path follows.
  const source = action === "Cannot use"
    ? state.source.replace(/\$$/, ` \\(file ".*/${id}\\.chunk\\.lzo"\\)$`)
    : state.source;
  return new RegExp(`^${start}${source.replace(/^\^/, "").replace(/^(?=[A-Z])/, ".*")}`);
}

Deno.test("Without the first chunk nothing is written: the target is untouched", async () => {
  const target = store.file("untouched-target", "old");
  await store.withDamage(store.chunkFileAt(Seq.FIRST), () => {}, async () => {
    const says = [
      failureOf(
        "Cannot read",
        store.idAt(Seq.FIRST),
        placesOf([Seq.FIRST, Seq.REPEATED]),
        /there is no file/,
      ),
      `To go on, add ${WAYS}`,
    ];
    assertFailure(await extract([store.revision.path, target]), { code: CORRUPT, says });
    assertFailure(await extract([store.revision.path, store.file("not-made")]), {
      code: CORRUPT,
      says,
    });
  });
  assertEquals(Deno.readTextFileSync(target), "old");
  assert(![...Deno.readDirSync(store.file("."))].some(({ name }) => name === "not-made"));
});

Deno.test("A chunk at many seqs is described by the first four and their number", async () => {
  const content = sampleBytes(40);
  const chunks = Array.from({ length: 40 }, (_, seq) => seq % 2 === 0 ? content : "absent");
  const many = store.add("ManyPlaces", [sampleBytes(41), ...chunks]);
  const file = chunkFile(store.basedir, many.ids[1]!);
  await store.withDamage(file, cutTo(9), async () => {
    const ranges = [1, 3, 5, 7].map((seq) =>
      `${seq * CHUNK_BYTES} to ${(seq + 1) * CHUNK_BYTES - 1}`
    ).join(", ");
    const start = `Cannot use chunk "${many.ids[1]}" (seqs 1, 3, 5, 7 and 16 more, image bytes ` +
      `${ranges} and 16 more): LZO stream ends early at input byte `;
    const outcome = await extract([many.path, store.file("many-target")]);
    assertEquals(outcome.code, CORRUPT);
    assert(outcome.stderr.includes(start), outcome.stderr);
  });
});

Deno.test("A short chunk is damage at any seq but the last, and there too if it lacks bytes", async (t) => {
  const short = 100_000;
  // The store's builder takes short chunks anywhere; the image's size says what is needed.
  const cases = [
    { name: "in the middle", size: 3 * CHUNK_BYTES, seq: 1, needs: CHUNK_BYTES },
    { name: "at the end", size: CHUNK_BYTES + short + 1, seq: 1, needs: short + 1 },
  ];
  for (const [index, { name, size, seq, needs }] of cases.entries()) {
    await t.step(name, async () => {
      const chunks = [sampleBytes(50), sampleBytes(51, short), "absent" as const];
      const revision = store.add(
        `Short${index}`,
        chunks.slice(0, Math.ceil(size / CHUNK_BYTES)),
        { size },
      );
      const outcome = await extract([revision.path]);
      assertFailure(outcome, {
        code: CORRUPT,
        says: [
          failureOf(
            "Cannot use",
            revision.ids[seq]!,
            placesOf([seq], size),
            new RegExp(`^it holds ${short} bytes, the image needs ${needs}$`),
          ),
          "standard output is incomplete",
          `To go on, add ${WAYS}`,
        ],
      });
    });
  }
});

Deno.test("A short chunk that fits the image's end but is also used in the middle is damage", async () => {
  const short = sampleBytes(52, 5000);
  const revision = store.add("ShortTwice", [short, short], { size: CHUNK_BYTES + 5000 });
  const outcome = await extract([revision.path, store.file("short-twice")]);
  assertEquals(outcome.code, CORRUPT, outcome.stderr);
  assert(outcome.stderr.includes("it holds 5000 bytes, the image needs 4194304"), outcome.stderr);
});

Deno.test("The all-zero chunk needs no file, and a damaged one does no harm", async () => {
  const zeroId = store.idAt(Seq.ZERO);
  const file = chunkFile(store.basedir, zeroId);
  Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
  Deno.writeTextFileSync(file, "garbage");
  try {
    assertSuccess(await extract([store.revision.path, "/dev/null"]));
  } finally {
    Deno.removeSync(file);
  }
});

Deno.test("--no-verify accepts wrong content, but no malformed stream and no short chunk", async () => {
  const path = store.chunkFileAt(Seq.UNALIGNED_ZEROS);
  const swap: Damage = (to) => Deno.copyFileSync(store.chunkFileAt(Seq.FIRST), to);
  await store.withDamage(path, swap, async () => {
    assertEquals((await extract([store.revision.path])).code, CORRUPT);
    const outcome = await extract(["--no-verify", store.revision.path]);
    assertSuccess(outcome);
    assert(outcome.stderr.includes("distinct decoded but not verified"), outcome.stderr);
    const expected = store.image.slice();
    expected.set(expected.subarray(0, CHUNK_BYTES), Seq.UNALIGNED_ZEROS * CHUNK_BYTES);
    assertBytes(outcome.stdout, expected);
  });
  for (const damage of [cutBy(1), announce(CHUNK_BYTES - 1), change((c) => c[0] = 0)]) {
    await store.withDamage(path, damage, async () => {
      assertEquals((await extract(["--no-verify", store.revision.path])).code, CORRUPT);
    });
  }
});

Deno.test("One changed bit in any part of a chunk's stream never restores as if nothing were wrong", async () => {
  const path = store.chunkFileAt(Seq.UNALIGNED_ZEROS);
  const bytes = Deno.statSync(path).size;
  for (const part of [0.1, 0.5, 0.9]) {
    const flip = change((content) => content[Math.floor(bytes * part)]! ^= 0x04);
    await store.withDamage(path, flip, async () => {
      const outcome = await extract([store.revision.path, "/dev/null"]);
      assertEquals(outcome.code, CORRUPT, outcome.stderr);
    });
  }
});

Deno.test("A damaged chunk is noticed with any number of workers, and with one", async () => {
  await store.withDamage(store.chunkFileAt(Seq.LAST), cutBy(1), async () => {
    for (const threads of ["1", "8"]) {
      const outcome = await extract(["-t", threads, store.revision.path]);
      assertEquals(outcome.code, CORRUPT, outcome.stderr);
      // Everything before the damage may have been written, but nothing wrong.
      assertBytes(outcome.stdout, store.image.subarray(0, outcome.stdout.length));
    }
  });
});
