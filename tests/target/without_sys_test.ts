/**
 * The checks of targets without /sys, or without /proc too, as in many a chroot of a rescue system.
 * Runs in a mount namespace of its own.
 *
 * @module
 */

import { assert, assertEquals } from "../assert.ts";
import { lockMounts } from "../support/mount_lock.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync, scriptCommand, shell } from "../support/programs.ts";

const MIB = 1_048_576;
const problem = loopDeviceProblem() ?? mountProblem() ?? namespaceProblem();

/** Why mount namespaces cannot be made here. */
function namespaceProblem(): string | null {
  const made = new Deno.Command("unshare", {
    args: ["-m", "--propagation", "private", "umount", "-l", "/sys"],
    stderr: "piped",
  });
  using _lock = lockMounts("alone");
  try {
    const { success, stderr } = made.outputSync();
    return success ? null : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return String(error);
  }
}

/**
 * What the preflight says if some file systems are not mounted: why the target is refused, or its
 * warnings.
 */
async function lookAt(
  output: string,
  options: { without: readonly string[]; force?: boolean; redirection?: string; setup?: string },
): Promise<string[]> {
  const { without, force = false, redirection = "", setup = ":" } = options;
  const code = scriptCommand(`
    import { preflightTarget } from lib("target/preflight.ts");
    const options = { extent: { start: 0, end: 1 }, sparse: "auto", force: ${force}, stores: [] };
    let lines;
    try {
      lines = preflightTarget(${JSON.stringify(output)}, options).warnings;
    } catch (error) {
      lines = [error.message];
    }
    Deno.stderr.writeSync(new TextEncoder().encode(JSON.stringify(lines)));
  `);
  const unmount = without.map((path) => `umount -l ${path} && `).join("");
  using scratch = new Scratch();
  const script = scratch.file("script", `${unmount}${setup} && exec ${code} ${redirection}\n`);
  const { stderr } = await shell(`unshare -m --propagation private sh '${script}'`);
  return JSON.parse(stderr);
}

const refused = (path: string, reason: string) => [
  `Cannot restore to "${path}": ${reason} (--force overrides this)`,
];

testUnless(problem, "Without /sys a read-only device is recognised", async () => {
  using _lock = lockMounts("alone");
  using device = new LoopDevice(MIB, { isReadOnly: true });
  for (const without of [["/sys"], ["/sys", "/proc"]]) {
    assertEquals(await lookAt(device.path, { without }), [
      `Cannot restore to "${device.path}": the device is read-only; blockdev --setrw may end that`,
    ]);
  }
});

testUnless(
  problem ?? programProblem("mkfs.ext4"),
  "Without /sys a mounted device is refused with its mount point",
  async () => {
    using _lock = lockMounts("alone");
    using device = new LoopDevice(8 * MIB);
    runSync("mkfs.ext4", "-q", device.path);
    using mount = new Mount(device.path);
    const { path } = device;
    assertEquals(
      await lookAt(path, { without: ["/sys"] }),
      refused(path, `it is mounted at "${mount.path}"`),
    );
    assertEquals(
      await lookAt(path, { without: ["/sys", "/proc"] }),
      refused(path, "another program or the kernel holds it exclusively"),
    );
  },
);

testUnless(
  problem ?? programProblem("mkfs.ext4", "partx"),
  "Without /sys a disk is refused for its mounted partition",
  async () => {
    using _lock = lockMounts("alone");
    using device = new LoopDevice(16 * MIB, { sectorBytes: 512 });
    runSync(
      "sh",
      "-c",
      `echo '2048,16384,L' | sfdisk -q --no-reread --no-tell-kernel ${device.path}`,
    );
    runSync("partx", "-u", device.path);
    const partition = `${device.path}p1`;
    try {
      runSync("mkfs.ext4", "-q", partition);
      using mount = new Mount(partition);
      assertEquals(
        await lookAt(device.path, { without: ["/sys"] }),
        refused(device.path, `its partition "${partition}" is mounted at "${mount.path}"`),
      );
    } finally {
      runSync("partx", "-d", device.path);
    }
  },
);

testUnless(problem, "Without /sys and /proc a loop device guards its backing file", async () => {
  using _lock = lockMounts("alone");
  using device = new LoopDevice(MIB);
  const { path, backing } = device;
  const upper = runSync("losetup", "-f", "--show", path);
  try {
    for (const without of [["/sys"], ["/sys", "/proc"]]) {
      const reason = `it is behind the loop device "${path}"`;
      assertEquals(await lookAt(backing, { without }), refused(backing, reason));
      assertEquals(await lookAt(backing, { without, force: true }), [
        `"${backing}" is written although ${reason}`,
      ]);
      assertEquals(
        await lookAt(path, { without }),
        refused(path, `it is behind the loop device "${upper}"`),
      );
    }
  } finally {
    runSync("losetup", "-d", upper);
  }
});

testUnless(
  problem,
  "A warning says if it cannot be found out whether a target is in use",
  async () => {
    using _lock = lockMounts("alone");
    using device = new LoopDevice(MIB);
    using scratch = new Scratch();
    const { path } = device;
    const file = scratch.file("image", "x");
    assertEquals(await lookAt(path, { without: ["/sys"] }), []);
    assertEquals(await lookAt(path, { without: ["/sys", "/proc"] }), [
      `whether "${path}" is in use cannot be told for certain: /proc is not mounted`,
    ]);
    // The kernel itself says whether a file has writers.
    assertEquals(await lookAt(file, { without: ["/sys", "/proc"] }), []);
    using writer = Deno.openSync(file, { write: true });
    assertEquals(
      await lookAt(file, { without: ["/sys", "/proc"] }),
      refused(file, "another program has it open for writing"),
    );
    assert(writer.statSync().isFile);
  },
);

testUnless(
  problem,
  "Without nodes of loop devices a warning says that their backing is unknown",
  async () => {
    using _lock = lockMounts("alone");
    using device = new LoopDevice(MIB);
    const { backing } = device;
    const setup = "mount -t tmpfs tmpfs /dev";
    const reason = `it is behind the loop device "${device.path}"`;
    assertEquals(await lookAt(backing, { without: [], setup }), refused(backing, reason));
    // It is known all the same that somebody writes it.
    const written = "another program has it open for writing";
    assertEquals(await lookAt(backing, { without: ["/sys"], setup }), refused(backing, written));
    for (const without of [["/sys"], ["/sys", "/proc"]]) {
      assertEquals(await lookAt(backing, { without, setup, force: true }), [
        `"${backing}" is written although ${written}`,
        `whether "${backing}" is in use cannot be told for certain: not all loop devices can be ` +
        "looked at",
      ]);
    }
  },
);

testUnless(problem, "Without /proc standard output is checked too", async () => {
  using _lock = lockMounts("alone");
  using device = new LoopDevice(MIB);
  using scratch = new Scratch();
  const without = ["/sys", "/proc"];
  assertEquals(await lookAt("-", { without, redirection: `>${scratch.file("image")}` }), [
    "whether standard output is in use cannot be told for certain: /proc is not mounted",
  ]);
  assertEquals(await lookAt("-", { without, redirection: `>${device.path}` }), [
    `whether "${device.path}" is in use cannot be told for certain: /proc is not mounted`,
  ]);
});
