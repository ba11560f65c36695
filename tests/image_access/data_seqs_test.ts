import { DataSeqs } from "../../lib/image_access/data_seqs.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import type { RevisionMap } from "../../lib/store/revision_map.ts";
import { assert, assertEquals } from "../assert.ts";
import { fakeId, fakeMap } from "../pages/fake_chunks.ts";
import { randomFrom } from "../support/random.ts";

const BLOCK = 4096;

/** The map of an image of nothing but full chunks. */
function mapOf(ids: readonly (string | null)[]): RevisionMap {
  return fakeMap(ids, ids.length * CHUNK_BYTES);
}

Deno.test("DataSeqs finds data and zeros as a walk over all seqs does, also after changes", () => {
  const random = randomFrom(1);
  const count = 3 * BLOCK + 17;
  // Long runs of each kind, whole blocks among them, and short ones.
  const ids: (string | null)[] = [];
  while (ids.length < count) {
    const id = [null, ZERO_CHUNK_ID, fakeId(random(5))][random(3)]!;
    for (let length = 1 + random(random(2) === 0 ? 3 : BLOCK); length > 0; length--) ids.push(id);
  }
  const model = ids.slice(0, count).map((id) => id !== null && id !== ZERO_CHUNK_ID);
  const early = Array.from({ length: 20 }, () => random(count));
  const seqs = new DataSeqs(mapOf(ids.slice(0, count)), early);
  for (const seq of early) model[seq] = true;
  for (let round = 0; round < 3; round++) {
    assertEquals(seqs.bytes, model.filter((isData) => isData).length * CHUNK_BYTES);
    // From the end: what is next to each seq.
    let [data, zeros] = [count, count];
    for (let seq = count - 1; seq >= 0; seq--) {
      if (model[seq]) data = seq;
      else zeros = seq;
      assertEquals([seqs.find(seq, "data"), seqs.find(seq, "zeros")], [data, zeros]);
    }
    for (let each = 0; each < 200; each++) {
      const seq = random(count);
      for (let again = 0; again < 2; again++) seqs.add(seq);
      model[seq] = true;
    }
  }
});

Deno.test("DataSeqs counts of a last chunk what the image has of it", () => {
  const size = 2 * CHUNK_BYTES + 777;
  assertEquals(new DataSeqs(fakeMap([null, null, fakeId(1)], size), []).bytes, 777);
  assertEquals(new DataSeqs(fakeMap([fakeId(1), null, null], size), []).bytes, CHUNK_BYTES);
  assertEquals(new DataSeqs(fakeMap([null, null, null], size), [2]).bytes, 777);
  assertEquals(new DataSeqs(fakeMap([], 0), []).bytes, 0);
  assertEquals(new DataSeqs(fakeMap([], 0), []).find(0, "data"), 0);
});

Deno.test("DataSeqs.bytesIn() counts the data of any range", () => {
  const random = randomFrom(2);
  const count = 3 * BLOCK + 17;
  const ids = Array.from({ length: count }, (_, seq) => {
    // The second block is all data, of the others a third.
    return Math.floor(seq / BLOCK) === 1 || random(3) === 0 ? fakeId(random(5)) : null;
  });
  const seqs = new DataSeqs(mapOf(ids), []);
  const imageBytes = count * CHUNK_BYTES;
  const places = [0, 1, CHUNK_BYTES, BLOCK * CHUNK_BYTES, imageBytes - 1, imageBytes];
  const pick = () =>
    random(2) === 0
      ? places[random(places.length)]!
      : random(count) * CHUNK_BYTES + [0, 1, 777][random(3)]!;
  for (let round = 0; round < 300; round++) {
    const [a, b] = [pick(), round % 3 === 0 ? pick() : 0];
    const start = Math.min(a, b), end = Math.min(round % 3 === 0 ? Math.max(a, b) : a, imageBytes);
    let expected = 0;
    ids.forEach((id, seq) => {
      const from = Math.max(start, seq * CHUNK_BYTES);
      const to = Math.min(end, (seq + 1) * CHUNK_BYTES);
      if (id !== null && from < to) expected += to - from;
    });
    assertEquals(seqs.bytesIn(start, end), expected, `${start} to ${end}`);
  }
  assertEquals(seqs.bytesIn(0, imageBytes), seqs.bytes);
});

Deno.test("DataSeqs looks at few seqs for an answer, however long the run is", () => {
  let looks = 0;
  class Counted extends DataSeqs {
    override isData(seq: number): boolean {
      looks++;
      return super.isData(seq);
    }
  }
  const seqCount = 4 * 2 ** 40 / CHUNK_BYTES;
  const ids = new Uint8Array(new SharedArrayBuffer(16 * seqCount));
  const map = { imageBytes: seqCount * CHUNK_BYTES, seqCount, ids, mappedCount: 0 };
  for (const content of ["data", "zeros"] as const) {
    if (content === "zeros") ids.fill(7);
    const seqs = new Counted(map, []);
    looks = 0;
    for (let seq = 0; seq < seqCount; seq += 1001) {
      assertEquals(seqs.find(seq, content), seqCount);
    }
    assert(looks <= (seqCount / 1001 + 1) * 2 * BLOCK, `${looks}`);
  }
});
