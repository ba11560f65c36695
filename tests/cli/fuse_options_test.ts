/**
 * Each mount option either works or is refused in one line: with none does the tool report a mount
 * that does not exist.
 */

import { assert, assertEquals } from "../assert.ts";
import { ProgramHeaderType, readElf } from "../../release/portable/elf.ts";
import { assertContent } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { FUSE } from "../support/tool.ts";
import { assertRefused, fuseProblem, fuseTest, mountsAt, Site } from "./fuse_harness.ts";

const FAILURE = 1, USAGE = 2;

/** What mountinfo(5) shows of a mount, and of the file system itself. */
async function optionsAt(path: string): Promise<string[]> {
  const lines = (await Deno.readTextFile("/proc/self/mountinfo")).split("\n");
  const line = lines.find((line) => line.split(" ")[4] === path.replaceAll(" ", "\\040"))!;
  const fields = line.split(" ");
  return [...fields[5]!.split(","), ...fields.at(-1)!.split(",")];
}

/** Options that work, and what they change. */
const WORKING: readonly [options: string, shown: string][] = [
  ["max_read=131072", "max_read=131072"],
  ["max_read=4096,noatime", "max_read=4096"],
  ["max_read=4096,max_read=65536", "max_read=65536"],
  ["rw,dev,suid,exec,async", "rw"],
  ["sync,dirsync", "sync"],
  ["nodev,nosuid,noexec", "noexec"],
  ["default_permissions", "default_permissions"],
  ["auto_unmount", "default_permissions"],
  ["debug", "default_permissions"],
  ["allow_root,allow_other", "allow_other"],
];

for (const [options, shown] of WORKING) {
  fuseTest(`-o ${options} works`, async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const mount = await site.mount(["-o", options]);
    const found = await optionsAt(mount.path);
    assert(found.includes(shown), found.join());
    await assertContent(mount.file("Sample"), image);
    await mount.end();
  });
}

fuseTest(
  "-o fsname and subtype are what mount shows; by default the source is an absolute path",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const relative = await site.mount(["-d", "vm0"], { cwd: site.basedir.replace(/\/[^/]*$/, "") });
    assertEquals(mountsAt(relative.path)[0]?.source, site.basedir);
    await relative.end();
    const named = await site.mount(["-o", "fsname=name,subtype=kind"]);
    const { source, type } = mountsAt(named.path)[0]!;
    assertEquals([source, type], ["name", "fuse.kind"]);
    await named.end();
  },
);

/** Options that are refused: they belong to the kernel's protocol, mount(8) or block devices. */
const REFUSED: readonly (readonly [option: string, code: number, says: RegExp])[] = [
  ["max_read=0", USAGE, /^Cannot use mount option "max_read=0": it takes a number of bytes/],
  ["max_read=1M", USAGE, /^Cannot use mount option "max_read=1M"/],
  ["max_read", USAGE, /^Cannot use mount option "max_read"/],
  ["blkdev", FAILURE, /Block device required/],
  ...["fd=7", "rootmode=40000", "user_id=0", "group_id=0", "nonempty", "clone_fd", "bind"].map(
    (option) => [option, FAILURE, RegExp(`unknown option\\(s\\): \`-o ${option}'`)] as const,
  ),
];

for (const [option, code, says] of REFUSED) {
  fuseTest(`-o ${option} is refused in one line: exit ${code}`, async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder("mnt");
    await assertRefused(site.start(["-o", option, at]), { code, says, at });
  });
}

const LIBRARIES = "/usr/lib/x86_64-linux-gnu";

/** Runs the command that follows in a mount namespace in which libfuse is hidden. */
const HIDING = `
  set -e; mkdir "$PWD/t"; mount -t tmpfs t "$PWD/t"; mkdir "$PWD/t/u" "$PWD/t/w"
  mount -t overlay -o "lowerdir=${LIBRARIES},upperdir=$PWD/t/u,workdir=$PWD/t/w" o ${LIBRARIES}
  rm -f ${LIBRARIES}/libfuse3.so*; exec "$@"`;

function hidingProblem(): string | null {
  if (fuseProblem !== null) return fuseProblem;
  const folder = Deno.makeTempDirSync();
  using _lock = lockMounts("alone");
  try {
    const args = ["-m", "bash", "-c", `cd ${folder};${HIDING}`, "bash", "true"];
    const { success } = new Deno.Command("unshare", { args, stderr: "null" }).outputSync();
    return success ? null : "libraries cannot be hidden in a mount namespace";
  } catch {
    return "no unshare";
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Whether the tool is an executable that brings its own libraries. */
function isPortable(): boolean {
  const [path, ...options] = FUSE;
  if (options.length > 0) return false;
  const { headers } = readElf(Deno.readFileSync(path!), path!);
  return !headers.some(({ type }) => type === ProgramHeaderType.PT_INTERP);
}

const plainProblem = isPortable() ? "this executable brings its own libfuse" : null;
const portableProblem = isPortable() ? null : "only portable executables bring libfuse";

testUnless(
  hidingProblem() ?? portableProblem,
  "A portable executable needs no libfuse",
  async () => {
    using _lock = lockMounts("alone");
    await using site = new Site();
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder("mnt");
    // The mount is seen in its own mount namespace only.
    const use = `${HIDING.replace('exec "$@"', '"$@" &')}
    for i in $(seq 600); do grep -q " ${at} " /proc/self/mounts && break; sleep 0.1; done
    wc -c <${at}/Sample; umount ${at}; wait`;
    const quoted = use.replaceAll("'", "'\\''");
    const tool = site.start([at], { shell: `exec unshare -m bash -c '${quoted}' bash "$@"` });
    const { code, stdout, stderr } = await tool.outcome();
    assertEquals(new TextDecoder().decode(stdout).trim(), `${sampleBytes(1).length}`, stderr);
    assertEquals(code, 0, stderr);
  },
);

testUnless(
  hidingProblem() ?? plainProblem,
  "Without libfuse one line names the package",
  async () => {
    using _lock = lockMounts("alone");
    await using site = new Site();
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder("mnt");
    const quoted = HIDING.replaceAll("'", "'\\''");
    await assertRefused(
      site.start([at], { shell: `exec unshare -m bash -c '${quoted}' bash "$@"` }),
      {
        code: FAILURE,
        says: "Cannot load libfuse3: install it (Debian and Ubuntu: apt install fuse3); " +
          "tried libfuse3.so.3, libfuse3.so.4, libfuse3.so",
        at,
      },
    );
  },
);
