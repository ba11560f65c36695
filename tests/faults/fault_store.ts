/**
 * Backup directories for fault tests: images of full chunks that differ and decode quickly, and
 * restores of them within the test's process.
 *
 * @module
 */

import { restore, type RestoreEvent, type RestoreOptions } from "../../lib/restore/restore.ts";
import type { RestoreReport } from "../../lib/restore/report.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { type ChunkContent, sampleBytes } from "../support/store_builder.ts";
import { type StoredRevision, TestStore } from "../support/test_store.ts";

/** Whether fault tests run in full length; a normal test run does only a share. */
export const IS_FULL = Deno.env.get("FAULTS") === "full";

const NOISE_BYTES = 60_000;

/**
 * A full chunk that differs from others by its number. Its file has some 80 KB: noise and
 * words at its start, then a pattern with zeros in it.
 */
export function chunkContent(number: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(CHUNK_BYTES / 4);
  for (let at = 0; at < words.length; at++) {
    words[at] = Math.imul(at % 1021 + 1, 0x9e3779b1) ^ Math.imul(number, 0x85ebca6b);
  }
  const content = new Uint8Array(words.buffer);
  content.set(sampleBytes(number, NOISE_BYTES));
  content.fill(0, CHUNK_BYTES / 2, CHUNK_BYTES / 2 + 300_000);
  return content;
}

/** How an image of {@linkcode FaultStore} is made. */
export interface FaultStoreOptions {
  /** Number of full chunks, all different. */
  readonly chunks: number;
  /** Bytes of a last chunk that is shorter; default: there is none. */
  readonly lastBytes?: number;
  /** The last chunk itself. */
  readonly last?: Uint8Array<ArrayBuffer>;
  /**
   * Directory that the store is made in; default: one of its own, in the directory for temporary
   * files.
   */
  readonly at?: string;
}

/** A store with one revision, "Revision", and room beside it. */
export class FaultStore extends TestStore {
  readonly revision: StoredRevision;
  readonly image: Uint8Array<ArrayBuffer>;

  constructor({ chunks, lastBytes = 0, last, at }: FaultStoreOptions) {
    super({ at });
    const contents: ChunkContent[] = [];
    for (let number = 0; number < chunks; number++) contents.push(chunkContent(number));
    if (last || lastBytes > 0) contents.push(last ?? sampleBytes(chunks, lastBytes));
    this.revision = this.add("Revision", contents);
    this.image = this.revision.image;
  }

  /** Path of the file of the chunk at a seq. */
  chunkFileAt(seq: number): string {
    return this.chunkFile(this.revision.ids[seq]);
  }

  /** What the image has at a seq. */
  contentAt(seq: number): Uint8Array<ArrayBuffer> {
    return this.image.subarray(seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
  }

  /** Restores the revision in this process. */
  restore(options: Partial<RestoreOptions> & { output: string }): Promise<RestoreReport> {
    return restore({ revision: this.revision.path, threads: 2, sync: false, ...options });
  }
}

/** Replaces a file as a repair or a backup does: by another file of that name. */
export function replaceFile(path: string, content: Uint8Array): void {
  const temporary = `${path}.new`;
  Deno.writeFileSync(temporary, content);
  Deno.renameSync(temporary, path);
}

/** Waits for an event of a restore. */
export class EventWatch {
  readonly #seen: RestoreEvent[] = [];
  #wake = Promise.withResolvers<void>();

  readonly onEvent = (event: RestoreEvent): void => {
    this.#seen.push(event);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  };

  /** Resolves to the first event of a type, when it comes or if it has come. */
  async until<T extends RestoreEvent["type"]>(
    type: T,
  ): Promise<Extract<RestoreEvent, { type: T }>> {
    for (;;) {
      const event = this.#seen.find((event) => event.type === type);
      if (event) return event as Extract<RestoreEvent, { type: T }>;
      await this.#wake.promise;
    }
  }
}
