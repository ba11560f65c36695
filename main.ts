/**
 * Entry of `backy-extract`: restores a revision to a file, a device or standard output.
 *
 * @module
 */

import { beginProcess } from "./lib/cli/process_start.ts";

if (import.meta.main) {
  beginProcess();
  // What is imported here takes much longer to load, and a signal may come meanwhile.
  const { runExtract } = await import("./lib/cli/extract.ts");
  Deno.exit(await runExtract(Deno.args));
}
