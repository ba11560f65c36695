/**
 * The LZO library of the machine, where it has one: a black box that the codec is compared with.
 *
 * @module
 */

const symbols = {
  lzo1x_decompress_safe: {
    parameters: ["buffer", "usize", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  lzo1x_1_compress: {
    parameters: ["buffer", "usize", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  lzo1x_999_compress: {
    parameters: ["buffer", "usize", "buffer", "buffer", "buffer"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Compress = "lzo1x_1_compress" | "lzo1x_999_compress";

/** LZO1X_999_MEM_COMPRESS of lzo1x.h, the greater of the two compressors' needs. */
const WORK_BYTES = 14 * 16384 * 2;

/** The library, opened. */
export class Liblzo2 {
  readonly #library: Deno.DynamicLibrary<typeof symbols>;
  readonly #work = new Uint8Array(WORK_BYTES);
  readonly #length = new BigUint64Array(1);

  constructor(soname: string) {
    this.#library = Deno.dlopen(soname, symbols);
  }

  /** Decodes a stream. Returns its bytes, or null if the library does not take it for that many bytes. */
  decode(stream: Uint8Array<ArrayBuffer>, outputBytes: number): Uint8Array<ArrayBuffer> | null {
    const output = new Uint8Array(outputBytes + 64);
    this.#length[0] = BigInt(outputBytes);
    const result = this.#library.symbols.lzo1x_decompress_safe(
      stream,
      BigInt(stream.length),
      output,
      this.#length,
      null,
    );
    if (result !== 0 || Number(this.#length[0]) !== outputBytes) return null;
    return output.subarray(0, outputBytes);
  }

  /** Encodes with one of the library's compressors. */
  encode(compress: Compress, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const stream = new Uint8Array(bytes.length + (bytes.length >> 4) + 67);
    this.#length[0] = BigInt(stream.length);
    const result = this.#library.symbols[compress](
      bytes,
      BigInt(bytes.length),
      stream,
      this.#length,
      this.#work,
    );
    if (result !== 0) throw new Error(`Cannot encode: ${compress} returned ${result}`);
    return stream.slice(0, Number(this.#length[0]));
  }
}

let opened: Liblzo2 | null = null;
let problem = "";
try {
  // Opened here, for good: a library that a test opens would count as a leak of that test.
  opened = new Liblzo2("liblzo2.so.2");
} catch (error) {
  problem = error instanceof Error ? error.message : String(error);
}

/** Defines a test that needs the library; it is ignored, with the reason in its name, where there is none. */
export function testWithLiblzo2(name: string, fn: (library: Liblzo2) => void): void {
  const library = opened;
  if (library) Deno.test(name, () => fn(library));
  else Deno.test({ name: `${name} [ignored: ${problem}]`, ignore: true, fn: () => {} });
}

/** The library, or null where there is none. */
export const liblzo2 = opened;
