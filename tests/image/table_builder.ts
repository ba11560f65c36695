/**
 * Builds images with partition tables, valid and invalid.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import type { ImageSource, PartitionTable } from "../../lib/image/partition_table.ts";

/** Fields of an entry of a boot record. */
export interface MbrFields {
  readonly status?: number;
  readonly type: number;
  readonly start: number;
  readonly sectors: number;
}

/** Fields of an entry of a GPT. */
export interface GptFields {
  /** The entry's number, starting with 1. */
  readonly number: number;
  readonly first: bigint;
  readonly last: bigint;
  readonly name?: string;
}

/** Fields of a GPT header that replace the right ones. */
export interface GptHeaderFields {
  readonly headerBytes?: number;
  readonly myLba?: bigint;
  readonly alternateLba?: bigint;
  readonly entriesLba?: bigint;
  readonly entryCount?: number;
  readonly entryBytes?: number;
}

/** "Linux filesystem", as text and as bytes on a disk. */
export const LINUX_GUID = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const LINUX_GUID_BYTES = Uint8Array.fromHex("af3dc60f838472478e793d69d8477de4");

/** A sparse image that counts what is read. */
export class FakeImage implements ImageSource {
  readonly bytes: number;
  readonly pieces = new Map<number, Uint8Array>();
  reads = 0;
  bytesRead = 0;

  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /** Writes before the image's end. */
  write(offset: number, content: Uint8Array): this {
    this.pieces.set(offset, content);
    return this;
  }

  read(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.bytes)) {
      throw new RangeError(`${length} bytes at ${offset} of ${this.bytes}`);
    }
    this.reads++;
    this.bytesRead += length;
    const result = new Uint8Array(length);
    for (const [at, content] of this.pieces) {
      const from = Math.max(at, offset), to = Math.min(at + content.length, offset + length);
      if (from < to) result.set(content.subarray(from - at, to - at), from - offset);
    }
    return result;
  }
}

/** A boot record with the given entries. */
export function bootRecord(...entries: (MbrFields | null)[]): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(512);
  const view = new DataView(record.buffer);
  entries.forEach((entry, i) => {
    if (entry === null) return;
    const at = 446 + i * 16;
    view.setUint8(at, entry.status ?? 0);
    view.setUint8(at + 4, entry.type);
    view.setUint32(at + 8, entry.start, true);
    view.setUint32(at + 12, entry.sectors, true);
  });
  record.set([0x55, 0xaa], 510);
  return record;
}

/** The boot record of a disk with a GPT. */
export const PROTECTIVE = bootRecord({ type: 0xee, start: 1, sectors: 0xffffffff });

/** The array of entries of a GPT. */
export function gptEntries(
  entries: readonly GptFields[],
  count = 128,
  entryBytes = 128,
): Uint8Array<ArrayBuffer> {
  const array = new Uint8Array(count * entryBytes);
  const view = new DataView(array.buffer);
  for (const { number, first, last, name = "" } of entries) {
    const at = (number - 1) * entryBytes;
    array.set(LINUX_GUID_BYTES, at);
    view.setBigUint64(at + 32, first, true);
    view.setBigUint64(at + 40, last, true);
    [...name].forEach((unit, i) => view.setUint16(at + 56 + i * 2, unit.charCodeAt(0), true));
  }
  return array;
}

/** A GPT header whose checksums are right for any fields. */
export function gptHeader(
  array: Uint8Array,
  fields: GptHeaderFields = {},
  sectorBytes = 512,
): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(sectorBytes);
  const view = new DataView(header.buffer);
  const { headerBytes = 92, entryBytes = 128 } = fields;
  new TextEncoder().encodeInto("EFI PART", header);
  view.setUint32(8, 0x10000, true);
  view.setUint32(12, headerBytes, true);
  view.setBigUint64(24, fields.myLba ?? 1n, true);
  view.setBigUint64(32, fields.alternateLba ?? 0n, true);
  view.setBigUint64(72, fields.entriesLba ?? 2n, true);
  view.setUint32(80, fields.entryCount ?? array.length / entryBytes, true);
  view.setUint32(84, entryBytes, true);
  view.setUint32(88, crc32(array), true);
  view.setUint32(16, crc32(header.subarray(0, Math.min(headerBytes, sectorBytes))), true);
  return header;
}

/** An image with both copies of a GPT. */
export function gptImage(
  bytes: number,
  entries: readonly GptFields[],
  sectorBytes = 512,
): FakeImage {
  const array = gptEntries(entries);
  const lastLba = BigInt(bytes / sectorBytes - 1);
  const entriesLba = lastLba - BigInt(array.length / sectorBytes);
  const first = { alternateLba: lastLba };
  const second = { myLba: lastLba, alternateLba: 1n, entriesLba };
  return new FakeImage(bytes)
    .write(0, PROTECTIVE)
    .write(sectorBytes, gptHeader(array, first, sectorBytes))
    .write(2 * sectorBytes, array)
    .write(Number(entriesLba) * sectorBytes, array)
    .write(bytes - sectorBytes, gptHeader(array, second, sectorBytes));
}

/** Number, offset and length of each partition. */
export function rangesOf({ partitions }: PartitionTable): number[][] {
  return partitions.map(({ number, offset, length }) => [number, offset, length]);
}
