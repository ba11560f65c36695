/**
 * liblzo2, where it is installed: the library that native tools use, to compare with.
 *
 * @module
 */

const symbols = {
  lzo1x_decompress_safe: {
    parameters: [
      "buffer", // const unsigned char *src
      "usize", // lzo_uint src_len
      "buffer", // unsigned char *dst
      "buffer", // lzo_uint *dst_len
      "pointer", // void *wrkmem
    ],
    result: "i32",
  },
  lzo1x_1_compress: {
    parameters: [
      "buffer", // const unsigned char *src
      "usize", // lzo_uint src_len
      "buffer", // unsigned char *dst
      "buffer", // lzo_uint *dst_len
      "buffer", // void *wrkmem
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** LZO1X_1_MEM_COMPRESS: 16384 pointers. Source: lzo/lzo1x.h, version 2.10. */
const WORK_BYTES = 16_384 * 8;

/** The two calls that matter, on plain byte arrays. */
export interface Lzo2 {
  /** Decodes into `to`. @returns Bytes decoded, or a negative error code. */
  decode(stream: Uint8Array<ArrayBuffer>, to: Uint8Array<ArrayBuffer>): number;
  /** Encodes into `to`. @returns Bytes of the stream. */
  encode(content: Uint8Array<ArrayBuffer>, to: Uint8Array<ArrayBuffer>): number;
}

/** Opens liblzo2. @returns `null` where it is not installed. */
export function openLzo2(): Lzo2 | null {
  let library: Deno.DynamicLibrary<typeof symbols>;
  try {
    library = Deno.dlopen("liblzo2.so.2", symbols);
  } catch {
    return null;
  }
  const { lzo1x_decompress_safe, lzo1x_1_compress } = library.symbols;
  const length = new BigUint64Array(1);
  const lengthBytes = new Uint8Array(length.buffer);
  const work = new Uint8Array(WORK_BYTES);
  return {
    decode(stream, to) {
      length[0] = BigInt(to.length);
      const result = lzo1x_decompress_safe(stream, BigInt(stream.length), to, lengthBytes, null);
      return result === 0 ? Number(length[0]) : result;
    },
    encode(content, to) {
      length[0] = BigInt(to.length);
      lzo1x_1_compress(content, BigInt(content.length), to, lengthBytes, work);
      return Number(length[0]);
    },
  };
}
