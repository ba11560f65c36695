/**
 * Keeps the revision maps of images that nobody has open, as far as there is room. Pure.
 *
 * A map costs 16 bytes a seq, 4 MiB for an image of 1 TiB, and reading it again costs milliseconds.
 * An image that is open keeps its map; one that was closed will often be opened again, but a
 * program that looks at a thousand revisions must not make a thousand maps stay.
 *
 * @module
 */

/** Somebody with a map to lose. */
export interface MapHolder {
  /** Lets go of the map; it will be read again when it is needed. */
  dropMap(): void;
}

/** The images that are closed and still have their maps. */
export class IdleMaps {
  readonly #maxBytes: number;
  /** Bytes of each map, the one that was closed first at the beginning. */
  readonly #holders = new Map<MapHolder, number>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes in a map that nobody needs now. Others, and even this one, may be dropped for it. */
  add(holder: MapHolder, bytes: number): void {
    this.remove(holder);
    this.#holders.set(holder, bytes);
    this.#bytes += bytes;
    for (const oldest of this.#holders.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.remove(oldest);
      oldest.dropMap();
    }
  }

  /** Gives a map back to its holder, who needs it again. */
  remove(holder: MapHolder): void {
    this.#bytes -= this.#holders.get(holder) ?? 0;
    this.#holders.delete(holder);
  }
}
