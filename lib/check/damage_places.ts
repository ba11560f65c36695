/**
 * Step 3 of a check: finds the places in images at which bad chunks stand, by reading the maps again.
 *
 * @module
 */

import type { ChunkReason, Note } from "../restore/messages.ts";
import { bytesOfSeq, idOfSeq, type RestorePlan } from "../restore/plan.ts";
import { CHUNK_BYTES, chunkIdToHex } from "../store/layout.ts";
import { readRevisionMap } from "../store/revision_map.ts";
import { quote } from "../wording.ts";

/** A place of a bad chunk. */
export interface DamagedPlace {
  /** The revision's name. */
  readonly revision: string;
  /** First byte of its image that is lost. */
  readonly offset: number;
  /** Number of bytes. */
  readonly length: number;
}

/** A bad chunk with its places, in the order of revisions and images. */
export interface DamagedChunk {
  readonly basedir: string;
  /** 32 lower-case hex digits. */
  readonly chunkId: string;
  readonly reason: ChunkReason;
  /** One line. */
  readonly detail: string;
  readonly places: readonly DamagedPlace[];
}

/** What is known against a chunk. */
interface Suspect {
  readonly reason: ChunkReason;
  readonly detail: string;
  /** Bytes that it has; places that need no more are not damaged. */
  readonly bytes: number;
  readonly places: DamagedPlace[];
}

/** Collects what workers tell of chunks. */
export class DamageFinder {
  readonly #basedir: string;
  readonly #plan: RestorePlan;
  readonly #suspects = new Map<string, Suspect>();

  constructor(options: { basedir: string; plan: RestorePlan }) {
    this.#basedir = options.basedir;
    this.#plan = options.plan;
  }

  /** Takes a note. */
  add(note: Note): void {
    if (note.type === "bad-chunk") {
      const { chunkId, reason, detail } = note;
      this.#suspects.set(chunkId, { reason, detail, bytes: 0, places: [] });
    } else if (note.type === "short-chunk") {
      const chunkId = chunkIdToHex(idOfSeq(this.#plan, note.seq));
      const detail = `Cannot use chunk ${quote(chunkId)} in full: it holds ${note.bytes} bytes`;
      this.#suspects.set(chunkId, { reason: "size", detail, bytes: note.bytes, places: [] });
    }
  }

  /**
   * Finds the places of all chunks.
   *
   * @returns Those that are damaged, a short chunk only if some place needs more of it.
   * @throws {RevisionError} If a map cannot be read any more.
   */
  find(revisions: readonly { name: string; mapPath: string }[]): DamagedChunk[] {
    if (this.#suspects.size === 0) return [];
    for (const revision of revisions) this.#findIn(revision);
    return [...this.#suspects].filter(([, { places }]) => places.length > 0).map(
      ([chunkId, { reason, detail, places }]) => ({
        ...{ basedir: this.#basedir, chunkId, reason, detail, places },
      }),
    );
  }

  #findIn({ name, mapPath }: { name: string; mapPath: string }): void {
    const map = readRevisionMap(mapPath);
    for (let seq = 0; seq < map.seqCount; seq++) {
      const suspect = this.#suspects.get(chunkIdToHex(idOfSeq(map, seq)));
      if (!suspect) continue;
      const needed = bytesOfSeq(map.size, seq);
      if (needed <= suspect.bytes) continue;
      suspect.places.push({ revision: name, offset: seq * CHUNK_BYTES, length: needed });
    }
  }
}
