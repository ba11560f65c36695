import * as codec from "lzo-wasm";
import { ChunkSources } from "../../lib/chunk/chunk_sources.ts";
import { ChunkCorruptError, ChunkMissingError, isChunkFault, OsError } from "../../lib/errors.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { addRevision, chunkFile, makeStore, sampleBytes } from "../support/store_builder.ts";
import { damageChunk } from "../restore/damage_kinds.ts";
import { assertBytes } from "../support/bytes.ts";
import { Scratch } from "../support/machine.ts";

/** Several backup directories with the same chunk. */
class Scene implements Disposable {
  readonly #scratch = new Scratch();
  readonly content = sampleBytes(1);
  readonly dirs = ["own", "second", "third"].map((name) => this.#scratch.file(name));
  readonly id: string;

  constructor() {
    let id = "";
    for (const dir of this.dirs) {
      makeStore(dir);
      id = addRevision(dir, "Revision", [this.content]).ids[0]!;
    }
    this.id = id;
  }

  path(at: number): string {
    return chunkFile(this.dirs[at]!, this.id);
  }

  decode(verify = true) {
    const sources = new ChunkSources(this.dirs, { verify, pageCache: "keep" });
    codec.outputs[1]!.fill(0);
    return sources.decode({ id: this.id, seqs: () => [7] }, 1, CHUNK_BYTES);
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

Deno.test("ChunkSources.decode() takes the first good copy, and says from which directory", () => {
  using scene = new Scene();
  for (const [at, reason] of [[0, "hash"], [1, "encoding"]] as const) {
    const { source, bytes, fileBytes } = scene.decode();
    assertEquals([source, bytes], [at, CHUNK_BYTES]);
    assertEquals(fileBytes, Deno.statSync(scene.path(at)).size);
    assertBytes(codec.outputs[1]!, scene.content);
    damageChunk(scene.path(at), reason);
  }
  assertEquals(scene.decode().source, 2);
  damageChunk(scene.path(2), "missing");
  // The error is that of the first directory.
  const error = assertThrows(() => scene.decode(), ChunkCorruptError);
  assertEquals([error.path, error.reason, error.seqs], [scene.path(0), "hash", [7]]);
});

Deno.test("ChunkSources.decode() verifies all directories but the first where it need not", () => {
  using scene = new Scene();
  damageChunk(scene.path(0), "hash");
  assertEquals(scene.decode(true).source, 1);
  assertEquals(scene.decode(false).source, 0);
  damageChunk(scene.path(0), "missing");
  damageChunk(scene.path(1), "hash");
  assertEquals(scene.decode(false).source, 2);
});

Deno.test("ChunkSources without directories finds nothing", () => {
  const sources = new ChunkSources([], { verify: true, pageCache: "keep" });
  const chunk = { id: "0".repeat(32), seqs: () => [] };
  assertThrows(() => sources.decode(chunk, 0, 1), TypeError, "there are no backup directories");
});

Deno.test("isChunkFault() tells bad chunks from everything else", () => {
  const fields = { chunkId: "", seqs: [], path: "" };
  assert(isChunkFault(new ChunkMissingError("", fields)));
  assert(isChunkFault(new ChunkCorruptError("", { ...fields, reason: "hash" })));
  const osError = new OsError("", { errno: 24, errnoName: "EMFILE", syscall: "open", path: "" });
  for (const other of [osError, new Error(), undefined]) assert(!isChunkFault(other));
});
