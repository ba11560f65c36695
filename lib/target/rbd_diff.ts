/**
 * The stream format that `rbd import-diff` reads: "rbd diff v1" (Ceph's documentation, "RBD
 * Incremental Backup", doc/dev/rbd-diff.rst).
 *
 * A stream is a prologue, then records of data and of zeros, then an end mark. The receiving image
 * keeps whatever no record covers, so records must cover everything that is to be restored, zeros
 * too.
 *
 * Readers expect more than the documentation says: `rbd merge-diff` wants ascending offsets and no
 * empty records; `rbd import-diff` holds all data of a record in memory, so records should be
 * short.
 *
 * @module
 */

import type { StreamEncoding } from "./stream_writer.ts";

/** The first bytes of a stream. */
const BANNER = "rbd diff v1\n";

/** The first byte of a record. */
const Tag = { SIZE: 0x73, DATA: 0x77, ZEROS: 0x7a, END: 0x65 } as const; // "s", "w", "z", "e"

/** Length of a record's header with offset and length. */
const RANGE_RECORD_BYTES = 17;

/** The last byte of a stream. */
export const RBD_DIFF_END: Uint8Array<ArrayBuffer> = Uint8Array.of(Tag.END);

/**
 * Builds the beginning of a stream: the banner and the image's size. It names no snapshots, so the
 * stream can be imported whatever the receiving image holds, and leaves no snapshot behind.
 *
 * @param imageBytes Size of the image; the receiving image is resized to it.
 * @throws {RangeError} If it is not a size.
 */
export function rbdDiffPrologue(imageBytes: number): Uint8Array<ArrayBuffer> {
  if (!(Number.isSafeInteger(imageBytes) && imageBytes >= 0)) {
    throw new RangeError(`Cannot describe an image of ${imageBytes} bytes: not a size`);
  }
  const prologue = new Uint8Array(BANNER.length + 9);
  new TextEncoder().encodeInto(BANNER, prologue);
  prologue[BANNER.length] = Tag.SIZE;
  writeUint64(prologue, BANNER.length + 1, imageBytes);
  return prologue;
}

/**
 * Builds the header of a data record; the data follows.
 *
 * @param offset First byte of the image.
 * @param length Number of bytes that follow, > 0.
 * @throws {RangeError} If that is not a range.
 */
export function rbdDataHeader(offset: number, length: number): Uint8Array<ArrayBuffer> {
  return rangeRecord(Tag.DATA, offset, length);
}

/**
 * Builds the whole record of a range of zeros.
 *
 * @param offset First byte of the image.
 * @param length Number of zeros, > 0.
 * @throws {RangeError} If that is not a range.
 */
export function rbdZeroRecord(offset: number, length: number): Uint8Array<ArrayBuffer> {
  return rangeRecord(Tag.ZEROS, offset, length);
}

function rangeRecord(tag: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) &&
    Number.isSafeInteger(offset + length) && offset >= 0 && length > 0;
  if (!isRange) {
    throw new RangeError(`Cannot describe ${length} bytes at ${offset}: not a range`);
  }
  const record = new Uint8Array(RANGE_RECORD_BYTES);
  record[0] = tag;
  writeUint64(record, 1, offset);
  writeUint64(record, 9, length);
  return record;
}

/** Writes a safe integer as little-endian 64 bits. */
function writeUint64(bytes: Uint8Array<ArrayBuffer>, at: number, value: number): void {
  const view = new DataView(bytes.buffer);
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** The format as a row of `stream_format.ts`. */
export const RBD_DIFF: StreamEncoding = {
  hasRecords: true,
  head: rbdDiffPrologue,
  tail: RBD_DIFF_END,
  writeData(writer, bytes, offset) {
    writer.write(rbdDataHeader(offset, bytes.length));
    writer.write(bytes);
  },
  writeZeros: (writer, offset, length) => writer.write(rbdZeroRecord(offset, length)),
};
