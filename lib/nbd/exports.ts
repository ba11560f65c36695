/**
 * What can be had from the server: revisions and their partitions, by name.
 *
 * An export's name is a revision's uuid or spec ("last"), and may have a partition's number behind
 * a slash ("last/1"). The empty name, which clients use that were given none, means the revision
 * that the server was started with, or the last one.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { withDeferredReads } from "../image/deferred_reads.ts";
import { describeDoubt, findPartition, readPartitionTable } from "../image/partition_table.ts";
import type { Image, OpenImage } from "../image_access/image.ts";
import type { ImageAccess } from "../image_access/image_access.ts";
import { joined, type ReadBytes } from "../image_access/read_bytes.ts";
import { readCatalog } from "../store/catalog.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import { selectRevision } from "../store/select_revision.ts";
import { fileState } from "../linux/file_state.ts";
import { quote } from "../wording.ts";

/** The longest list of names: clients read no more. */
export const LIST_MAX = 10_000;

/** An export that is open for one client. */
export interface Export {
  /** The name by which it is always found: uuid, or uuid and partition. */
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  readonly isWritable: boolean;
  /** Reads bytes within the size, as `Image.read` does. */
  read(offset: number, length: number): ReadBytes | Promise<ReadBytes>;
  /** Overwrites bytes within the size, as `Image.write` does. */
  write(offset: number, data: Uint8Array): void | Promise<void>;
  /**
   * Finds the first offset from `offset` on at which there is data or a hole; the size if there is
   * none.
   */
  seek(offset: number, wanted: "data" | "hole"): number;
  /** Returns the first offset behind `offset` at which another chunk begins. */
  chunkEnd(offset: number): number;
  /** To be called once. */
  close(): void;
}

/** Where exports come from. */
export interface Exports {
  /** The names to choose from; others may be understood as well. */
  list(): Promise<readonly string[]>;
  /**
   * @throws {RevisionError} If there is no such revision, or its map cannot be read.
   * @throws {UsageError} If the name is not understood, or there is no such partition.
   */
  open(name: string): Promise<Export>;
}

/** What is exported. */
export interface ExportOptions {
  readonly basedir: string;
  /** The one revision that is exported; default: all, and "last" without a name. */
  readonly spec?: string | undefined;
  readonly isWritable: boolean;
  /** Gets one line about a revision that is doubtful. */
  readonly onWarning: (text: string) => void;
}

/** An image that clients have open, or have changed. */
interface SharedImage {
  readonly image: Image;
  users: number;
}

/** A backup directory's revisions as exports. */
export class RevisionExports implements Exports {
  readonly #images: ImageAccess;
  readonly #options: ExportOptions;
  /** The images that are open or changed, by uuid: clients share them. */
  readonly #open = new Map<string, SharedImage>();
  /** Warnings that were given: each client would cause them anew. */
  readonly #warned = new Set<string>();

  constructor(images: ImageAccess, options: ExportOptions) {
    this.#images = images;
    this.#options = options;
  }

  async list(): Promise<readonly string[]> {
    const { basedir, spec } = this.#options;
    if (spec !== undefined) {
      const { name } = await selectRevision(basedir, { spec });
      return [name, ...(await this.#partitionsOf(name)).map((number) => `${name}/${number}`)];
    }
    const { revisions } = readCatalog(basedir);
    // The newest first, as that is what most people want.
    return revisions
      .filter(({ hasMap, isLocal, isChunked }) => hasMap && isLocal && isChunked)
      .map(({ name }) => name)
      .reverse()
      .slice(0, LIST_MAX);
  }

  async open(name: string): Promise<Export> {
    const { spec, partition } = parseName(name);
    const shared = this.#share(await this.#select(spec));
    let open: OpenImage;
    try {
      open = await shared.image.open();
    } catch (error) {
      this.#letGo(shared);
      throw error;
    }
    try {
      const part = partition === null ? null : await this.#findPart(open, partition);
      const { isWritable } = this.#options;
      return new RevisionExport(open, { part, isWritable, onClose: () => this.#letGo(shared) });
    } catch (error) {
      open.close();
      this.#letGo(shared);
      throw error;
    }
  }

  /** Finds a revision. With one that is exported alone, its names are the only ones. */
  async #select(spec: string): Promise<{ name: string; mapPath: string }> {
    const { basedir, spec: only } = this.#options;
    const { warnings, ...found } = await selectRevision(basedir, { spec: spec || only || "last" });
    if (only !== undefined && spec !== "" && spec !== only) {
      const { name } = await selectRevision(basedir, { spec: only });
      if (name !== found.name) {
        throw new UsageError(`Cannot export ${quote(spec)}: only ${quote(name)} is exported`);
      }
    }
    this.#warnOnce(warnings);
    return found;
  }

  async #findPart(open: OpenImage, number: number): Promise<Part> {
    const { name, size: bytes } = open.image;
    const table = await withDeferredReads({ bytes, read: readerOf(open) }, readPartitionTable);
    const { offset, length } = findPartition(table, number);
    const doubts = table.doubt === null ? [] : [describeDoubt(table)];
    this.#warnOnce(
      [...table.warnings, ...doubts].map((text) =>
        `partition table of revision ${quote(name)}: ${text}`
      ),
    );
    return { number, offset, length };
  }

  #warnOnce(warnings: readonly string[]): void {
    for (const text of warnings) {
      if (this.#warned.has(text)) continue;
      this.#warned.add(text);
      this.#options.onWarning(text);
    }
  }

  /** Returns a revision's image, and counts the caller as one of its users. */
  #share(found: { name: string; mapPath: string }): SharedImage {
    const { name, mapPath } = found;
    let shared = this.#open.get(name);
    // A backup that was running when the image was opened has gone on.
    if (shared && hasChanged(shared.image, mapPath)) {
      if (shared.image.hasChanges) this.#images.failures.reportReplaced(name);
      shared.image.retire();
      shared = undefined;
    }
    if (!shared) {
      shared = { image: this.#images.image(found), users: 0 };
      this.#open.set(name, shared);
    }
    shared.users++;
    return shared;
  }

  /** An image that was not changed is read anew for the next client. */
  #letGo(shared: SharedImage): void {
    const { image } = shared;
    shared.users--;
    const isCurrent = this.#open.get(image.name) === shared;
    if (!isCurrent || shared.users > 0 || image.hasChanges) return;
    this.#open.delete(image.name);
    image.retire();
  }

  async #partitionsOf(name: string): Promise<readonly number[]> {
    const whole = await this.open(name);
    try {
      const source = { bytes: whole.size, read: readerOf(whole) };
      const table = await withDeferredReads(source, readPartitionTable);
      return table.partitions.filter(({ fault }) => fault === null).map(({ number }) => number);
    } catch (error) {
      if (error instanceof UsageError) return [];
      throw error;
    } finally {
      whole.close();
    }
  }
}

/** Whether a map's file is no longer the one by which the image is read. */
function hasChanged({ map }: Image, mapPath: string): boolean {
  if (!map.isKnown) return false;
  try {
    return !map.accept(fileState(mapPath));
  } catch {
    return false; // It is gone, but what was read of it is as good as it was.
  }
}

/** @throws {UsageError} If a partition's number is none. */
function parseName(name: string): { spec: string; partition: number | null } {
  const [, spec = "", digits] = /^(.*?)(?:\/([^/]*))?$/s.exec(name)!;
  if (digits === undefined) return { spec, partition: null };
  if (!/^[1-9][0-9]{0,5}$/.test(digits)) {
    throw new UsageError(
      `Cannot export ${quote(name)}: behind the slash must be a partition's number`,
    );
  }
  return { spec, partition: Number(digits) };
}

/** Bytes of an image that are an export of their own. */
interface Part {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
}

function readerOf(
  from: Pick<Export, "read">,
): (offset: number, length: number) => Promise<Uint8Array<ArrayBuffer>> {
  return async (offset, length) => joined(await from.read(offset, length));
}

class RevisionExport implements Export {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly isWritable: boolean;
  readonly #image: OpenImage;
  readonly #start: number;
  readonly #onClose: () => void;

  constructor(
    image: OpenImage,
    options: { part: Part | null; isWritable: boolean; onClose: () => void },
  ) {
    const { part, isWritable, onClose } = options;
    const { name, size } = image.image;
    this.name = part ? `${name}/${part.number}` : name;
    this.description = part ? `partition ${part.number} of revision ${name}` : `revision ${name}`;
    this.size = part?.length ?? size;
    this.isWritable = isWritable;
    this.#image = image;
    this.#start = part?.offset ?? 0;
    this.#onClose = onClose;
  }

  read(offset: number, length: number): ReadBytes | Promise<ReadBytes> {
    return this.#image.read(this.#start + offset, length);
  }

  write(offset: number, data: Uint8Array): void | Promise<void> {
    return this.#image.image.write(this.#start + offset, data);
  }

  seek(offset: number, wanted: "data" | "hole"): number {
    const found = this.#image.image.seek(this.#start + offset, wanted);
    return found === null ? this.size : Math.min(this.size, found - this.#start);
  }

  chunkEnd(offset: number): number {
    return offset + CHUNK_BYTES - (this.#start + offset) % CHUNK_BYTES;
  }

  close(): void {
    this.#image.close();
    this.#onClose();
  }
}
