/**
 * Entry of `backy-extract`: restores a revision to a file, a device or standard output.
 *
 * @module
 */

import { runExtract } from "./lib/cli/extract.ts";

if (import.meta.main) Deno.exit(await runExtract(Deno.args));
