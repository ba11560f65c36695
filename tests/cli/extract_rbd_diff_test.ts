import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { applyRbdDiff, readRbdDiff } from "../support/rbd_diff.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { copyFifo, makeFifo, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { assertFailure, assertSuccess, extract } from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const USAGE = 2;
const noRbd = programProblem("rbd");
if (noRbd !== null) {
  // deno-lint-ignore no-console
  console.log(`ignored: diffs against Ceph's own program: ${noRbd}`);
}

let store: SampleStore;
/** Revisions after the sample: one of its size, a longer and a shorter one. */
let same: ReturnType<SampleStore["add"]>;
let longer: ReturnType<SampleStore["add"]>;
let shorter: ReturnType<SampleStore["add"]>;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  const part = (seq: number) => store.image.slice(seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
  const all = Object.values(Seq).map(part);
  same = store.add("Same", all.with(1, sampleBytes(70)).with(3, new Uint8Array(CHUNK_BYTES)));
  longer = store.add("Longer", [...all.slice(0, 8), sampleBytes(71), sampleBytes(72, 999)]);
  shorter = store.add("Shorter", [part(0), "absent", part(2), sampleBytes(73, 12_345)]);
});
Deno.test.afterAll(() => store[Symbol.dispose]());

async function diffOf(...args: string[]): Promise<Uint8Array> {
  const outcome = await extract(["--format=rbd-diff", ...args]);
  assertSuccess(outcome);
  return outcome.stdout;
}

Deno.test("--format=rbd-diff describes the whole image, whatever the receiving one holds", async () => {
  for (
    const { path, image } of [{ ...store.revision, image: store.image }, same, longer, shorter]
  ) {
    for (const threads of ["1", "4"]) {
      const diff = await diffOf("-t", threads, path);
      const { imageBytes, records } = readRbdDiff(diff);
      assertEquals(imageBytes, image.length);
      assertEquals(records.reduce((sum, { length }) => sum + length, 0), image.length);
      for (const before of [new Uint8Array(0), new Uint8Array(image.length + 9999).fill(0xaa)]) {
        assertBytes(applyRbdDiff(diff, before), image);
      }
    }
  }
});

Deno.test("--format=rbd-diff has zeros as records without data", async () => {
  const { length } = await diffOf(store.revision.path);
  assert(length >= store.dataBytes, `${length}`);
  assert(length < store.dataBytes + 100_000, `${length} bytes for ${store.dataBytes} of data`);
});

Deno.test("--format=rbd-diff with --base describes the difference only", async () => {
  for (const { path, image } of [same, longer, shorter]) {
    const diff = await diffOf("--base", "SampleRevision", path);
    assertBytes(applyRbdDiff(diff, store.image), image);
    const { records } = readRbdDiff(diff);
    const bytes = records.reduce((sum, { length }) => sum + length, 0);
    assert(bytes <= 3 * CHUNK_BYTES, `${bytes} bytes`);
  }
  const nothing = readRbdDiff(await diffOf("--base", "SampleRevision", store.revision.path));
  assertEquals(nothing, { imageBytes: store.image.length, records: [] });
});

Deno.test("--format=raw writes the image and is the default", async () => {
  const outcome = await extract(["--format=RAW", store.revision.path]);
  assertSuccess(outcome);
  assertBytes(outcome.stdout, store.image);
});

Deno.test("--format=rbd-diff stops without an end record at a bad chunk: exit 3", async () => {
  await store.withDamage(store.chunkFileAt(Seq.UNALIGNED_ZEROS), () => {}, async () => {
    const { code, stdout, stderr } = await extract(["--format=rbd-diff", store.revision.path]);
    assertEquals(code, 3, stderr);
    let isWhole = true;
    try {
      readRbdDiff(stdout);
    } catch {
      isWhole = false;
    }
    assert(!isWhole, "rbd import-diff would take it for a whole one");
  });
});

Deno.test("--format=rbd-diff is for streams only: a named file or device is refused", async () => {
  const target = store.file("kept", "old");
  for (const output of [target, store.file("not-made")]) {
    const { code, stderr } = await extract(["--format=rbd-diff", store.revision.path, output]);
    assertEquals(code, USAGE, stderr);
    assertEquals(
      stderr,
      'backy-extract: Cannot use "--format=rbd-diff" with OUTPUT: it is a stream, for standard ' +
        "output only\n",
    );
  }
  assertEquals(Deno.readTextFileSync(target), "old");
  assertEquals(store.namesBeside().includes("not-made"), false);
});

Deno.test("--format=rbd-diff reaches a reader of a FIFO through standard output", async () => {
  const fifo = makeFifo(store.file("fifo"));
  const path = store.file("from-fifo");
  const env = { OUT: fifo };
  const [outcome] = await Promise.all([
    extract(["--format=rbd-diff", same.path], { shell: 'exec "$@" >"$OUT"', env }),
    copyFifo(fifo, path),
  ]);
  assertEquals(outcome.code, 0, outcome.stderr);
  assertBytes(applyRbdDiff(Deno.readFileSync(path)), same.image);
});

Deno.test("--format=rbd-diff to a descriptor that is not open for writing is refused, as an image is", async () => {
  const shell = 'exec "$@" 1<"$IN"';
  const env = { IN: store.revision.path };
  assertFailure(await extract(["--format=rbd-diff", store.revision.path], { shell, env }), {
    code: 4,
    says: ["Cannot restore to standard output: it is closed, or not open for writing"],
  });
});

testUnless(
  noRbd,
  "rbd merge-diff reads the streams, and their merger is the later image",
  async () => {
    const full = store.file("full.diff", await diffOf(store.revision.path));
    for (const [at, { path, image }] of [same, longer, shorter].entries()) {
      const step = store.file("step.diff", await diffOf("--base", "SampleRevision", path));
      const merged = store.file(`merged-${at}.diff`);
      runSync("rbd", "merge-diff", full, step, merged);
      const before = new Uint8Array(image.length).fill(0xaa);
      assertBytes(applyRbdDiff(Deno.readFileSync(merged), before), image);
    }
  },
);

testUnless(noRbd, "rbd merge-diff merges a full stream onto another", async () => {
  const first = store.file("first.diff", await diffOf(store.revision.path));
  const second = store.file("second.diff", await diffOf(longer.path));
  const merged = store.file("both.diff");
  runSync("rbd", "merge-diff", first, second, merged);
  assertBytes(applyRbdDiff(Deno.readFileSync(merged)), longer.image);
});
