/**
 * Makes the sample for `userlands.sh`: a backup directory `vm0` with two revisions, and their
 * images, in a folder.
 *
 * @module
 */

import { addRevision, imageOf, makeStore, sampleBytes } from "./support/store_builder.ts";

const folder = Deno.args[0] ?? ".";
const common = sampleBytes(1);
const revisions = {
  first: [common, "absent", sampleBytes(2), sampleBytes(3, 1_048_576)],
  second: [common, "zero", sampleBytes(4), common, sampleBytes(3, 1_048_576)],
} as const;

makeStore(`${folder}/vm0`);
Object.entries(revisions).forEach(([name, chunks], index) => {
  const { size } = addRevision(`${folder}/vm0`, name, chunks, {
    timestamp: `2026-01-1${index}T00:00:00+00:00`,
  });
  Deno.writeFileSync(`${folder}/${name}.img`, imageOf(chunks, size));
});
