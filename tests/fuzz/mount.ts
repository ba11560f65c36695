/**
 * Fuzzes what lies between FUSE requests and chunks: reads, writes, and failures of both, of
 * several programs at once, against plain buffers. There is no FFI and no file: chunks are in
 * memory (`../pages/fake_chunks.ts`).
 *
 * Input: operations of 8 bytes each, see `perform`.
 *
 * @module
 */

import { FuseError } from "deno-fuse";
import { Filesystem } from "../../lib/fuse/filesystem.ts";
import { RevisionDirectory } from "../../lib/fuse/revision_directory.ts";
import { ROOT_INO } from "../../lib/fuse/inodes.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { fakeContent, fakeId, isSame, join, nextTurn } from "../pages/fake_chunks.ts";
import { fakeEntry } from "../fuse/fake_entry.ts";
import { atOnce } from "../fuse/prompt_filesystem.ts";
import { FakeImages, modelOf } from "../image_access/fake_images.ts";
import type { FuzzTarget } from "./fuzz_target.ts";

const OP_BYTES = 8;
const O_RDWR = 2;

/** Images that share chunks, with zeros of both kinds and an end inside a chunk. */
const IMAGES: Readonly<Record<string, readonly [(number | null | "zero")[], number]>> = {
  a: [[0, 1, null, 2], 3 * CHUNK_BYTES + 12_345],
  b: [[1, "zero", 0], 3 * CHUNK_BYTES],
};
const CHUNKS = 3;

/** Longest read or write, as long as the kernel's. */
const MOST_BYTES = 1_048_576;

interface OpenFile {
  readonly handle: number;
  readonly ino: number;
  readonly model: Uint8Array;
}

/** A write among concurrent operations. */
interface Attempt {
  readonly model: Uint8Array;
  readonly offset: number;
  /** What was written once it is done; until then what should be written. */
  data: Uint8Array;
  state: "pending" | "done" | "failed";
}

/** A file system, and the buffers that its files must agree with. */
class World {
  readonly mount = new FakeImages({ cachePages: 2, dirtyPages: 2, aheadChunks: 1 });
  readonly #models = Object.fromEntries(
    Object.entries(IMAGES).map(([name, [numbers, size]]) => [name, modelOf(numbers, size)]),
  );
  readonly filesystem: Filesystem;
  readonly #files: OpenFile[] = [];
  /** Writes since the last moment without a running operation. */
  #attempts: Attempt[] = [];
  #turns = 0;
  #isFailing = false;

  constructor() {
    const { mount } = this;
    const revisions = Object.keys(IMAGES).map((name, index) => fakeEntry(name, index + 1));
    const directory = new RevisionDirectory({
      readCatalog: () => ({ revisions, skipped: [] }),
      readModifiedMs: () => 1000,
      readState: () => mount.state,
      openImage: ({ name }) => mount.image(name, ...IMAGES[name]!),
      onReplaced: () => {},
      onBadTable: () => {},
      onSkipped: () => {},
      onFailure: () => {},
    });
    this.filesystem = new Filesystem({
      directory,
      owner: { uid: 0, gid: 0 },
      readSpace: () => ({ totalBytes: 0, availableBytes: 0 }),
      countChunks: () => Promise.resolve(0),
      invalidate: () => Promise.resolve(),
    });
    mount.chunks.pause = () => this.#turns++ % 3 === 0 ? nextTurn() : Promise.resolve();
    mount.chunks.shouldFail = () => this.#isFailing;
  }

  async open(name: string): Promise<void> {
    const { ino } = atOnce(this.filesystem.lookup({ parent: ROOT_INO, name }))!.attributes;
    const { handle } = await this.filesystem.open({ ino, flags: O_RDWR });
    this.#files.push({ handle: handle!, ino, model: this.#models[name]! });
  }

  /** Starts one operation. @returns Settles when the operation has ended. */
  perform(op: DataView): Promise<void> {
    const file = this.#files[op.getUint8(1) % this.#files.length]!;
    const offset = offsetOf(op, file.model.length);
    const length = lengthOf(op);
    switch (op.getUint8(0) % 16) {
      case 0:
        this.#isFailing = !this.#isFailing;
        return Promise.resolve();
      case 1: {
        const id = fakeId(op.getUint8(7) % CHUNKS);
        const { contents } = this.mount.chunks;
        if (!contents.delete(id)) contents.set(id, fakeContent(op.getUint8(7) % CHUNKS));
        return Promise.resolve();
      }
      case 2:
        return this.open(op.getUint8(7) & 1 ? "a" : "b");
      case 3:
        return this.#truncate(file, offset);
      case 4:
      case 5:
      case 6:
      case 7:
      case 8:
        return this.#write(file, offset, new Uint8Array(length).fill(op.getUint8(7)));
      default:
        return this.#read(file, offset, length);
    }
  }

  /**
   * Call when all operations have ended. Writes to an image happen in the order of their requests.
   */
  settle(): void {
    for (const attempt of this.#attempts) applyIfDone(attempt, attempt.model, 0);
    this.#attempts = [];
  }

  async #write({ ino, handle, model }: OpenFile, offset: number, data: Uint8Array<ArrayBuffer>) {
    const attempt: Attempt = { model, offset, data, state: "pending" };
    this.#attempts.push(attempt);
    try {
      const count = await this.filesystem.write({ ino, handle, offset, data });
      assertEquals(count, Math.min(data.length, model.length - offset));
      attempt.data = data.subarray(0, count);
      attempt.state = "done";
    } catch (error) {
      requireFailure(error);
      attempt.state = "failed";
    }
  }

  /** Earlier writes must be there; concurrent ones may be. */
  async #read({ ino, handle, model }: OpenFile, offset: number, length: number): Promise<void> {
    const expected = model.slice(offset, offset + length);
    const before = this.#attempts.filter((attempt) => attempt.model === model);
    for (const attempt of before) applyIfDone(attempt, expected, offset);
    const settled = new Set(before.filter(({ state }) => state !== "pending"));
    try {
      // Copied at once, as the kernel's answer is: pages are given back in the next turn.
      const bytes = join(await this.filesystem.read({ ino, handle, offset, size: length }));
      assertEquals(bytes.length, expected.length);
      if (isSame(bytes, expected)) return;
      const possible = this.#attempts.filter((attempt) =>
        attempt.model === model && !settled.has(attempt)
      );
      const isPossible = (byte: number, at: number) =>
        byte === expected[at - offset] ||
        possible.some(({ offset: start, data }) =>
          at >= start && at < start + data.length && data[at - start] === byte
        );
      const wrong = bytes.findIndex((byte, index) => !isPossible(byte, offset + index));
      assert(wrong < 0, `byte ${offset + wrong} is ${bytes[wrong]}, not ${expected[wrong]}`);
    } catch (error) {
      requireFailure(error);
    }
  }

  // deno-lint-ignore require-await
  async #truncate({ ino, model }: OpenFile, size: number): Promise<void> {
    try {
      this.filesystem.setattr({ ino, changes: { size } });
      assertEquals(size, model.length);
    } catch (error) {
      requireFailure(error);
    }
  }

  /** Ends all failures and compares everything. */
  async finish(): Promise<void> {
    this.#isFailing = false;
    for (let number = 0; number < CHUNKS; number++) {
      this.mount.chunks.contents.set(fakeId(number), fakeContent(number));
    }
    for (const file of this.#files.slice(0, 2)) {
      for (let at = 0; at < file.model.length; at += MOST_BYTES) {
        const { ino, handle, model } = file;
        const views = await this.filesystem.read({ ino, handle, offset: at, size: MOST_BYTES });
        assert(isSame(join(views), model.subarray(at, at + MOST_BYTES)), `at the end: ${at}`);
      }
    }
    for (const { ino, handle } of this.#files) this.filesystem.release({ ino, handle });
    await nextTurn();
    const held = this.mount.pool.allocatedBytes / CHUNK_BYTES;
    assert(held <= 12, `${held} pages`);
  }
}

/** Lengths of all sizes up to that of a request, short ones more often. */
function lengthOf(op: DataView): number {
  const some = op.getUint16(5, true);
  switch (op.getUint8(1) >> 6) {
    case 0:
      return 1 + some % 2000;
    case 1:
      return 1 + (16 * some) % MOST_BYTES;
    default:
      return 1 + some;
  }
}

/** Copies a write into a buffer with the image's bytes from `start` on. */
function applyIfDone({ state, offset, data }: Attempt, to: Uint8Array, start: number): void {
  if (state !== "done") return;
  const from = Math.max(offset, start), end = Math.min(offset + data.length, start + to.length);
  if (from < end) to.set(data.subarray(from - offset, end - offset), from - start);
}

/** Offsets near chunks' borders and the end, more often than elsewhere. */
function offsetOf(op: DataView, size: number): number {
  const wanted = op.getUint8(2) * 65_536 + op.getUint16(3, true);
  if (op.getUint8(2) < 128) {
    const border = CHUNK_BYTES * (1 + op.getUint8(2) % 4);
    return Math.min(size - 1, Math.max(0, border - (op.getUint16(3, true) % 3000)));
  }
  return wanted % size;
}

function requireFailure(error: unknown): void {
  if (!(error instanceof FuseError)) throw error;
}

/** Reads and writes of a mount. */
export const mount: FuzzTarget = {
  name: "mount",
  promise: "images agree with plain buffers, whatever fails meanwhile",
  leastTaken: 1,

  generate(random) {
    const input = new Uint8Array(OP_BYTES * (1 + random(60)));
    for (let at = 0; at < input.length; at++) input[at] = random(256);
    // If failures never ended, there would be nothing to compare.
    for (let at = 0; at < input.length; at += OP_BYTES) {
      if (input[at]! % 16 < 2 && random(2)) input[at] = 15;
    }
    return input;
  },

  async check(input) {
    const world = new World();
    await world.open("a");
    await world.open("b");
    const running: Promise<void>[] = [];
    for (let at = 0; at + OP_BYTES <= input.length; at += OP_BYTES) {
      const op = new DataView(input.buffer, input.byteOffset + at, OP_BYTES);
      running.push(world.perform(op));
      // About four requests run at a time; some come when earlier ones are half done.
      if ((op.getUint8(7) & 3) !== 0) {
        if (op.getUint8(7) & 4) await nextTurn();
        continue;
      }
      await Promise.all(running.splice(0));
      world.settle();
    }
    await Promise.all(running);
    world.settle();
    await world.finish();
    return true;
  },
};
