/**
 * Entry of `backy-fuse`: mounts all revisions of a backup directory as image files.
 *
 * @module
 */

import { runFuse } from "./lib/cli/fuse.ts";

if (import.meta.main) Deno.exit(await runFuse(Deno.args));
