// deno-lint-ignore-file no-console -- an example prints
/**
 * Restores a revision from within a program: with progress, and with an answer for what can go
 * wrong.
 *
 *     deno run -A examples/restore.ts /srv/backy/vm0/last vm0.img
 *
 * @module
 */

import {
  ChunkCorruptError,
  ChunkMissingError,
  restore,
  TargetError,
  type TargetWork,
} from "../lib/mod.ts";

const [revision, output] = Deno.args;
if (revision === undefined || output === undefined) {
  console.error("usage: restore.ts REVISION OUTPUT");
  Deno.exit(2);
}

// A progress bar of one's own: drawn four times a second, from numbers that are read when needed.
let work: TargetWork | undefined;
const timer = setInterval(() => {
  if (!work) return;
  const share = work.progress().imageBytes / Math.max(1, work.plan.imageBytes);
  const bar = "=".repeat(Math.floor(40 * share)).padEnd(40);
  Deno.stderr.writeSync(new TextEncoder().encode(`\r[${bar}] ${Math.floor(100 * share)} %`));
}, 250);

// Ctrl-C stops the workers; the call then throws the reason given here.
const interruption = new AbortController();
Deno.addSignalListener("SIGINT", () => interruption.abort(new Error("interrupted")));

try {
  const report = await restore({
    revision,
    output,
    signal: interruption.signal,
    onEvent(event) {
      if (event.type === "restoring") work = event;
      if (event.type === "warning") console.error(`warning: ${event.text}`);
    },
  });
  console.log(`restored ${report.imageBytes} bytes`);
} catch (error) {
  if (error instanceof ChunkMissingError || error instanceof ChunkCorruptError) {
    // Another copy of the backup may have the chunk: `also: ["/mnt/backup02/vm0"]`.
    console.error(`chunk ${error.chunkId} cannot be used: ${error.message}`);
  } else if (error instanceof TargetError) {
    console.error(`the target failed or was refused: ${error.message}`);
  } else {
    console.error(String(error));
  }
  Deno.exitCode = 1;
} finally {
  clearInterval(timer);
}
