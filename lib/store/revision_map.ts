/**
 * Step 3 of every path: turns a revision map, JSON of up to 750 MB, into 16 bytes a seq of shared memory.
 *
 * A map is untrusted input. It is parsed from bytes, block by block, and checked entry by entry: what
 * comes out names only chunk ids and only seqs of the image. Before: `store.ts`; the chunks are then read by
 * lib/chunk.
 *
 * The ids' place is allocated before the mapping is read, so the image's size must be known by then, but it
 * stands after the mapping in all known maps. It is therefore looked up in the file's last bytes first (see
 * {@linkcode findTailSize} for why that cannot be fooled), or else by a pass that skips the mapping, and compared
 * with what the full parse finds.
 *
 * @module
 */

import { OsError, RevisionError } from "../errors.ts";
import { Ascii, type ByteSource, END, JsonReader, MAX_FILL_BYTES } from "./json_reader.ts";
import { CHUNK_ID_BYTES, CHUNK_ID_DIGITS, MAX_IMAGE_BYTES, seqCountOf } from "./layout.ts";
import { Errno } from "../ffi/errno.ts";
import { type FileState, fileState } from "../ffi/file_state.ts";
import { readMapFile } from "./map_file.ts";
import { quote } from "../wording.ts";

/** Which chunk stands at which seq of an image. Plain data: it can be posted to workers, `ids` is shared then. */
export interface RevisionMap {
  /** Size of the image in bytes. */
  readonly size: number;
  /** Number of seqs of the image. */
  readonly seqCount: number;
  /**
   * Chunk ids, 16 bytes a seq, in the byte order of their text. 16 zero bytes: the mapping does not name the
   * seq, which is all zeros then.
   */
  readonly ids: Uint8Array<SharedArrayBuffer>;
  /** Number of seqs that the mapping names. */
  readonly mappedCount: number;
}

/** A map, and the state that its file was in. */
export interface StoredRevisionMap extends RevisionMap {
  readonly state: FileState;
}

/** Options of {@linkcode readRevisionMap}. */
export interface ReadMapOptions {
  /** Called about once a MiB with the bytes parsed and the file's length. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** What parsing needs beside the bytes. */
interface ParseOptions extends ReadMapOptions {
  /** Named in errors. */
  readonly path: string;
  /** Bytes that are read at once. */
  readonly blockBytes?: number | undefined;
}

/**
 * Reads and checks a revision map. Blocks the thread while it runs (a 47 MB map, 4 TiB: about 0.1 s).
 *
 * @param path A regular file.
 * @throws {RevisionError} If the file cannot be read, changes meanwhile, or is no valid map.
 */
export function readRevisionMap(path: string, options: ReadMapOptions = {}): StoredRevisionMap {
  const parse = (source: ByteSource) => parseRevisionMap(source, { ...options, path });
  const { result, state } = readMapFile(path, parse);
  return { ...result, state };
}

/**
 * Reads no more than the image's size. That is quick: the whole file is read only if the size stands neither at its
 * end nor before the mapping. A map with other faults may go unnoticed.
 *
 * @param path A regular file.
 * @returns Size of the image in bytes.
 * @throws {RevisionError} If the file cannot be read, or no valid size is found.
 */
export function readRevisionSize(path: string): number {
  return readMapFile(path, (source) => parseRevisionSize(source, { path })).result;
}

/**
 * Tells whether a map still stands where it was read, by its file's state, and if that says nothing, by its content. A map
 * that is gone has not changed: a revision may expire while it is restored.
 */
export function isStillThere(map: StoredRevisionMap, path: string): boolean {
  let state: FileState;
  try {
    state = fileState(path);
  } catch (error) {
    return error instanceof OsError && error.errno === Errno.ENOENT;
  }
  if (state.version === map.state.version && map.state.isSettled) return true;
  try {
    return isSameMap(readRevisionMap(path), map);
  } catch (error) {
    if (error instanceof RevisionError) return false;
    throw error;
  }
}

/** Tells whether two maps stand for the same image. */
export function isSameMap(a: RevisionMap, b: RevisionMap): boolean {
  if (a.size !== b.size) return false;
  const [one, other] = [a, b].map(({ ids }) => new BigUint64Array(ids.buffer));
  return one!.every((word, index) => word === other![index]);
}

/** {@linkcode readRevisionMap} on any bytes. */
export function parseRevisionMap(source: ByteSource, options: ParseOptions): RevisionMap {
  const { onProgress } = options;
  const size = parseRevisionSize(source, options);
  const seqCount = seqCountOf(size);
  const ids = allocateIds(seqCount, options.path);

  const reader = new JsonReader(source, {
    faultAt: faultAt(options.path),
    blockBytes: options.blockBytes,
    onBlock: onProgress && ((bytesRead) => onProgress(bytesRead, source.length)),
  });
  let mappedCount: number | undefined;
  let hasSize = false;
  readMembers(reader, (key, offset) => {
    if (key === "mapping") {
      if (mappedCount !== undefined) reader.fail('"mapping" stands there twice', offset);
      mappedCount = readMapping(reader, { ids, size, seqCount });
    } else if (key === "size") {
      if (hasSize) reader.fail('"size" stands there twice', offset);
      hasSize = true;
      if (readSize(reader) !== size) {
        reader.fail(`"size" is not the ${size} found before: the file changed`, offset);
      }
    } else {
      reader.skipValue();
    }
    return true;
  });
  if (reader.skipSpace() !== END) reader.fail("something stands after the end of the JSON text");
  if (!hasSize) reader.fail('"size" is missing');
  mappedCount ??= reader.fail('"mapping" is missing');
  return { size, seqCount, ids, mappedCount };
}

/** {@linkcode readRevisionSize} on any bytes. */
export function parseRevisionSize(source: ByteSource, options: ParseOptions): number {
  const inTail = findTailSize(source);
  if (inTail !== undefined) return inTail;
  const reader = new JsonReader(source, {
    faultAt: faultAt(options.path),
    blockBytes: options.blockBytes,
  });
  let size: number | undefined;
  readMembers(reader, (key) => {
    if (key === "size") size = readSize(reader);
    else reader.skipValue();
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
 * No text inside a string can look like it. In JSON a quote that has no backslash before it begins or ends a
 * string; the one before `size` cannot end one, for no bare `size` may follow a string; so it begins the
 * string "size", which is a key because a colon follows. The one brace after the number is the file's last
 * byte, so it closes the outermost object, and the key is that object's. What is no JSON at all is refused
 * by the full parse, which also compares the sizes.
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
function readMembers(
  reader: JsonReader,
  readMember: (key: string | undefined, offset: number) => boolean,
): void {
  const first = reader.skipSpace();
  if (first === END) reader.fail("the file is empty");
  if (first !== Ascii.OPEN_BRACE) {
    reader.fail("not a chunked revision map (another backup format?)");
  }
  if (!reader.readOpening(Ascii.OPEN_BRACE, Ascii.CLOSE_BRACE)) return;
  let isMoreWanted: boolean;
  do {
    if (reader.skipSpace() !== Ascii.QUOTE) reader.failUnexpected("a quoted key");
    const { offset } = reader;
    const key = reader.readString("mapping".length);
    reader.expect(Ascii.COLON);
    isMoreWanted = readMember(key, offset);
    // The separator also where no more is wanted: a number that the file's end cuts short looks whole.
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

/** Values of lower-case hex digits; 0x100 marks any other byte, so that one test covers many of them. */
const NO_DIGIT = 0x100;
const hexValues = Uint16Array.from(
  { length: 256 },
  (_, byte) =>
    /[0-9a-f]/.test(String.fromCharCode(byte))
      ? Number.parseInt(String.fromCharCode(byte), 16)
      : NO_DIGIT,
);

// More than a key that can be right, which has at most 8 digits, and less than what a number holds exactly.
const MAX_KEY_DIGITS = 15;

/** Reads the mapping's entries into `ids`. This is the loop that the time of a restore's start goes to. */
function readMapping(
  reader: JsonReader,
  image: { ids: Uint8Array<SharedArrayBuffer>; size: number; seqCount: number },
): number {
  const { ids, seqCount } = image;
  const { buffer } = reader;
  let mappedCount = 0;
  if (!reader.readOpening(Ascii.OPEN_BRACE, Ascii.CLOSE_BRACE)) return 0;
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
      failString(reader, "a key is not a seq, a decimal number,");
    }
    if (seq >= seqCount) {
      reader.fail(
        `seq ${seq} is not before the image's end (${image.size} bytes, ${seqCount} seqs)`,
      );
    }
    reader.position = keyEnd + 1;

    reader.expect(Ascii.COLON);
    if (reader.skipSpace() !== Ascii.QUOTE) reader.failUnexpected(`a quoted chunk id (seq ${seq})`);
    reader.fill(CHUNK_ID_DIGITS + 2);
    const idStart = reader.position + 1;
    const target = seq * CHUNK_ID_BYTES;
    let anyDigit = 0;
    let anyBefore = 0;
    for (let index = 0; index < CHUNK_ID_BYTES; index++) {
      const high = hexValues[buffer[idStart + 2 * index]!]!;
      const low = hexValues[buffer[idStart + 2 * index + 1]!]!;
      anyDigit |= high | low;
      anyBefore |= ids[target + index]!;
      ids[target + index] = high << 4 | low;
    }
    if (anyDigit >= NO_DIGIT || buffer[idStart + CHUNK_ID_DIGITS] !== Ascii.QUOTE) {
      failString(reader, `the chunk id of seq ${seq} is not 32 lower-case hex digits`);
    }
    if (anyBefore !== 0) reader.fail(`seq ${seq} stands there twice`);
    // The hash of no bytes at all, so no chunk's; it would also read as "not mapped".
    if (anyDigit === 0) reader.fail(`the chunk id of seq ${seq} is all zeros, which no chunk has`);
    reader.position = idStart + CHUNK_ID_DIGITS + 1;
    mappedCount++;
  } while (reader.readSeparator(Ascii.CLOSE_BRACE));
  return mappedCount;
}

/** Throws the error for a string, at whose opening quote the reader is, with the string's start. */
function failString(reader: JsonReader, problem: string): never {
  if (!reader.fill(MAX_FILL_BYTES) && !holdsQuote(reader)) {
    reader.fail("the file ends in the middle of a string (truncated)");
  }
  const bytes = reader.buffer.subarray(reader.position + 1, reader.end).slice(0, MAX_FILL_BYTES);
  const close = bytes.indexOf(Ascii.QUOTE);
  const text = new TextDecoder("latin1").decode(close < 0 ? bytes : bytes.subarray(0, close));
  return reader.fail(`${problem} (${quote(text, 40)})`);
}

function holdsQuote(reader: JsonReader): boolean {
  return reader.buffer.subarray(reader.position + 1, reader.end).includes(Ascii.QUOTE);
}

function allocateIds(seqCount: number, path: string): Uint8Array<SharedArrayBuffer> {
  try {
    return new Uint8Array(new SharedArrayBuffer(seqCount * CHUNK_ID_BYTES));
  } catch (cause) {
    throw new RevisionError(
      `Cannot read revision map ${quote(path)}: no memory for ${seqCount} chunk ids`,
      { path },
      { cause },
    );
  }
}

function faultAt(path: string): (problem: string, offset: number) => RevisionError {
  return (problem, offset) =>
    new RevisionError(
      `Cannot read revision map ${quote(path)}: at byte ${offset}: ${problem}`,
      { path },
    );
}
