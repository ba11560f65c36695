/**
 * The numbers and names of the store format: the only file that knows them.
 *
 * A backup directory holds revision maps (JSON), their metadata (`.rev`, YAML), the lock file
 * `.purge`, and `chunks/`, where each distinct 4 MiB piece of the images lies compressed in a file
 * named after the MurmurHash3_x64_128 of its content. This file is pure and imports nothing.
 *
 * @module
 */

/**
 * Bytes of the image that one seq stands for, and of a decoded chunk (the image's last may be
 * shorter).
 */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** Length of a chunk id: a MurmurHash3_x64_128, h1 then h2, each little-endian. */
export const CHUNK_ID_BYTES = 16;

/** Length of a chunk id in u32 words. */
export const CHUNK_ID_WORDS = CHUNK_ID_BYTES / 4;

/** Length of a chunk id as text. */
export const CHUNK_ID_DIGITS = 2 * CHUNK_ID_BYTES;

/** Length of a chunk file's header: a marker byte, then the decoded length as u32, big-endian. */
export const CHUNK_HEADER_BYTES = 5;

/** One way to encode the content of chunk files: the data of a row of the codec table. */
export interface ChunkEncoding {
  /** Key of its functions in `lib/chunk/codecs.ts`. */
  readonly name: "lzo1x";
  /** What the name of a chunk file has after the chunk's id. */
  readonly suffix: string;
  /** What the first byte of a chunk file may be; the first of these is written. */
  readonly markers: readonly number[];
  /** Length in bytes that no chunk file exceeds. */
  readonly maxFileBytes: number;
}

/** The encodings of chunk files; new files get the first. CONTRIBUTING.md says how to add one. */
export const CHUNK_ENCODINGS: readonly [ChunkEncoding, ...ChunkEncoding[]] = [
  {
    name: "lzo1x",
    suffix: ".chunk.lzo",
    // 0xF0 for LZO level 1, 0xF1 for the 999 level. The streams decode alike.
    markers: [0xf0, 0xf1],
    // LZO1X expands n incompressible bytes to n + n/16 + 64 + 3 at most: the bound that compressors
    // allocate by.
    maxFileBytes: CHUNK_HEADER_BYTES + CHUNK_BYTES + CHUNK_BYTES / 16 + 64 + 3,
  },
];

/** Id of 4 MiB of zeros. A chunk of this name need not be read. */
export const ZERO_CHUNK_ID = "c72b4ba82d1f51b71c8a18195ad33fc8";

/** Folder of the chunks, inside the backup directory. */
export const CHUNKS_DIR = "chunks";

/** File with the format tag, inside the backup directory. */
export const STORE_TAG_FILE = "chunks/store";

/**
 * Content of {@linkcode STORE_TAG_FILE}, apart from white space around it. Anything else is another
 * format.
 */
export const STORE_TAG = "v2";

/** Lock file between readers and a purge, inside the backup directory. */
export const PURGE_LOCK_FILE = ".purge";

/** What the name of a metadata file has after the revision's name. */
export const METADATA_SUFFIX = ".rev";

/**
 * Size of the largest image that is accepted: 256 TiB, four times what the largest known maps
 * describe. A map of that size needs 1 GiB of ids, so a hostile `size` cannot cost more than that.
 */
export const MAX_IMAGE_BYTES = 256 * 2 ** 40;

const chunkIdPattern = /^[0-9a-f]{32}$/;

/** Tells whether a text is a chunk id: 32 lower-case hex digits and nothing else. */
export function isChunkId(text: string): boolean {
  return text.length === CHUNK_ID_DIGITS && chunkIdPattern.test(text);
}

/**
 * Names a chunk's file, relative to the backup directory: `chunks/4d/4db6….chunk.lzo`.
 *
 * @param idHex The chunk id as text.
 * @throws {RangeError} If it is not a chunk id; nothing else may become part of a path.
 */
export function chunkRelativePath(
  idHex: string,
  encoding: ChunkEncoding = CHUNK_ENCODINGS[0],
): string {
  requireChunkId(idHex);
  return `${CHUNKS_DIR}/${idHex.slice(0, 2)}/${idHex}${encoding.suffix}`;
}

/** Returns the number of seqs of an image, the last of which may be partial. */
export function seqCountOf(imageBytes: number): number {
  return Math.ceil(imageBytes / CHUNK_BYTES);
}

/** Returns how many bytes of an image lie in a seq: a full chunk, or less in the last one. */
export function bytesOfSeq(imageBytes: number, seq: number): number {
  return Math.min(CHUNK_BYTES, imageBytes - seq * CHUNK_BYTES);
}

const hexOfByte: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);

/**
 * Writes a chunk id as text.
 *
 * @param bytes Holds the id; may be a view of shared memory.
 * @param start Where in `bytes` the id's {@linkcode CHUNK_ID_BYTES} bytes start.
 * @returns 32 lower-case hex digits.
 * @throws {RangeError} If the id would reach beyond the end of `bytes`.
 */
export function chunkIdToHex(bytes: Uint8Array, start = 0): string {
  if (!(start >= 0 && start + CHUNK_ID_BYTES <= bytes.length)) {
    throw new RangeError(`Cannot take a chunk id from byte ${start} of ${bytes.length}`);
  }
  let text = "";
  for (let index = start; index < start + CHUNK_ID_BYTES; index++) {
    text += hexOfByte[bytes[index]!];
  }
  return text;
}

/**
 * Reads a chunk id from text.
 *
 * @returns {@linkcode CHUNK_ID_BYTES} bytes, owned by the caller.
 * @throws {RangeError} If it is not a chunk id.
 */
export function chunkIdFromHex(idHex: string): Uint8Array<ArrayBuffer> {
  requireChunkId(idHex);
  const bytes = new Uint8Array(CHUNK_ID_BYTES);
  for (let index = 0; index < CHUNK_ID_BYTES; index++) {
    bytes[index] = Number.parseInt(idHex.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}

function requireChunkId(text: string): void {
  if (!isChunkId(text)) {
    throw new RangeError(
      `Cannot use ${
        JSON.stringify(text.slice(0, 64))
      } as a chunk id: it is not 32 lower-case hex digits`,
    );
  }
}
