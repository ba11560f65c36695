/**
 * `backy-fuse` as mount(8) calls it, by mount.fuse3(8) and by a link, from its command line and
 * from fstab(5).
 */

import { assert, assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { sh, tryRun } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { FUSE } from "../support/tool.ts";
import { recipe, shellQuote } from "./recipes.ts";
import { BackgroundMount, fuseTest, mountsAt, serversFor, type Site } from "./fuse_harness.ts";

/** mount(8) sets PATH, and looks for helpers in one folder only. */
const PROGRAMS = "/usr/local/bin", HELPERS = "/sbin";

/**
 * Makes the tool known to mount(8) under a name of its own.
 *
 * @returns The type of file system that leads to it.
 */
function install(site: Site, folder = PROGRAMS, prefix = ""): string {
  const name = `backy-fuse-test-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`;
  const path = `${folder}/${prefix}${name}`;
  const words = FUSE.map((word) => `'${word}'`).join(" ");
  // As if the tool itself had that name: the kernel leaves out what a script is called by.
  Deno.writeTextFileSync(path, `#!/bin/bash\nexec -a "$0" ${words} "$@"\n`, { mode: 0o755 });
  site.use({ [Symbol.dispose]: () => Deno.removeSync(path) });
  return `fuse.${name}`;
}

/** Mounts by mount(8), which must not say anything. */
async function mountBy8(site: Site, ...args: string[]): Promise<BackgroundMount> {
  const at = site.folder();
  const mount = site.use(new BackgroundMount(at));
  const { code, stdout, stderr } = await tryRun("mount", ...args, site.basedir, at);
  assertEquals([code, stdout, stderr], [0, "", ""]);
  mount.findServer();
  return mount;
}

fuseTest("mount -t fuse.backy-fuse returns when the mount is ready", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1), sampleBytes(2)]);
  const mount = await mountBy8(site, "-t", install(site));
  await assertContent(mount.file("last"), image);
  const { source, type } = mountsAt(mount.path)[0]!;
  assertEquals([source, type], [site.basedir, "fuse.backy-fuse"]);
  const { code, stderr } = await tryRun("umount", mount.path);
  assertEquals([code, stderr], [0, ""]);
  await mount.ended();
}, { programs: ["mount.fuse3"] });

for (const prefix of ["mount.fuse.", "mount."]) {
  fuseTest(`mount(8) finds the tool by a link ${prefix}backy-fuse in /sbin`, async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const type = install(site, HELPERS, prefix);
    const given = prefix === "mount." ? type.replace("fuse.", "") : type;
    const mount = await mountBy8(site, "-v", "-n", "-t", given, "-o", "nofail,user,cache=16,ro");
    await assertContent(mount.file("Sample"), image);
    const at = site.folder();
    const { code } = await tryRun("mount", "--fake", "-t", given, site.basedir, at);
    assertEquals(code, 0);
    assertEquals(mountsAt(at), []);
  });
}

fuseTest("mount -o takes the tool's own options, and those of fstab", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const log = site.file("log");
  const spill = site.folder("spill");
  const options = [
    ...["ro,nodev,nosuid,noexec,relatime,nodiratime,defaults,noauto,nofail,_netdev,user,comment=x"],
    ...["x-systemd.automount,allow_other,cache=16,threads=1,no-verify,lock-timeout=5"],
    ...[`spill=${spill}`, `log=${log}`],
  ];
  const mount = await mountBy8(site, "-t", install(site), "-o", options.join());
  const lines = (await Deno.readTextFile("/proc/self/mounts")).split("\n");
  const line = lines.find((line) => line.includes(mount.path.replaceAll(" ", "\\040"))) ?? "";
  for (const shown of ["ro", "nodev", "nosuid", "noexec", "allow_other"]) {
    assert(line.split(/[ ,]/).includes(shown), line);
  }
  assert(Deno.readTextFileSync(log).includes(`mounted at "${mount.path}"`));
}, { programs: ["mount.fuse3"] });

for (
  const [what, options, code, says] of [
    ["an option that nobody knows", "frobnicate", 1, "unknown option(s): `-o frobnicate'"],
    ["an own option without a value", "cache", 2, 'Cannot use option "--cache": "" is not a whole'],
    ["an own option with a bad value", "threads=x", 2, 'Cannot use option "--threads": "x" is not'],
  ] as const
) {
  fuseTest(`mount(8) passes on message and exit code: ${what}`, async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder();
    const args = ["-t", install(site), "-o", options, site.basedir, at];
    const outcome = await tryRun("mount", ...args);
    assertEquals(outcome.code, code, outcome.stderr);
    assert(outcome.stderr.startsWith("backy-fuse: ") && outcome.stderr.includes(says));
    assertEquals(outcome.stderr.split("\n").length, 2, outcome.stderr);
    assertEquals([mountsAt(at), serversFor(at)], [[], []]);
  }, { programs: ["mount.fuse3"] });
}

fuseTest(
  "mount -o remount changes nothing and says what to do; umount -t knows the type",
  async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const mount = await site.mount();
    const type = mountsAt(mount.path)[0]!.type;
    assertEquals(type, "fuse.backy-fuse");
    const { code, stderr } = await site.start([site.basedir, mount.path, "-o", "rw,remount,ro"])
      .outcome();
    assertEquals(code, 2);
    const advice =
      "unmount it and mount it again, or mount -i -o remount,ro MOUNTPOINT to forbid writes";
    assertEquals(stderr, `backy-fuse: Cannot use mount option "remount": ${advice}\n`);
    await sh('mount -i -o remount,ro "$1"', mount.path);
    assertEquals((await tryRun("touch", mount.file("Sample"))).code, 1);
    await sh('mount -i -o remount,rw "$1"', mount.path);
    await sh('touch "$1"', mount.file("Sample"));
    await assertContent(mount.file("Sample"), image);
    await sh('umount -t "$1" "$2"', type, mount.path);
    await mount.ended();
  },
);

fuseTest("mount -a mounts what fstab names, once", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  const mount = site.use(new BackgroundMount(at));
  const escape = (path: string) => path.replaceAll(" ", "\\040");
  const fstab = site.file(
    "fstab",
    `${escape(site.basedir)} ${escape(at)} ${install(site)} ro,nofail,_netdev,cache=16 0 0\n`,
  );
  for (const _round of [1, 2]) {
    const { code, stderr } = await tryRun("mount", "-a", "-T", fstab);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(mountsAt(at).length, 1);
  }
  mount.findServer();
  await assertContent(mount.file("Sample"), image);
}, { programs: ["mount.fuse3"] });

fuseTest("-o background mounts in the background without mount(8)", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  const mount = site.use(new BackgroundMount(at));
  const tool = site.start(["-o", "background,cache=16", site.basedir, at]);
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr);
  mount.findServer();
});

fuseTest("The commands of docs/mounting.md for mount(8) mount and unmount", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const type = install(site);
  const at = site.folder();
  const mount = site.use(new BackgroundMount(at));
  const [start, end] = recipe("docs/mounting.md", "In the background").map((command) =>
    command.replace("fuse.backy-fuse", type)
      .replace("/srv/backy/vm0", shellQuote(site.basedir))
      .replace("/mnt/backy-fuse", shellQuote(at))
  );
  await sh(start!);
  mount.findServer();
  await assertContent(mount.file("last"), image);
  await sh(end!);
  await mount.ended();
}, { programs: ["mount.fuse3"] });
