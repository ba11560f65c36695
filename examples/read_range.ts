// deno-lint-ignore-file no-console -- an example prints
/**
 * Writes bytes of an image to standard output, without a restore: here the boot sector.
 *
 *     deno run -A examples/read_range.ts /srv/backy/vm0 last 0 512 | xxd
 *
 * @module
 */

import { openImage } from "../lib/mod.ts";

const [directory, spec, offset, length] = Deno.args;
if (length === undefined) {
  console.error("usage: read_range.ts DIRECTORY SPEC OFFSET LENGTH");
  Deno.exit(2);
}

using image = await openImage(directory!, spec);
const range = { offset: Number(offset), length: Number(length) };
await image.readableRange(range).pipeTo(Deno.stdout.writable);
