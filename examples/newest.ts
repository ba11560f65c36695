// deno-lint-ignore-file no-console -- an example prints
/**
 * Prints the newest finished revision of each machine in a folder of backup directories, and how
 * old it is.
 *
 *     deno run -A examples/newest.ts /srv/backy
 *
 * @module
 */

import { readCatalog } from "../lib/mod.ts";

const [folder] = Deno.args;
if (folder === undefined) {
  console.error("usage: newest.ts FOLDER");
  Deno.exit(2);
}

const names = [...Deno.readDirSync(folder)]
  .filter(({ isDirectory }) => isDirectory)
  .map(({ name }) => name)
  .sort();
for (const name of names) {
  // Oldest first; one whose metadata tells no time comes before all others, and is never the
  // newest.
  const { revisions } = readCatalog(`${folder}/${name}`);
  const newest = revisions.findLast(({ info, time }) => info.isComplete && time !== null);
  if (!newest?.time) {
    console.log(`${name}: no finished revision`);
    continue;
  }
  const hours = Math.floor((Date.now() - newest.time.getTime()) / 3_600_000);
  console.log(`${name}: ${newest.name}, ${hours} hours old`);
}
