/**
 * Real files as chunks, for the demonstration and for measurements.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";

/** Folders from which files are taken, in this order, until there are enough. */
const SOURCES = ["/usr/bin", "/usr/lib", "/usr/share", Deno.execPath()];

/** Yields the paths of regular files below a path, as far as they may be read. */
function* walk(path: string): Generator<string> {
  let names: string[];
  try {
    const info = Deno.lstatSync(path);
    if (info.isFile) yield path;
    if (!info.isDirectory) return;
    names = [...Deno.readDirSync(path)].map((entry) => entry.name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotFound) {
      return;
    }
    throw error;
  }
  for (const name of names) yield* walk(`${path}/${name}`);
}

/**
 * Yields full chunks of real files, one behind the other as a file system would hold them. Each is
 * a new array.
 *
 * @throws {Error} If this machine has too few files.
 */
export function* realChunks(count: number): Generator<Uint8Array<ArrayBuffer>, void> {
  let chunk = new Uint8Array(CHUNK_BYTES);
  let filled = 0;
  let done = 0;
  for (const source of SOURCES) {
    for (const path of walk(source)) {
      const content = Deno.readFileSync(path);
      for (let at = 0; at < content.length;) {
        const part = content.subarray(at, at + CHUNK_BYTES - filled);
        chunk.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < CHUNK_BYTES) continue;
        yield chunk;
        if (++done === count) return;
        chunk = new Uint8Array(CHUNK_BYTES);
        filled = 0;
      }
    }
  }
  throw new Error(`Cannot make ${count} chunks: ${SOURCES.join(", ")} hold ${done} only`);
}
