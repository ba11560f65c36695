/**
 * Machines that run from a backup: docs/instant-recovery.md, examples/instant-recovery.sh, and
 * docs/nbd.md, with a small machine of Debian's kernel and busybox, emulated by qemu.
 *
 * @module
 */

import { dirname } from "node:path";

import { assert, assertEquals, assertMatch, assertRejects } from "../assert.ts";
import { programProblem, run, sh } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { FUSE, RunningTool } from "../support/tool.ts";
import { fuseTest, hashesBelow, type Site } from "./fuse_harness.ts";
import { recipe, shellQuote } from "./recipes.ts";

const DOCUMENT = "docs/instant-recovery.md";
const SCRIPT = new URL("../../examples/instant-recovery.sh", import.meta.url).pathname;

/** How much random data is on the machine's disk, and how much it writes. */
const DATA_MIB = 30, WRITTEN_MIB = 150;

/** Without an accelerator a machine takes some 20 s. */
const LIMIT_MS = 170_000;

/** A kernel with its modules. */
interface Kernel {
  readonly image: string;
  /** Paths of the modules for virtio-blk, in the order in which they are loaded. */
  readonly modules: readonly string[];
}

/** Finds the newest kernel of this host that can be used; `null` if there is none. */
function findKernel(): Kernel | null {
  for (const release of namesIn("/lib/modules").toSorted().toReversed()) {
    const image = `/boot/vmlinuz-${release}`;
    const folder = `/lib/modules/${release}`;
    try {
      Deno.statSync(image);
      const dependencies = Deno.readTextFileSync(`${folder}/modules.dep`);
      const modules = ["virtio_blk", "virtio_pci"].flatMap((name) => {
        const line = dependencies.split("\n").find((line) => line.includes(`/${name}.ko:`));
        if (line === undefined) throw new Error(`no plain module ${name}`);
        // Each is followed by what it needs, the nearest first.
        return line.split(/:? /).filter((word) => word !== "").toReversed();
      });
      return { image, modules: [...new Set(modules)].map((path) => `${folder}/${path}`) };
    } catch {
      // The next one.
    }
  }
  return null;
}

function namesIn(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name);
  } catch {
    return [];
  }
}

const kernel = findKernel();

/** Why no machine can be run here; `null` if it can. */
const machineProblem =
  programProblem("qemu-system-x86_64", "qemu-img", "cpio", "gzip", "mkfs.ext4", "lsblk") ??
    (kernel === null ? "no kernel with modules (Debian: linux-image-cloud-amd64)" : null) ??
    staticBusyboxProblem();

function staticBusyboxProblem(): string | null {
  const missing = programProblem("busybox");
  if (missing !== null) return missing;
  // Another one would need its libraries in the machine.
  const path = new Deno.Command("sh", { args: ["-c", "ldd $(command -v busybox)"] }).outputSync();
  return path.success ? "busybox is not static (Debian: busybox-static)" : null;
}

/** What the machine does. It has one disk, an ext4. */
const INIT = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod "$module"; done
mount -t ext4 /dev/vda /disk && cd /disk || poweroff -f
sha256sum -c -s files.sha256 && echo "machine: the files are right"
dd if=/dev/urandom of=new bs=1M count=${WRITTEN_MIB} 2>/dev/null
sha256sum new >new.sha256
sync
echo 3 >/proc/sys/vm/drop_caches
sha256sum -c -s new.sha256 && echo "machine: what was written is right"
cd / && umount /disk
poweroff -f
`;

/** Makes the machine's initramfs. @returns qemu's options for the machine without its disk. */
async function makeMachine(site: Site): Promise<string> {
  const root = site.folder("initramfs");
  await sh(
    `cd "$1"; shift
     mkdir bin proc sys dev disk modules
     cp "$(command -v busybox)" bin/
     count=100
     for module; do cp "$module" modules/$((count++)).ko; done`,
    root,
    ...kernel!.modules,
  );
  Deno.writeTextFileSync(`${root}/init`, INIT, { mode: 0o755 });
  const initrd = site.file("initrd.gz");
  await sh(`cd "$1"; find . | cpio --quiet -o -H newc | gzip -1 >"$2"`, root, initrd);
  return [
    ...["-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot", "-nic", "none"],
    ...["-kernel", kernel!.image, "-initrd", initrd],
    ...["-append", "console=ttyS0 quiet panic=-1"],
  ].map(shellQuote).join(" ");
}

/** Makes the backup of the machine's disk, as revision "Disk". */
async function backUpDisk(site: Site): Promise<void> {
  const content = site.folder("content");
  const image = site.file("disk.img");
  await sh(
    `cd "$1"
     for i in $(seq ${DATA_MIB}); do head -c 1M /dev/urandom >"file $i"; done
     sha256sum file* >files.sha256
     truncate -s 320M "$2"
     mkfs.ext4 -q -d . "$2"`,
    content,
    image,
  );
  site.addImage("Disk", image);
}

/** A block device as large as the machine's disk, full of something else. */
async function usedDevice(site: Site): Promise<string> {
  const backing = site.file("new disk.img");
  await sh('head -c 320M /dev/zero | tr "\\0" "\\252" >"$1"', backing);
  return await site.loopDevice(backing);
}

/** A folder for PATH with `backy-fuse`, which has room for few changed chunks. */
function folderWithTool(site: Site): string {
  const bin = site.folder();
  Deno.writeTextFileSync(
    `${bin}/backy-fuse`,
    `#!/bin/sh\nexec ${FUSE.map(shellQuote).join(" ")} --cache 32 "$@"\n`,
    { mode: 0o755 },
  );
  return bin;
}

/** Asserts that a disk has what was backed up and what the machine wrote. */
async function assertDisk(site: Site, disk: string): Promise<void> {
  const isDevice = disk.startsWith("/dev/");
  const at = await site.mountDevice("-o", isDevice ? "ro" : "loop,ro", disk);
  await sh('cd "$1"; sha256sum --quiet -c files.sha256 new.sha256', at);
}

/** Runs commands. Asserts that they succeed. @returns What they said, on both outputs. */
async function follow(site: Site, script: string): Promise<string> {
  const path = `${folderWithTool(site)}:${Deno.env.get("PATH")}`;
  await using tool = new RunningTool([], {
    cwd: site.folder(),
    env: { PATH: path },
    shell: `set -e; exec 2>&1; ${script}`,
    limitMs: LIMIT_MS,
  });
  const { code, stdout } = await tool.outcome();
  const said = new TextDecoder().decode(stdout).replaceAll("\r", "");
  assertEquals(code, 0, said);
  return said;
}

function assertMachineWasRight(said: string): void {
  assertMatch(said, /machine: the files are right\n/);
  assertMatch(said, /machine: what was written is right\n/);
}

fuseTest("examples/instant-recovery.sh moves a running machine to its new disk", async (site) => {
  await backUpDisk(site);
  const before = await hashesBelow(site.basedir);
  const disk = await usedDevice(site);
  const spill = site.folder("spill");
  const [command] = recipe(DOCUMENT, "At once, and for good");
  const machine = await makeMachine(site);
  // Slowly, so that the machine writes while its disk is copied.
  const said = await follow(
    site,
    command!
      .replace(
        "examples/instant-recovery.sh",
        `${shellQuote(SCRIPT)} -c 2M -s ${shellQuote(spill)}`,
      )
      .replace("/srv/backy/vm0", shellQuote(site.basedir))
      .replace("/dev/vg0/vm0", shellQuote(disk))
      .replace("-accel kvm -m 4G -nographic", machine),
  );
  assertMachineWasRight(said);
  assertMatch(said, /is the machine's disk now, and the backup is not used any more\n/);
  await assertDisk(site, disk);
  assertEquals(await hashesBelow(site.basedir), before);
  assertEquals(namesIn(spill), []);
}, { reason: machineProblem });

fuseTest("A machine runs from the mount, and qemu-img takes its changed disk out", async (site) => {
  await backUpDisk(site);
  const before = await hashesBelow(site.basedir);
  const [mnt, spill, disk] = [site.folder(), site.folder(), site.file("new disk.img")];
  const machine = await makeMachine(site);
  const commands = [0, 1].flatMap((block) => recipe(DOCUMENT, "Step by step", block)).join("\n")
    .replaceAll("/mnt/backy-fuse", shellQuote(mnt))
    .replaceAll("/srv/backy/vm0", shellQuote(site.basedir))
    .replaceAll("/var/tmp", shellQuote(spill))
    .replaceAll("/dev/vg0/vm0", shellQuote(disk))
    .replaceAll("-accel kvm -m 4G -nographic", machine);
  assertMachineWasRight(await follow(site, commands));
  await assertDisk(site, disk);
  assertEquals(await hashesBelow(site.basedir), before);
  assert(await hashesBelow(spill) !== "", "nothing was spilled");
}, { reason: machineProblem });

fuseTest("A machine runs from an NBD export, and its changed disk is copied out", async (site) => {
  await backUpDisk(site);
  const before = await hashesBelow(site.basedir);
  const [spill, socket, copy] = [site.folder(), site.file("vm0.sock"), site.file("vm0.img")];
  const machine = await makeMachine(site);
  const commands = recipe("docs/nbd.md", "Writing", 1).map((command) =>
    command
      .replace(/^backy-fuse nbd/, `${FUSE.map(shellQuote).join(" ")} nbd --cache 32`)
      .replaceAll("/srv/backy/vm0", shellQuote(site.basedir))
      .replaceAll("/var/tmp", shellQuote(spill))
      .replaceAll("/run/vm0.sock", socket)
      .replaceAll("-accel kvm -m 4G -nographic", machine)
      // A person types the next command when the server has said that it is ready.
      .replace(/ &$/, ` & until [ -S ${socket} ]; do kill -0 $!; sleep 0.05; done`)
      .replaceAll("vm0.img", copy)
      .replace(/^kill %1$/, "kill $!; wait $!")
  );
  assertMachineWasRight(await follow(site, commands.join("\n")));
  await assertDisk(site, copy);
  assertEquals(await hashesBelow(site.basedir), before);
  assert(await hashesBelow(spill) !== "", "nothing was spilled");
}, { reason: machineProblem });

fuseTest("A qcow2 file over the mount keeps what was written", async (site) => {
  await backUpDisk(site);
  const before = await hashesBelow(site.basedir);
  const [mnt, layer, disk] = [site.folder(), site.file("vm0.qcow2"), await usedDevice(site)];
  const commands = recipe(DOCUMENT, "Writes that survive a crash of the host").map((command) =>
    command
      .replaceAll("/mnt/backy-fuse", shellQuote(mnt))
      .replaceAll("REVISION", "Disk")
      .replaceAll("/srv/backy/vm0", shellQuote(site.basedir))
      .replaceAll("/var/lib/vm0.qcow2", shellQuote(layer))
      .replaceAll("/dev/vg0/vm0", shellQuote(disk))
      // A machine is tried above; this writes as one would.
      .replace(/^qemu-system.*/, `qemu-io -f qcow2 -c "write -P 7 64k 64k" ${shellQuote(layer)}`)
  );
  await follow(site, commands.join("\n"));
  const expected = site.file("expected.img");
  await sh(
    `cp "$1" "$2"
     head -c 64k /dev/zero | tr '\\0' '\\7' | dd of="$2" bs=64k seek=1 conv=notrunc status=none
     cmp "$2" "$3"`,
    site.file("disk.img"),
    expected,
    disk,
  );
  assertEquals(await hashesBelow(site.basedir), before);
}, { programs: ["qemu-img", "qemu-io", "mkfs.ext4"] });

/** Starts the script with a line of shell in place of qemu, and "typed" on standard input. */
function startScript(
  site: Site,
  qemu: string,
  disk: string,
  options: readonly string[] = [],
): RunningTool {
  const bin = folderWithTool(site);
  const spill = site.folder();
  Deno.writeTextFileSync(`${bin}/qemu`, `#!/bin/sh\n${qemu}\n`, { mode: 0o755 });
  const command = [SCRIPT, "-c", "1M", "-s", spill, site.basedir, "Disk", disk, ...options];
  return site.use(
    new RunningTool(command, {
      env: { PATH: `${bin}:${Deno.env.get("PATH")}`, QEMU: `${bin}/qemu` },
      shell: 'echo typed | "$@"',
    }),
  );
}

fuseTest("examples/instant-recovery.sh refuses disks that hold something", async (site) => {
  await backUpDisk(site);
  const small = site.file("small", new Uint8Array(1_048_576));
  const device = await site.loopDevice(small);
  const mounted = await site.loopDevice(site.file("disk.img"));
  await site.mountDevice("-o", "ro", mounted);
  for (
    const [disk, reason] of [
      [small, "exists; name a new file"],
      [device, "is smaller than the 335544320 bytes of the image"],
      [mounted, "is mounted"],
    ] as const
  ) {
    const { code, stderr } = await startScript(site, "exit 0", disk).outcome();
    assertMatch(stderr, new RegExp(`^instant-recovery: ${disk} ${reason}`, "m"));
    assertEquals(code, 1);
  }
  assertEquals(Deno.readFileSync(small), new Uint8Array(1_048_576));
}, { programs: ["lsblk", "mkfs.ext4"] });

fuseTest("examples/instant-recovery.sh refuses a disk of a btrfs that is mounted", async (site) => {
  site.add("Disk", [sampleBytes(1)]);
  const disks = await Promise.all(["first", "second"].map(async (name) => {
    const backing = site.file(name);
    await run("truncate", "-s", "160M", backing);
    return await site.loopDevice(backing);
  }));
  await run("mkfs.btrfs", "-q", ...disks);
  await site.mountDevice("-o", `device=${disks[1]}`, disks[0]!);
  for (const disk of disks) {
    const { code, stderr } = await startScript(site, "exit 0", disk).outcome();
    assertMatch(stderr, new RegExp(`^instant-recovery: ${disk} is (mounted|in use)`, "m"));
    assertEquals(code, 1);
  }
}, { programs: ["lsblk", "mkfs.btrfs", "perl"] });

fuseTest("A larger disk is handed over while somebody looks at the mount", async (site) => {
  const { image } = site.add("Disk", [sampleBytes(1)]);
  const rest = new Uint8Array(1_048_576).fill(0xaa);
  const backing = site.file("new disk.img", new Uint8Array(image.length + rest.length).fill(0xaa));
  const [pid, disk] = [site.file("pid"), await site.loopDevice(backing)];
  const tool = startScript(
    site,
    `echo $$ >"${pid}"; exec qemu-system-x86_64 "$@"`,
    disk,
    ["-accel", "tcg", "-m", "64", "-nographic", "-nic", "none", "-S"],
  );
  await tool.untilSaid("the machine runs from the backup");
  const [, mnt] = /mounted at "(.*)"/.exec(tool.said)!;
  {
    using _looking = Deno.openSync(`${mnt}/Disk`);
    await tool.untilSaid("is the machine's disk now");
  }
  await run("kill", Deno.readTextFileSync(pid).trim());
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /the mount is in use; it is unmounted when qemu ends\n/);
  assert(!stderr.includes("qemu-img convert"), stderr);
  await run("blockdev", "--flushbufs", disk);
  const content = await Deno.readFile(backing);
  assertEquals(content.subarray(0, image.length), image);
  assertEquals(content.subarray(image.length), rest);
  assertEquals(namesIn(dirname(mnt!)), []);
}, { reason: machineProblem });

fuseTest("examples/instant-recovery.sh leaves nothing if qemu does not start", async (site) => {
  await backUpDisk(site);
  const disk = site.file("new disk.img");
  const qemu = 'read -r line; echo "no such option as was $line" >&2; exit 1';
  const tool = startScript(site, qemu, disk);
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /no such option as was typed\n.*qemu has ended before the copy was complete\n$/,
  );
  const [, mnt] = /mounted at "(.*)"/.exec(stderr)!;
  assertEquals(namesIn(dirname(mnt!)), []);
  // A file there would be refused next time.
  await assertRejects(() => Deno.stat(disk), Deno.errors.NotFound);
}, { programs: ["lsblk", "mkfs.ext4"] });

fuseTest("If qemu ends too early, the script says how to save the disk", async (site) => {
  await backUpDisk(site);
  const pid = site.file("pid");
  const tool = startScript(
    site,
    `echo $$ >"${pid}"; exec qemu-system-x86_64 "$@"`,
    site.file("new disk.img"),
    ["-accel", "tcg", "-m", "64", "-nographic", "-nic", "none", "-S"],
  );
  await tool.untilSaid("the machine runs from the backup");
  await run("kill", Deno.readTextFileSync(pid).trim());
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 1);
  const [, convert] = /(qemu-img convert .* )NEW-DISK$/m.exec(stderr)!;
  const [, release] = /(umount .* && rm -r .*)$/m.exec(stderr)!;
  const saved = site.file("saved.img");
  // Whoever walks through /tmp keeps it busy for a moment.
  await sh(`${convert}${shellQuote(saved)}; until ${release}; do sleep 0.1; done`);
  await run("cmp", saved, site.file("disk.img"));
  const [, mnt] = /mounted at "(.*)"/.exec(stderr)!;
  assertEquals(namesIn(dirname(mnt!)), []);
}, { reason: machineProblem });
