/**
 * Entry of `backy-fuse`: mounts the revisions of a backup directory, or what is in one.
 *
 * @module
 */

import { beginProcess } from "./lib/cli/process_start.ts";

if (import.meta.main) {
  beginProcess();
  // What is imported here takes much longer to load, and a signal may come meanwhile.
  const { runFuse } = await import("./lib/cli/fuse.ts");
  Deno.exit(await runFuse(Deno.args));
}
