import { MapFactsReader } from "../../lib/store/listed_revision.ts";
import { planRestore } from "../../lib/restore/plan.ts";
import { runSteps } from "../../lib/slices.ts";
import { CHUNK_BYTES, ZERO_CHUNK_ID } from "../../lib/store/layout.ts";
import { readRevisionMap } from "../../lib/store/revision_map.ts";
import { assertEquals } from "../assert.ts";
import { randomFrom } from "../support/random.ts";
import { writeMap } from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";

Deno.test("MapFactsReader counts as a plan does, regardless of the maps that it read before", () => {
  using scratch = new Scratch();
  const random = randomFrom(4711);
  const reader = new MapFactsReader();
  const path = `${scratch.path}/map`;
  for (let round = 0; round < 300; round++) {
    const seqCount = random(12);
    const ids = Array.from({ length: seqCount }, () => {
      const kind = random(6);
      if (kind === 0) return null;
      return kind === 1 ? ZERO_CHUNK_ID : String(kind).repeat(32);
    });
    const missing = seqCount > 0 && random(2) === 0 ? random(CHUNK_BYTES) : 0;
    writeMap(scratch.path, "map", { ids, size: seqCount * CHUNK_BYTES - missing });
    const { imageBytes, distinctChunks, distinctBytes } =
      planRestore(readRevisionMap(path)).summary;
    assertEquals(runSteps(reader.read(path)), {
      sizeBytes: imageBytes,
      distinctChunks,
      distinctBytes,
    });
  }
});
