/**
 * The revision map of an image: read when it is needed, once for all who wait for it; kept while
 * the image is open or changed, and otherwise as long as there is room.
 *
 * It stands for one state of the map's file. Whether a changed file needs another image is up to
 * the image's owner, who shows each state that it sees ({@linkcode ImageMap.accept}). Used by
 * `image.ts`; `whole_map.ts` does the reading. Pure but for the reading of size and state.
 *
 * @module
 */

import type { FileState } from "../linux/file_state.ts";
import { runSteps } from "../slices.ts";
import {
  isSameMap,
  readRevisionMap,
  readRevisionSize,
  type RevisionMap,
  type StoredRevisionMap,
} from "../store/revision_map.ts";
import { quote } from "../wording.ts";
import { DataSeqs } from "./data_seqs.ts";
import type { FailureLog } from "./failure_log.ts";
import { type MapAccess, readWholeMap } from "./whole_map.ts";

/** The map's file is no longer the one that an image stands for. */
export class MapChangedError extends Error {}

/** How maps are read and kept. */
export interface MapServices extends MapAccess {
  readonly idleMaps: IdleMaps;
  readonly failures: FailureLog;
  /** Default: {@linkcode readRevisionMap}. */
  readonly readMapNow?: (path: string) => RevisionMap;
  /** Default: {@linkcode readRevisionSize}. */
  readonly readSize?: (path: string) => number;
}

/** The image of a map. */
export interface MapUser {
  /** Name of the revision. */
  readonly name: string;
  /** Whether somebody has the image open, who will read by the map. */
  readonly isOpen: boolean;
  /** Whether the image was written to: the map then says what was written over. */
  readonly hasChanges: boolean;
  /** The chunks that were written to. */
  readonly changedSeqs: Iterable<number>;
}

/** A revision map that need not be in memory. */
export class ImageMap {
  readonly #path: string;
  readonly #user: MapUser;
  readonly #services: MapServices;
  #state: FileState | null = null;
  #imageBytes: number | null = null;
  #dataBytes: number | null = null;
  #map: RevisionMap | null = null;
  #data: DataSeqs | null = null;
  #reading: Promise<RevisionMap> | null = null;

  constructor(path: string, user: MapUser, services: MapServices) {
    this.#path = path;
    this.#user = user;
    this.#services = services;
  }

  /** The map, if it is in memory. */
  get current(): RevisionMap | null {
    return this.#map;
  }

  /** Where the image's data is, if the map is in memory. */
  get data(): DataSeqs | null {
    return this.#data;
  }

  /** How many bytes of the image are data; `null` if the map was never read. */
  get knownDataBytes(): number | null {
    return this.#data?.bytes ?? this.#dataBytes;
  }

  /** Size of the image in bytes, if it is known for good. */
  get knownImageBytes(): number | null {
    return this.#imageBytes;
  }

  /** Whether {@linkcode accept} was called, and every later change of the file will be noticed. */
  get isSettled(): boolean {
    return this.#state?.isSettled ?? false;
  }

  /** Whether {@linkcode accept} was called. */
  get isKnown(): boolean {
    return this.#state !== null;
  }

  /**
   * Takes note of a state of the file.
   *
   * @returns Whether this map still stands for the file. It does so for a file that was rewritten
   *   with the same content if the image has changes.
   */
  accept(state: FileState): boolean {
    const isSame = this.#state === null || state.version === this.#state.version ||
      (this.#user.hasChanges && this.#saysTheSame());
    if (isSame) this.#state = state;
    return isSame;
  }

  /**
   * Returns the size of the image in bytes, without reading the whole map.
   *
   * @throws {RevisionError} If the map cannot be read or has no size; the next call tries again.
   */
  readImageBytes(): number {
    if (this.#imageBytes !== null) return this.#imageBytes;
    try {
      const bytes = (this.#services.readSize ?? readRevisionSize)(this.#path);
      if (this.isSettled) this.#imageBytes = bytes;
      return bytes;
    } catch (error) {
      this.#services.failures.reportRevision(this.#user.name, error);
      throw error;
    }
  }

  /**
   * Reads the map, once for all who wait for it.
   *
   * @throws {RevisionError} If it cannot be read, or is being written for too long to wait.
   * @throws {MapChangedError} If the file is no longer the one that this map stands for.
   */
  read(): Promise<RevisionMap> {
    return this.#reading ??= this.#read().finally(() => this.#reading = null);
  }

  /** Keeps the map in memory until {@linkcode letGo}. */
  keep(): void {
    this.#services.idleMaps.remove(this);
  }

  /** Allows the map to be dropped when there is no room for it. */
  letGo(): void {
    if (this.#map && !this.#user.hasChanges) {
      this.#services.idleMaps.add(this, this.#map.ids.byteLength);
    }
  }

  /** Drops the map; it is read again when it is needed. */
  drop(): void {
    this.#services.idleMaps.remove(this);
    this.#map = null;
    this.#data = null;
  }

  async #read(): Promise<RevisionMap> {
    const { failures } = this.#services;
    const { name } = this.#user;
    try {
      const map = await readWholeMap(this.#path, this.#services);
      this.#requireSame(map);
      failures.forgetRevision(name);
      this.#state = map.state;
      this.#imageBytes = map.imageBytes;
      this.#map = map;
      this.#data = new DataSeqs(map, this.#user.changedSeqs);
      this.#dataBytes = this.#data.bytes;
      // Its readers may have closed the image meanwhile.
      if (!this.#user.isOpen) this.letGo();
      return map;
    } catch (error) {
      if (!(error instanceof MapChangedError)) failures.reportRevision(name, error);
      throw error;
    }
  }

  /** Programs were told the size, and the kernel remembers content: both must be this map's. */
  #requireSame(map: StoredRevisionMap): void {
    const isSame = (this.#state === null || map.state.version === this.#state.version) &&
      (this.#imageBytes === null || map.imageBytes === this.#imageBytes);
    if (!isSame) throw new MapChangedError(`The map of ${quote(this.#user.name)} has changed`);
  }

  /** Compares a rewritten file with the map that the changes were made over. */
  #saysTheSame(): boolean {
    try {
      const { readMapNow = readRevisionMap } = this.#services;
      return this.#map !== null && runSteps(isSameMap(readMapNow(this.#path), this.#map));
    } catch {
      return false; // Half written, or gone. Reading it will tell.
    }
  }
}

type MapHolder = Pick<ImageMap, "drop">;

/**
 * The maps of images that nobody has open, bounded in bytes.
 *
 * A map costs 16 bytes a seq, 4 MiB for an image of 1 TiB, and reading it again costs milliseconds.
 * An image that was closed will often be opened again, but a program that looks at a thousand
 * revisions must not leave a thousand maps in memory.
 */
export class IdleMaps {
  readonly #maxBytes: number;
  /** Bytes of each map, the one that was closed first at the beginning. */
  readonly #holders = new Map<MapHolder, number>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Adds a map that nobody needs now. Others, and even this one, may be dropped to make room. */
  add(holder: MapHolder, bytes: number): void {
    this.remove(holder);
    this.#holders.set(holder, bytes);
    this.#bytes += bytes;
    for (const oldest of this.#holders.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.remove(oldest);
      oldest.drop();
    }
  }

  /** Removes a map that is needed again; it is not dropped. */
  remove(holder: MapHolder): void {
    this.#bytes -= this.#holders.get(holder) ?? 0;
    this.#holders.delete(holder);
  }
}
