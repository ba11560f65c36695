/**
 * How `backy-fuse` starts with unusual working directories, environments and arguments.
 */

import { assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { testUnless } from "../support/machine.ts";
import { FUSE, RunningTool, survivesUsr1 } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import { fuseTest, messagesOf, mountsAt } from "./fuse_harness.ts";

/** Why a test is ignored when running from source. */
const fromSource = FUSE.length === 1 ? null : "from source the runtime fails first";

const SURROUNDINGS: readonly [name: string, shell: string, reason: string | null][] = [
  [
    "a working directory that was removed",
    'mkdir gone; cd gone; rmdir ../gone; exec "$@"',
    fromSource,
  ],
  [
    "a working directory whose name is not UTF-8",
    `mkdir $'cw\\xff'; cd $'cw\\xff'; exec "$@"`,
    null,
  ],
  [
    "variables for other programs",
    `exec env LOG_STREAM=$'\\xff' LOG_TOKENS=1 UNKNOWN=$'\\xff' "$@"`,
    null,
  ],
  ["no environment", 'exec env -i "$@"', null],
  ["variables for the runtime", 'exec env DENO_LOG=debug RUST_LOG=trace "$@"', fromSource],
];

for (const [name, shell, reason] of SURROUNDINGS) {
  fuseTest(`A mount comes to be and ends in order with ${name}`, async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1), sampleBytes(2)]);
    const mount = await site.mount([], { shell });
    await assertContent(mount.file("last"), image);
    const { stderr } = await mount.end("SIGTERM");
    assertEquals(messagesOf(stderr), []);
  }, { reason });
}

for (const [name, shell, reason] of SURROUNDINGS.slice(0, 2)) {
  fuseTest(`Relative paths are refused with ${name}: exit 2`, async (site) => {
    const at = site.folder();
    for (
      const [args, path] of [
        [[at], "."],
        [["-d", site.basedir, "mnt"], "mnt"],
        [["-d", "vm0", at], "vm0"],
        [["-d", site.basedir, "--spill", "spill", at], "spill"],
      ] as const
    ) {
      await using tool = new RunningTool([...FUSE, ...args], { shell });
      const { code, stderr } = await tool.outcome();
      assertEquals(
        stderr,
        `backy-fuse: Cannot use relative path "${path}": the working directory was removed, or ` +
          "its name is not UTF-8; change to another directory, or use absolute paths\n",
      );
      assertEquals(code, 2);
      assertEquals(mountsAt(at), []);
    }
  }, { reason });
}

testUnless(
  fromSource,
  "backy-fuse: an argument that is not UTF-8 is refused in one line",
  async () => {
    await using tool = new RunningTool([...FUSE, "-d"], { shell: `exec "$@" $'\\xff'` });
    const { code, stderr } = await tool.outcome();
    assertEquals(
      stderr,
      "backy-fuse: Cannot use argument 2: it is not UTF-8; make a link to the file, and name that\n",
    );
    assertEquals(code, 2);
  },
);

fuseTest("SIGUSR1 does not end backy-fuse, from the first to the last moment", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  const tool = site.start([at]);
  await until(() => tool.hasEnded || survivesUsr1(tool.pid), "the tool's start");
  let isEnding = false;
  while (!tool.hasEnded) {
    tool.signal("SIGUSR1");
    if (!isEnding && tool.said.includes("To unmount: ")) {
      isEnding = true;
      tool.signal("SIGTERM");
    }
    await pause(1);
  }
  const { code, signal, stderr } = await tool.outcome();
  assertEquals([code, signal], [0, null], stderr);
  assertEquals(mountsAt(at), []);
});
