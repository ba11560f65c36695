/**
 * Real data for round trips: slices of the Deno executable (code, tables, text) and the sources of
 * the codec.
 *
 * @module
 */

/** Reads `length` bytes at some offset of the Deno executable. */
export function executableSlice(offset: number, length: number): Uint8Array<ArrayBuffer> {
  using file = Deno.openSync(Deno.execPath());
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const count = file.readSync(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/** Text: the sources of the codec and of its tests, concatenated. */
export function sourceTexts(): Uint8Array<ArrayBuffer> {
  const folders = ["../../wasm/assembly/", "./"].map((path) => new URL(path, import.meta.url));
  const texts = folders.flatMap((folder) =>
    [...Deno.readDirSync(folder)]
      .filter(({ name }) => name.endsWith(".ts"))
      .map(({ name }) => name)
      .sort()
      .map((name) => Deno.readTextFileSync(new URL(name, folder)))
  );
  return new TextEncoder().encode(texts.join("\n"));
}

/** Slices of `length` bytes from all over the executable. */
export function executableSlices(length: number, count: number): Uint8Array<ArrayBuffer>[] {
  const { size } = Deno.statSync(Deno.execPath());
  const stride = Math.max(1, Math.floor((size - length) / count));
  return Array.from({ length: count }, (_, i) => executableSlice(i * stride, length));
}
