/**
 * Entry of `backy-fuse`: mounts all revisions of a backup directory as image files.
 *
 * @module
 */

import { beginProcess } from "./lib/cli/process_start.ts";

if (import.meta.main) {
  beginProcess();
  // What is imported here takes much longer to load, and a signal may come meanwhile.
  const { runFuse } = await import("./lib/cli/mount_command.ts");
  Deno.exit(await runFuse(Deno.args));
}
