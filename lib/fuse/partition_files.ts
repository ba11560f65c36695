/**
 * The partitions of a revision as files, `REV.parts/1` and so on. The partition table is read when
 * somebody looks into the directory, and again when the image was written to since: a table that
 * was changed through the mount counts, and a changed partition is another file. Whoever has the
 * old one open keeps its bytes. Used by `tree.ts`. Pure.
 *
 * @module
 */

import { withDeferredReads } from "../image/deferred_reads.ts";
import {
  describeDoubt,
  lookForTable,
  type Partition,
  type PartitionTable,
} from "../image/partition_table.ts";
import type { Image } from "../image_access/image.ts";
import { joined } from "../image_access/read_bytes.ts";
import { quote } from "../wording.ts";
import { derivedIno, Slot } from "./inodes.ts";
import { View } from "./views.ts";

/** A partition that can be read. */
export interface PartitionFile {
  readonly partition: Partition;
  readonly view: View;
  /** Bytes in chunks with data, as far as known; changes with writes. */
  dataBytes: number;
}

/** What a directory of partitions holds. */
export interface PartitionListing {
  /** `null` if there is none that can be used. */
  readonly table: PartitionTable | null;
  /** By name, ascending by number. */
  readonly files: ReadonlyMap<string, PartitionFile>;
}

/** The partitions of one state of a revision. */
export class PartitionFiles {
  readonly #revisionIno: number;
  readonly #image: Image;
  readonly #onWarning: (text: string) => void;
  /** All that there ever were, in the order of their inode numbers. */
  readonly #all: PartitionFile[] = [];
  /** Where each is in {@linkcode #all}. */
  readonly #indices = new Map<string, number>();
  readonly #warned = new Set<string>();
  #listing: PartitionListing | null = null;
  #readAtWrite = -1;
  #reading: Promise<PartitionListing> | null = null;

  /** @param options.onWarning Gets what is wrong with a table, in one line, once. */
  constructor(options: {
    revisionIno: number;
    image: Image;
    onWarning: (text: string) => void;
  }) {
    this.#revisionIno = options.revisionIno;
    this.#image = options.image;
    this.#onWarning = options.onWarning;
  }

  /** Returns the file of a slot of inode numbers, whether it is still listed or not. */
  at(slot: number): PartitionFile | null {
    return this.#all[slot - Slot.FIRST_PARTITION] ?? null;
  }

  /** Whether a file is one of those that were listed last. */
  isListed(file: PartitionFile): boolean {
    return this.#listing?.files.get(nameOf(file.partition)) === file;
  }

  /**
   * Returns the partitions there are now.
   *
   * @throws {RevisionError | MapChangedError} If the map cannot be read, or has changed.
   * @throws {ChunkMissingError | ChunkCorruptError} If a chunk with a part of the table is bad.
   */
  read(): PartitionListing | Promise<PartitionListing> {
    const isRead = this.#listing && this.#readAtWrite === this.#image.writeCount;
    return isRead ? this.#listing! : this.#reading ??= this.#read().finally(() => {
      this.#reading = null;
    });
  }

  async #read(): Promise<PartitionListing> {
    const image = this.#image;
    const opened = await image.open();
    try {
      const { writeCount } = image;
      const source = {
        bytes: image.size,
        read: async (offset: number, length: number) => joined(await image.read(offset, length)),
      };
      const { table, fault } = await withDeferredReads(source, lookForTable);
      this.#warn(table, fault);
      const partitions = table?.partitions ?? [];
      const files = partitions
        .filter(({ fault, role }) => fault === null && role !== "extended")
        .map((partition) => [nameOf(partition), this.#fileOf(partition)] as const);
      this.#readAtWrite = writeCount;
      return this.#listing = { table, files: new Map(files) };
    } finally {
      opened.close();
    }
  }

  /** Returns the file of a partition: the same as before if it shows the same bytes. */
  #fileOf(partition: Partition): PartitionFile {
    const { number, offset, length } = partition;
    const key = `${number} ${offset} ${length}`;
    const index = this.#indices.get(key) ?? this.#all.length;
    this.#indices.set(key, index);
    const view = this.#all[index]?.view ??
      new View(derivedIno(this.#revisionIno, Slot.FIRST_PARTITION + index), offset, length);
    const dataBytes = this.#image.dataBytesIn(offset, length) ?? length;
    // Its type or name may be another now.
    return this.#all[index] = { partition, view, dataBytes };
  }

  #warn(table: PartitionTable | null, fault: string | null): void {
    const complaints = [
      ...fault === null ? [] : [`no partitions are shown: ${fault}`],
      ...table?.warnings ?? [],
      ...(table?.partitions ?? [])
        .filter(({ fault }) => fault !== null)
        .map(({ number, fault }) => `partition ${number} is not shown: ${fault}`),
      ...table?.doubt ? [describeDoubt(table)] : [],
    ];
    if (complaints.length === 0) return;
    const shown = complaints.slice(0, MAX_COMPLAINTS);
    if (complaints.length > shown.length) shown.push("and so on");
    const text = `partition table of revision ${quote(this.#image.name)}: ${shown.join("; ")}`;
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#onWarning(text);
  }
}

/** A table may have thousands of bad entries. */
const MAX_COMPLAINTS = 4;

function nameOf({ number }: Partition): string {
  return String(number);
}
