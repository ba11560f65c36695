/**
 * Entry of `backy-fuse`, which will mount all revisions of a backup directory. It is not built yet and says so.
 *
 * @module
 */

import { runFuse } from "./lib/cli/fuse.ts";

if (import.meta.main) Deno.exit(runFuse());
