/**
 * Parses the JSON of a revision map in steps, and hands out its entries a few thousand at a time.
 *
 * A map is untrusted input, so each entry is checked: visitors get only chunk ids and only seqs of
 * the image, each once. `json_reader.ts` reads the JSON; `revision_map.ts` uses this file.
 *
 * Visitors are told the image's size before the first entry, but in all known maps it stands after
 * the mapping. So it is looked up first, in the file's last bytes (see {@linkcode findTailSize} for
 * why that cannot be fooled) or by a pass that skips the mapping, and later compared with what the
 * full parse finds.
 *
 * @module
 */

import { RevisionError } from "../errors.ts";
import type { Steps } from "../slices.ts";
import { quote } from "../wording.ts";
import { Ascii, type ByteSource, END, JsonReader, MAX_FILL_BYTES } from "./json_reader.ts";
import { CHUNK_ID_BYTES, CHUNK_ID_DIGITS, MAX_IMAGE_BYTES, seqCountOf } from "./layout.ts";

/** How large an image is, as its map states it. */
export interface MappedImage {
  readonly imageBytes: number;
  /** Number of seqs. */
  readonly seqCount: number;
}

/** Some entries of a mapping. The arrays are reused for the next batch. */
export interface MapBatch {
  /** Number of entries. */
  readonly count: number;
  /** The seq of each entry. */
  readonly seqs: Uint32Array;
  /** The chunk id of each entry, 16 bytes in the byte order of its text. */
  readonly ids: Uint8Array<ArrayBuffer>;
  /** {@linkcode ids} as words, four per id. */
  readonly words: Uint32Array<ArrayBuffer>;
}

/** Receives the content of a map in the file's order. */
export interface MapVisitor {
  /** Receives the image's size, before the entries. */
  begin(image: MappedImage): void;
  /** Receives entries. No seq comes twice. */
  take(batch: MapBatch): Steps<void> | void;
}

/** Options of {@linkcode scanMap}. */
export interface ScanOptions {
  /** Named in errors. */
  readonly path: string;
  /** Called about once per MiB with the bytes parsed and the file's length. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  /** Bytes to read at once. */
  readonly blockBytes?: number | undefined;
}

/** Entries per step: 200 KB of text, less than a millisecond. */
const BATCH_ENTRIES = 4096;

/** Length of the shortest entry, `"0":"..."` with its comma. */
const ENTRY_MIN_BYTES = CHUNK_ID_DIGITS + 7;

/**
 * Parses a map to its end.
 *
 * @returns The image's size, and the number of seqs that the mapping names.
 * @throws {RevisionError} If it is not a valid map. What was handed out before must not be used
 *   then.
 */
export function* scanMap(
  source: ByteSource,
  visitor: MapVisitor,
  options: ScanOptions,
): Steps<MappedImage & { mappedCount: number }> {
  const { onProgress } = options;
  const imageBytes = yield* findSize(source, options);
  const image = { imageBytes, seqCount: seqCountOf(imageBytes) };
  visitor.begin(image);
  const reader = new JsonReader(source, {
    faultAt: faultAt(options.path),
    blockBytes: options.blockBytes,
    onBlock: onProgress && ((bytesRead) => onProgress(bytesRead, source.length)),
  });
  let mappedCount: number | undefined;
  let hasSize = false;
  let otherSizeAt: number | undefined;
  yield* readMembers(reader, function* (key, offset) {
    if (key === "mapping") {
      if (mappedCount !== undefined) reader.fail('"mapping" appears twice', offset);
      const batch = new Batch(Math.ceil(source.length / ENTRY_MIN_BYTES));
      mappedCount = yield* readMapping(reader, visitor, { image, batch });
    } else if (key === "size") {
      if (hasSize) reader.fail('"size" appears twice', offset);
      hasSize = true;
      if (readSize(reader) !== imageBytes) otherSizeAt = offset;
    } else {
      yield* reader.skipValue();
    }
    return true;
  });
  if (reader.skipSpace() !== END) reader.fail("there is more after the end of the JSON text");
  if (!hasSize) reader.fail('"size" is missing');
  // Checked last, because the size at the end of the file may be a second one.
  if (otherSizeAt !== undefined) {
    reader.fail(`"size" is not the ${imageBytes} found before: the file changed`, otherSizeAt);
  }
  mappedCount ??= reader.fail('"mapping" is missing');
  return { ...image, mappedCount };
}

/**
 * Finds the image's size. This is quick: the whole source is read only if the size is neither at
 * its end nor before the mapping.
 *
 * @returns The size in bytes.
 * @throws {RevisionError} If there is no valid size. Other faults may go unnoticed.
 */
export function* findSize(
  source: ByteSource,
  options: Pick<ScanOptions, "path" | "blockBytes">,
): Steps<number> {
  const inTail = findTailSize(source);
  if (inTail !== undefined) return inTail;
  const reader = new JsonReader(source, {
    faultAt: faultAt(options.path),
    blockBytes: options.blockBytes,
  });
  let size: number | undefined;
  yield* readMembers(reader, function* (key) {
    if (key === "size") size = readSize(reader);
    else yield* reader.skipValue();
    return size === undefined;
  });
  return size ?? reader.fail('"size" is missing');
}

const TAIL_BYTES = 4096;
const tailSizePattern =
  /[{,][ \t\n\r]*"size"[ \t\n\r]*:[ \t\n\r]*(0|[1-9][0-9]{0,14})[ \t\n\r]*\}[ \t\n\r]*$/;

/**
 * Finds the size if it is the last member of the file; `undefined` otherwise.
 *
 * Text inside a string cannot match. In JSON, a quote without a backslash before it starts or ends
 * a string. The quote before `size` cannot end one, because a bare `size` may not follow a string.
 * So it starts the string "size", which is a key because a colon follows. The brace after the
 * number is the file's last byte, so it closes the outermost object, to which the key belongs. A
 * file that is not JSON is refused by the full parse, which also compares the sizes.
 */
function findTailSize(source: ByteSource): number | undefined {
  const start = Math.max(0, source.length - TAIL_BYTES);
  const tail = new Uint8Array(source.length - start);
  let count = 0;
  while (count < tail.length) {
    const read = source.readAt(tail.subarray(count), start + count);
    if (read === 0) return undefined;
    count += read;
  }
  const match = tailSizePattern.exec(new TextDecoder("latin1").decode(tail));
  const size = Number(match?.[1] ?? Infinity);
  // If it is too large, the pass through the file will find it again and can say where it is.
  return size <= MAX_IMAGE_BYTES ? size : undefined;
}

/**
 * Reads the outermost object.
 *
 * @param readMember Reads the value of one member and returns whether to continue with the next.
 */
function* readMembers(
  reader: JsonReader,
  readMember: (key: string | undefined, offset: number) => Steps<boolean>,
): Steps<void> {
  const first = reader.skipSpace();
  if (first === END) reader.fail("the file is empty");
  if (first !== Ascii.OPEN_BRACE) {
    reader.fail("not a chunked revision map (another backup format?)");
  }
  if (!reader.readOpening(Ascii.OPEN_BRACE, Ascii.CLOSE_BRACE)) return;
  let isMoreWanted: boolean;
  do {
    yield;
    reader.beginStep();
    if (reader.skipSpace() !== Ascii.QUOTE) reader.failUnexpected("a quoted key");
    const { offset } = reader;
    const key = reader.readString("mapping".length);
    reader.expect(Ascii.COLON);
    isMoreWanted = yield* readMember(key, offset);
    // Read the separator even if no more is wanted: a number cut short by the end of the file looks
    // complete.
  } while (reader.readSeparator(Ascii.CLOSE_BRACE) && isMoreWanted);
}

function readSize(reader: JsonReader): number {
  const first = reader.skipSpace();
  const { offset } = reader;
  if (first !== Ascii.MINUS && !(first >= Ascii.ZERO && first <= Ascii.NINE)) {
    reader.failUnexpected("the image's size, a number,");
  }
  const text = reader.readNumber();
  if (!/^[0-9]+$/.test(text)) {
    reader.fail(`the image's size is not a whole number of bytes (${quote(text)})`, offset);
  }
  const size = Number(text);
  if (text.length > 15 || size > MAX_IMAGE_BYTES) {
    reader.fail(`the image's size ${text} is beyond what is supported (256 TiB)`, offset);
  }
  return size;
}

/** Marks bytes that are not lower-case hex digits, so that one test covers many bytes. */
const NO_DIGIT = 0x100;

/** Values of lower-case hex digits, {@linkcode NO_DIGIT} for other bytes. */
const hexValues = Uint16Array.from(
  { length: 256 },
  (_, byte) =>
    /[0-9a-f]/.test(String.fromCharCode(byte))
      ? Number.parseInt(String.fromCharCode(byte), 16)
      : NO_DIGIT,
);

// More digits than a valid key, which has at most 8, and few enough for a number to be exact.
const MAX_KEY_DIGITS = 15;

/** A batch whose arrays are allocated once. */
class Batch implements MapBatch {
  readonly capacity: number;
  readonly seqs: Uint32Array;
  readonly ids: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
  count = 0;

  /** @param most Upper bound for the number of entries in the map. */
  constructor(most: number) {
    this.capacity = Math.max(1, Math.min(BATCH_ENTRIES, most));
    this.seqs = new Uint32Array(this.capacity);
    this.ids = new Uint8Array(this.capacity * CHUNK_ID_BYTES);
    this.words = new Uint32Array(this.ids.buffer);
  }
}

/** Reads the mapping. @returns The number of its entries. */
function* readMapping(
  reader: JsonReader,
  visitor: MapVisitor,
  { image, batch }: { image: MappedImage; batch: Batch },
): Steps<number> {
  if (!reader.readOpening(Ascii.OPEN_BRACE, Ascii.CLOSE_BRACE)) return 0;
  // One bit per seq: 8 MiB for the largest image, but only pages that are used take memory.
  const seen = new Uint32Array(Math.ceil(image.seqCount / 32));
  let mappedCount = 0;
  let hasMore: boolean;
  do {
    hasMore = readEntries(reader, image, { batch, seen });
    mappedCount += batch.count;
    const taking = visitor.take(batch);
    if (taking) yield* taking;
    yield;
    reader.beginStep();
  } while (hasMore);
  return mappedCount;
}

/**
 * Reads entries until the batch is full. The start of a restore spends its time in this loop.
 *
 * @param to.seen One bit per seq, set once the seq was read.
 * @returns Whether there are more entries.
 */
function readEntries(
  reader: JsonReader,
  image: MappedImage,
  to: { batch: Batch; seen: Uint32Array },
): boolean {
  const { batch, seen } = to;
  const { seqs, ids, capacity } = batch;
  const { seqCount } = image;
  const { buffer } = reader;
  let count = 0;
  let hasMore: boolean;
  do {
    if (reader.skipSpace() !== Ascii.QUOTE) reader.failUnexpected("a quoted seq");
    reader.fill(MAX_KEY_DIGITS + 2);
    const keyStart = reader.position + 1;
    let keyEnd = keyStart;
    let seq = 0;
    for (; keyEnd < keyStart + MAX_KEY_DIGITS; keyEnd++) {
      const digit = buffer[keyEnd]! - Ascii.ZERO;
      if (digit < 0 || digit > 9) break;
      seq = seq * 10 + digit;
    }
    const hasLeadingZero = buffer[keyStart] === Ascii.ZERO && keyEnd > keyStart + 1;
    if (buffer[keyEnd] !== Ascii.QUOTE || keyEnd === keyStart || hasLeadingZero) {
      failString(reader, "a key is not a seq, a decimal number");
    }
    if (seq >= seqCount) {
      reader.fail(
        `seq ${seq} is not before the image's end (${image.imageBytes} bytes, ${seqCount} seqs)`,
      );
    }
    reader.position = keyEnd + 1;

    reader.expect(Ascii.COLON);
    if (reader.skipSpace() !== Ascii.QUOTE) reader.failUnexpected(`a quoted chunk id (seq ${seq})`);
    reader.fill(CHUNK_ID_DIGITS + 2);
    const idStart = reader.position + 1;
    const target = count * CHUNK_ID_BYTES;
    let anyDigit = 0;
    for (let index = 0; index < CHUNK_ID_BYTES; index++) {
      const high = hexValues[buffer[idStart + 2 * index]!]!;
      const low = hexValues[buffer[idStart + 2 * index + 1]!]!;
      anyDigit |= high | low;
      ids[target + index] = high << 4 | low;
    }
    if (anyDigit >= NO_DIGIT || buffer[idStart + CHUNK_ID_DIGITS] !== Ascii.QUOTE) {
      failString(reader, `the chunk id of seq ${seq} is not 32 lower-case hex digits`);
    }
    const bit = 1 << (seq & 31);
    if ((seen[seq >>> 5]! & bit) !== 0) reader.fail(`seq ${seq} appears twice`);
    seen[seq >>> 5]! |= bit;
    // The hash of an empty text, so of no chunk. It would also mean "not mapped".
    if (anyDigit === 0) reader.fail(`the chunk id of seq ${seq} is all zeros, which no chunk has`);
    reader.position = idStart + CHUNK_ID_DIGITS + 1;
    seqs[count++] = seq;
    hasMore = reader.readSeparator(Ascii.CLOSE_BRACE);
  } while (hasMore && count < capacity);
  batch.count = count;
  return hasMore;
}

/**
 * Throws the error for the string at whose opening quote the reader is. The text is not shown: a
 * link may lead to a file that is not a map and must not be seen.
 */
function failString(reader: JsonReader, problem: string): never {
  if (!reader.fill(MAX_FILL_BYTES) && !holdsQuote(reader)) {
    reader.fail("the file ends in the middle of a string (truncated)");
  }
  return reader.fail(problem);
}

function holdsQuote(reader: JsonReader): boolean {
  return reader.buffer.subarray(reader.position + 1, reader.end).includes(Ascii.QUOTE);
}

function faultAt(path: string): (problem: string, offset: number) => RevisionError {
  return (problem, offset) =>
    new RevisionError(
      `Cannot read revision map ${quote(path)}: at byte ${offset}: ${problem}`,
      { path },
    );
}
