/**
 * The formats of a stream. A new one is a file that implements `StreamEncoding`
 * (`stream_writer.ts`) and a line here; `rbd_diff.ts` is an example.
 *
 * @module
 */

import { RBD_DIFF } from "./rbd_diff.ts";
import type { StreamEncoding } from "./stream_writer.ts";

/** The bare image: its bytes one after the other. */
const RAW: StreamEncoding = {
  hasRecords: false,
  head: () => new Uint8Array(0),
  tail: new Uint8Array(0),
  writeData: (writer, bytes) => writer.write(bytes),
  writeZeros: (writer, _offset, length) => writer.writeZeros(length),
};

/** All formats, by the names that users give. */
export const STREAM_FORMATS = {
  raw: RAW,
  "rbd-diff": RBD_DIFF,
} as const satisfies Readonly<Record<StreamFormat, StreamEncoding>>;

/** What a stream looks like: the bare image, or the records of an `rbd` diff. */
export type StreamFormat = "raw" | "rbd-diff";
