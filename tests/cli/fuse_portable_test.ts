/**
 * What a portable `backy-fuse` starts: itself, in the background, by whatever name it was called;
 * and commands for its user, in the user's environment.
 */

import { assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { fusePortableProblem } from "../support/portable.ts";
import { runSync } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { FUSE } from "../support/tool.ts";
import { fuseTest } from "./fuse_harness.ts";

const NAMES: readonly [name: string, line: string][] = [
  ["a relative path", 'cd "$BIN"; exec ./backy-fuse "${@:2}"'],
  ["a symbolic link", 'cd "$BIN"; ln -s backy-fuse ../link; exec ../link "${@:2}"'],
  ["PATH", 'PATH=$BIN; exec backy-fuse "${@:2}"'],
  [
    "a directory that was moved",
    'cd "$BIN"; mv "$BIN" "$BIN-moved"; exec env ./backy-fuse "${@:2}"',
  ],
  ["a descriptor", 'exec 9<"$BIN/backy-fuse"; exec /proc/self/fd/9 "${@:2}"'],
];

for (const [name, line] of NAMES) {
  fuseTest(`A mount in the background works when started by ${name}`, async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const bin = site.folder("bin");
    runSync("cp", "--reflink=auto", FUSE[0]!, `${bin}/backy-fuse`);
    const env = { BIN: bin, LD_PRELOAD: "/lib/none.so", LD_LIBRARY_PATH: "/tmp" };
    // bash complains of the library, and goes on.
    const mount = await site.mountInBackground([], { shell: line, env });
    await assertContent(mount.file("last"), image);
    const environment = Deno.readTextFileSync(`/proc/${mount.server}/environ`).split("\0");
    const loader = environment.filter((entry) => entry.startsWith("LD_")).toSorted();
    assertEquals(loader, ["LD_LIBRARY_PATH=/tmp", "LD_PRELOAD=/lib/none.so"]);
  }, { reason: fusePortableProblem });
}
