/**
 * Builds the records of a stream that `rbd import-diff` reads: Ceph's format "rbd diff v1" (Ceph's
 * documentation, "RBD Incremental Backup", doc/dev/rbd-diff.rst).
 *
 * A stream is the prologue, then records of data and of zeros, then the end. What no record covers
 * stays as it was in the receiving image, so that records must cover all that is to be restored,
 * zeros too.
 *
 * Readers want more than the format's description says: `rbd merge-diff` wants offsets to ascend
 * and no empty record; `rbd import-diff` holds all data of a record in memory, so that records
 * should be short.
 *
 * @module
 */

import type { StreamEncoding } from "./stream_writer.ts";

/** First bytes of a stream. */
const BANNER = "rbd diff v1\n";

/** First byte of a record. */
const Tag = { SIZE: 0x73, DATA: 0x77, ZEROS: 0x7a, END: 0x65 } as const; // "s", "w", "z", "e"

/** Bytes of a record's header with offset and length. */
const RANGE_RECORD_BYTES = 17;

/** The last byte of a stream. */
export const RBD_DIFF_END: Uint8Array<ArrayBuffer> = Uint8Array.of(Tag.END);

/**
 * Builds what a stream begins with: the banner and the image's size. It names no snapshots: the
 * stream is for the image itself, whatever it holds, and leaves none behind.
 *
 * @param imageBytes Size of the image, to which the receiving one will be grown or cut.
 * @throws {RangeError} If it is no size.
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
 * Builds what stands before data; the data follows.
 *
 * @param offset Byte of the image at which the data begins.
 * @param length Number of bytes that follow, > 0.
 * @throws {RangeError} If it is no range.
 */
export function rbdDataHeader(offset: number, length: number): Uint8Array<ArrayBuffer> {
  return rangeRecord(Tag.DATA, offset, length);
}

/**
 * Builds the whole record of a range of zeros.
 *
 * @param offset Byte of the image at which the zeros begin.
 * @param length Number of zeros, > 0.
 * @throws {RangeError} If it is no range.
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

/** Writes a number that is exact as little-endian 64 bits. */
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
