/**
 * Parses the JSON of a revision map from bytes, in steps, and hands out its entries a few thousand
 * at a time.
 *
 * A map is untrusted input. It is checked entry by entry: what comes out names only chunk ids and
 * only seqs of the image, each once. Before: `json_reader.ts`; whoever needs a map or a part of it:
 * `revision_map.ts`.
 *
 * Visitors are told the image's size before the first entry, but it stands after the mapping in all
 * known maps. It is therefore looked up in the file's last bytes first (see
 * {@linkcode findTailSize} for why that cannot be fooled), or else by a pass that skips the
 * mapping, and compared with what the full parse finds.
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

/** Some entries of a mapping. Its arrays are used again for the next ones. */
export interface MapBatch {
  /** Number of entries. */
  readonly count: number;
  /** The seq of each. */
  readonly seqs: Uint32Array;
  /** The chunk id of each, 16 bytes, in the byte order of its text. */
  readonly ids: Uint8Array<ArrayBuffer>;
  /** {@linkcode ids} as words, four an id. */
  readonly words: Uint32Array<ArrayBuffer>;
}

/** Takes what a map says, in the file's order. */
export interface MapVisitor {
  /** Is told the image's size, before anything else. */
  begin(image: MappedImage): void;
  /** Takes entries. No seq comes twice. */
  take(batch: MapBatch): Steps<void> | void;
}

/** Options of {@linkcode scanMap}. */
export interface ScanOptions {
  /** Named in errors. */
  readonly path: string;
  /** Called about once a MiB with the bytes parsed and the file's length. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  /** Bytes that are read at once. */
  readonly blockBytes?: number | undefined;
}

/** Entries between two pauses: 200 KB of text, less than a millisecond. */
const BATCH_ENTRIES = 4096;

/** The shortest text of an entry, `"0":"..."` with its comma. */
const ENTRY_MIN_BYTES = CHUNK_ID_DIGITS + 7;

/**
 * Parses a map to its end.
 *
 * @returns The image's size, and the number of seqs that the mapping names.
 * @throws {RevisionError} If it is no valid map. What was handed out before is not to be used then.
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
  // Only now, as the size that was found at the end of the file may be a second one.
  if (otherSizeAt !== undefined) {
    reader.fail(`"size" is not the ${imageBytes} found before: the file changed`, otherSizeAt);
  }
  mappedCount ??= reader.fail('"mapping" is missing');
  return { ...image, mappedCount };
}

/**
 * Finds the image's size. That is quick: all of the source is read only if the size stands neither
 * at its end nor before the mapping.
 *
 * @returns In bytes.
 * @throws {RevisionError} If there is none that is valid. Other faults may go unnoticed.
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
 * Finds the size as the last member of the file.
 *
 * No text inside a string can look like it. In JSON a quote that has no backslash before it begins
 * or ends a string; the one before `size` cannot end one, for no bare `size` may follow a string;
 * so it begins the string "size", which is a key because a colon follows. The one brace after the
 * number is the file's last byte, so it closes the outermost object, and the key is that object's.
 * What is no JSON at all is refused by the full parse, which also compares the sizes.
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
  // The pass through the file finds the same number and can say where it is.
  return size <= MAX_IMAGE_BYTES ? size : undefined;
}

/**
 * Reads the outermost object.
 *
 * @param readMember Reads one member's value and says whether to go on to the next.
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
    // The separator also where no more is wanted: a number that the file's end cuts short looks
    // whole.
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

/**
 * Values of lower-case hex digits; 0x100 marks any other byte, so that one test covers many of
 * them.
 */
const NO_DIGIT = 0x100;
const hexValues = Uint16Array.from(
  { length: 256 },
  (_, byte) =>
    /[0-9a-f]/.test(String.fromCharCode(byte))
      ? Number.parseInt(String.fromCharCode(byte), 16)
      : NO_DIGIT,
);

// More than a key that can be right, which has at most 8 digits, and less than what a number holds
// exactly.
const MAX_KEY_DIGITS = 15;

/** Entries that were read, and the seqs of all before. */
class Batch implements MapBatch {
  readonly capacity: number;
  readonly seqs: Uint32Array;
  readonly ids: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array<ArrayBuffer>;
  count = 0;

  /** @param most Entries that there may be at most. */
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
  // A bit a seq: 8 MiB for the largest image, of which only what is mapped takes memory.
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
 * Reads entries until the batch is full. This is the loop that the time of a restore's start goes
 * to.
 *
 * @param to.seen A bit for each seq that stood there before.
 * @returns Whether there are more.
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
    // The hash of no bytes at all, so no chunk's; it would also read as "not mapped".
    if (anyDigit === 0) reader.fail(`the chunk id of seq ${seq} is all zeros, which no chunk has`);
    reader.position = idStart + CHUNK_ID_DIGITS + 1;
    seqs[count++] = seq;
    hasMore = reader.readSeparator(Ascii.CLOSE_BRACE);
  } while (hasMore && count < capacity);
  batch.count = count;
  return hasMore;
}

/**
 * Throws the error for a string, at whose opening quote the reader is. Its text is not shown: a
 * link may lead to a file that is no map and should not be seen.
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
