/**
 * Writes tar archives whose bytes depend only on their content: sorted names, no owner, the same
 * time for all files. Pure.
 *
 * Format: POSIX ustar, see pax(1). Names are kept to 100 bytes, which needs no extension.
 *
 * @module
 */

const BLOCK_BYTES = 512;
const NAME_MAX_BYTES = 100;

/** A file of an archive. */
export interface TarEntry {
  /** Path in the archive, with slashes. */
  readonly name: string;
  readonly mode: number;
  readonly content: Uint8Array<ArrayBuffer>;
}

/**
 * Yields the bytes of an archive, piece by piece.
 *
 * @param entries In any order; they are sorted by name.
 * @param timeSeconds Modification time of all of them, in seconds since 1970.
 * @throws {RangeError} If a name is too long or occurs twice.
 */
export function* renderTar(
  entries: readonly TarEntry[],
  timeSeconds: number,
): Generator<Uint8Array<ArrayBuffer>, void> {
  const sorted = entries.toSorted((a, b) => a.name < b.name ? -1 : 1);
  for (const [index, entry] of sorted.entries()) {
    if (entry.name === sorted[index + 1]?.name) throw new RangeError(`Twice: ${entry.name}`);
    yield renderHeader(entry, timeSeconds);
    yield entry.content;
    yield new Uint8Array(-entry.content.length & (BLOCK_BYTES - 1));
  }
  yield new Uint8Array(2 * BLOCK_BYTES);
}

function renderHeader(entry: TarEntry, timeSeconds: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK_BYTES);
  const name = new TextEncoder().encode(entry.name);
  if (name.length > NAME_MAX_BYTES) throw new RangeError(`Name too long: ${entry.name}`);
  header.set(name);
  const put = (offset: number, text: string) => header.set(new TextEncoder().encode(text), offset);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  put(100, octal(entry.mode, 7));
  put(108, octal(0, 7)); // uid
  put(116, octal(0, 7)); // gid
  put(124, octal(entry.content.length, 11));
  put(136, octal(timeSeconds, 11));
  put(148, " ".repeat(8)); // the checksum counts as blanks
  put(156, "0"); // a regular file
  put(257, "ustar\0" + "00");
  put(265, "root\0");
  put(297, "root\0");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${octal(sum, 6)} `);
  return header;
}
