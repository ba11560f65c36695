/**
 * The numbers and names of the store format: the only file that knows them.
 *
 * A backup directory holds revision maps (JSON), their metadata (`.rev`, YAML), the lock file
 * `.purge`, and `chunks/`, where each distinct 4 MiB piece of the images lies compressed in a file
 * named after the MurmurHash3_x64_128 of its content. This module is pure and imports nothing.
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

/** Length of a chunk id as text. */
export const CHUNK_ID_DIGITS = 2 * CHUNK_ID_BYTES;

/** Length of a chunk file's header: a marker byte, then the decoded length as u32, big-endian. */
export const CHUNK_HEADER_BYTES = 5;

/**
 * First byte of a chunk file: 0xF0 for LZO level 1, 0xF1 for the 999 level. The streams decode
 * alike.
 */
export const CHUNK_MARKERS: readonly number[] = [0xf0, 0xf1];

/**
 * Length that no chunk file exceeds: the header, and 4 MiB that LZO1X could only expand
 * (n + n/16 + 64 + 3, the bound that compressors allocate by).
 */
export const CHUNK_FILE_MAX_BYTES = CHUNK_HEADER_BYTES + CHUNK_BYTES + CHUNK_BYTES / 16 + 64 + 3;

/** Id of 4 MiB of zeros. A chunk under this name needs no reading. */
export const ZERO_CHUNK_ID = "c72b4ba82d1f51b71c8a18195ad33fc8";

/** Folder of the chunks, inside the backup directory. */
export const CHUNKS_DIR = "chunks";

/** File with the format tag, inside the backup directory. */
export const STORE_TAG_FILE = "chunks/store";

/**
 * Content of {@linkcode STORE_TAG_FILE}, but for surrounding white space. Anything else is another
 * format.
 */
export const STORE_TAG = "v2";

/** Lock file between readers and a purge, inside the backup directory. */
export const PURGE_LOCK_FILE = ".purge";

/** What a revision's metadata file has after the revision's name. */
export const METADATA_SUFFIX = ".rev";

/**
 * Size of the largest image that is taken for real: 256 TiB, four times what the largest known maps
 * describe. A map of that size needs 1 GiB of ids, so a hostile `size` can cost no more than that.
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
 * @throws {RangeError} If it is no chunk id; nothing else may become part of a path.
 */
export function chunkRelativePath(idHex: string): string {
  requireChunkId(idHex);
  return `${CHUNKS_DIR}/${idHex.slice(0, 2)}/${idHex}.chunk.lzo`;
}

/**
 * Returns the number of seqs of an image, the last of which may be partial.
 *
 * @param size The image's size in bytes.
 */
export function seqCountOf(size: number): number {
  return Math.ceil(size / CHUNK_BYTES);
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

/** The path of a name in a directory, which is kept as it was given. */
export function pathIn(dir: string, name: string): string {
  return dir.endsWith("/") ? dir + name : `${dir}/${name}`;
}

/**
 * Reads a chunk id from text.
 *
 * @returns {@linkcode CHUNK_ID_BYTES} bytes, owned by the caller.
 * @throws {RangeError} If it is no chunk id.
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
