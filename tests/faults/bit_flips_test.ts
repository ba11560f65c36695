/** One wrong bit, in many places: it is noticed, or the image is right all the same. */

import { ChunkDecoder } from "../../lib/chunk/decoder.ts";
import { ChunkCorruptError, RevisionError, StoreFormatError } from "../../lib/errors.ts";
import { CHUNK_BYTES, CHUNK_HEADER_BYTES, chunkIdToHex } from "../../lib/store/layout.ts";
import { parseRevisionInfo } from "../../lib/store/revision_info.ts";
import { parseRevisionMap } from "../../lib/store/revision_map.ts";
import { requireStore } from "../../lib/store/store.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { type Random, randomFrom } from "../support/random.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { sourceOf } from "../store/byte_source.ts";
import { assertBytes } from "../support/bytes.ts";
import { FaultStore } from "./fault_store.ts";
import { decodedBy } from "./decoded.ts";

const SEED = 20190111;

/** Returns a copy with one bit changed. */
function flipped(bytes: Uint8Array, bit: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

/**
 * A bit of a chunk file; in every fourth file one of the header, which would hardly be hit
 * otherwise.
 */
function someBit(random: Random, file: Uint8Array, number: number): number {
  return random(8 * (number % 4 === 0 ? CHUNK_HEADER_BYTES : file.length));
}

Deno.test(`1000 wrong bits in chunk files are noticed or without effect [seed ${SEED}]`, () => {
  const CHUNKS = 4, FLIPS = 1000;
  using store = new FaultStore({ chunks: CHUNKS });
  const files = store.revision.ids.map((_, seq) => store.chunkFileAt(seq));
  const good = files.map((file) => Deno.readFileSync(file));
  files.forEach((file) => Deno.chmodSync(file, 0o640));
  const decoder = new ChunkDecoder(store.basedir, { verify: true, pageCache: "keep" });
  const random = randomFrom(SEED);
  let noticed = 0;
  for (let flip = 0; flip < FLIPS; flip++) {
    const seq = random(CHUNKS);
    const bit = someBit(random, good[seq]!, flip);
    Deno.writeFileSync(files[seq]!, flipped(good[seq]!, bit));
    const outcome = decodedBy(decoder, store.revision.ids[seq]!, CHUNK_BYTES);
    if (outcome instanceof ChunkCorruptError) noticed++;
    else if (outcome instanceof Uint8Array) assertBytes(outcome, store.contentAt(seq));
    else throw outcome;
    Deno.writeFileSync(files[seq]!, good[seq]!);
  }
  // The choice between 0xF0 and 0xF1 goes unnoticed, and little else.
  assert(noticed > 0.96 * FLIPS, `${noticed} of ${FLIPS}`);
});

Deno.test(`A restore of chunk files with a wrong bit each lists what it noticed, and is right elsewhere [seed ${SEED}]`, async () => {
  using store = new FaultStore({ chunks: 16, lastBytes: 70_001 });
  const files = store.revision.ids.map((_, seq) => store.chunkFileAt(seq));
  const good = files.map((file) => Deno.readFileSync(file));
  files.forEach((file) => Deno.chmodSync(file, 0o640));
  const random = randomFrom(SEED);
  const output = store.file("image");
  let noticed = 0;
  for (let round = 0; round < 4; round++) {
    files.forEach((file, seq) => {
      Deno.writeFileSync(file, flipped(good[seq]!, someBit(random, good[seq]!, round + seq)));
    });
    const { badRanges } = await store.restore({ output, onError: "zero" });
    const expected = store.image.slice();
    for (const { offset, length, reason } of badRanges) {
      assert(reason !== "missing");
      expected.fill(0, offset, offset + length);
    }
    assertBytes(Deno.readFileSync(output), expected);
    noticed += badRanges.length;
  }
  assert(noticed > 0.9 * 4 * files.length, `${noticed}`);
});

Deno.test("Every wrong bit in a small chunk file is noticed or without effect", () => {
  const content = sampleBytes(1, 1000);
  content.copyWithin(700, 100, 350);
  using store = new FaultStore({ chunks: 0, last: content });
  const path = store.chunkFileAt(0);
  const good = Deno.readFileSync(path);
  Deno.chmodSync(path, 0o640);
  const decoder = new ChunkDecoder(store.basedir, { verify: true, pageCache: "keep" });
  let harmless = 0;
  for (let bit = 0; bit < 8 * good.length; bit++) {
    Deno.writeFileSync(path, flipped(good, bit));
    const outcome = decodedBy(decoder, store.revision.ids[0]!, content.length);
    if (outcome instanceof ChunkCorruptError) continue;
    assert(outcome instanceof Uint8Array, `bit ${bit}: ${outcome}`);
    assertBytes(outcome, content);
    harmless++;
  }
  assert(harmless >= 1 && harmless < good.length / 10, `${harmless} without effect`);
});

const ID = "4db6e194fd398e8edb76e11054d73eb0";
const OTHER_ID = "ad92954d3d9926b51a07c64d0ee79f85";

/** A map's content by seq; `null` if it is refused. */
function meaningOf(bytes: Uint8Array): { size: number; ids: (string | null)[] } | null {
  try {
    const { imageBytes: size, seqCount, ids } = parseRevisionMap(sourceOf(bytes), { path: "map" });
    // Another order of magnitude is another size.
    const count = Math.min(seqCount, 100);
    const zeros = "0".repeat(32);
    const all = Array.from({ length: count }, (_, seq) => chunkIdToHex(ids, 16 * seq));
    return { size, ids: all.map((id) => id === zeros ? null : id) };
  } catch (error) {
    if (error instanceof RevisionError) return null;
    throw error;
  }
}

const MAPS: readonly [name: string, text: string, isFull: boolean][] = [
  [
    "all of whose seqs are mapped",
    `{"mapping": {"0": "${ID}", "1": "${OTHER_ID}", "2": "${ID}"}, "size": ${3 * CHUNK_BYTES}}`,
    true,
  ],
  [
    "with absent seqs",
    `{"mapping": {"1": "${ID}", "8": "${OTHER_ID}"}, "size": ${12 * CHUNK_BYTES}}`,
    false,
  ],
];

for (const [name, text, isFull] of MAPS) {
  Deno.test(`Every wrong bit in a map ${name} is noticed, but for the size's and for seqs that move to absent ones`, () => {
    const good = new TextEncoder().encode(text);
    const right = meaningOf(good)!;
    const sizeStart = text.indexOf('"size"');
    const counts = { refused: 0, otherId: 0, moved: 0, size: 0 };
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const wrong = meaningOf(flipped(good, bit));
      if (wrong === null) {
        counts.refused++;
      } else if (wrong.size !== right.size) {
        // The format has nothing to compare the size with.
        assert(bit >> 3 > sizeStart, `bit ${bit}`);
        counts.size++;
      } else {
        const changed = wrong.ids.flatMap((id, seq) => id === right.ids[seq] ? [] : [seq]);
        // Every bit has a meaning: white space and letters of JSON have no other form one bit away.
        assert(changed.length > 0, `bit ${bit}`);
        const ids = changed.map((seq) => wrong.ids[seq] ?? null);
        if (ids.every((id) => id === null || right.ids.includes(id))) {
          // A key became that of another seq, which was absent.
          assert(!isFull && changed.length === 2, `bit ${bit}`);
          counts.moved++;
        } else {
          // An id that no chunk has: the restore will miss its file.
          assertEquals(changed.length, 1);
          counts.otherId++;
        }
      }
    }
    assertEquals(counts.moved > 0, !isFull);
    assert(counts.size > 0 && counts.otherId > 0, JSON.stringify(counts));
    assert(counts.refused > 0.6 * 8 * good.length, JSON.stringify(counts));
  });
}

Deno.test("Every wrong bit in the store's tag makes the store unusable", () => {
  using store = new FaultStore({ chunks: 0, lastBytes: 100 });
  const tag = `${store.basedir}/chunks/store`;
  requireStore(store.basedir);
  const good = Deno.readFileSync(tag);
  for (let bit = 0; bit < 8 * good.length; bit++) {
    Deno.writeFileSync(tag, flipped(good, bit));
    assertThrows(() => requireStore(store.basedir), StoreFormatError);
  }
});

Deno.test("A wrong bit in the metadata is refused in one line or changes the metadata, which no restore needs", async () => {
  using store = new FaultStore({ chunks: 0, lastBytes: 100 });
  const path = `${store.revision.path}.rev`;
  const good = Deno.readFileSync(path);
  for (let bit = 0; bit < 8 * good.length; bit++) {
    const text = new TextDecoder().decode(flipped(good, bit));
    try {
      parseRevisionInfo(text, path);
    } catch (error) {
      assert(error instanceof RevisionError, `bit ${bit}: ${error}`);
    }
  }
  Deno.writeFileSync(path, flipped(good, 8 * (good.length >> 1)));
  const output = store.file("image");
  await store.restore({ output });
  assertBytes(Deno.readFileSync(output), store.image);
});
