/**
 * What a portable `backy-fuse` starts: itself, in the background, by whatever name it was called;
 * commands, in the environment of their user; and where it starts at all.
 */

import { assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { fusePortableProblem } from "../support/portable.ts";
import { run, runSync } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { FUSE } from "../support/tool.ts";
import { runFiles } from "./files_harness.ts";
import { assertRefused, fuseTest } from "./fuse_harness.ts";

const NAMES: readonly [name: string, line: string][] = [
  ["a relative path", 'cd "$BIN"; exec ./backy-fuse "${@:2}"'],
  ["a symbolic link", 'cd "$BIN"; ln -s bin/backy-fuse ../link; exec ../link "${@:2}"'],
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

fuseTest("A command of files gets the environment of its user, and its own PWD", async (site) => {
  const disk = site.file("disk", new Uint8Array(8_388_608));
  runSync("mkfs.ext4", "-q", "-F", disk);
  site.addImage("Disk", disk);
  const shell = `exec env -i PATH="$PATH" HOME=/h LD_PRELOAD=/lib/none.so LD_LIBRARY_PATH=/tmp \\
    DENO_LOG=x BAD=$'\\xff' "$@"`;
  const { code, stdout, stderr } = await runFiles(site, [site.basedir, "--", "env"], { shell });
  assertEquals(code, 0, stderr);
  const path = Deno.env.get("PATH")!;
  // Byte by byte: one value is not UTF-8.
  const entries = new TextDecoder("latin1").decode(stdout).split("\n");
  assertEquals(entries.map((entry) => entry.replace(/^PWD=\/run\/backy-fuse-\w+\/files$/, "PWD")), [
    `PATH=${path}`,
    "HOME=/h",
    "LD_PRELOAD=/lib/none.so",
    "LD_LIBRARY_PATH=/tmp",
    "DENO_LOG=x",
    "BAD=\u00ff",
    "PWD",
    "",
  ]);
}, { reason: fusePortableProblem, programs: ["mkfs.ext4"] });

const notX86 = Deno.build.arch === "x86_64" ? null : "it is about x86_64";
const kvm64 = ["qemu-x86_64", "-cpu", "kvm64"] as const;

fuseTest("A processor without SSE4.1 is named before anything is mounted", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  const tool = site.start([at], { shell: `exec ${kvm64.join(" ")} "$@"` });
  await assertRefused(tool, {
    code: 1,
    says: "Cannot decode: this processor lacks SSE4.1 (made before 2008, or hidden by a virtual " +
      "machine); use another machine or processor type",
    at,
  });
  for (const option of ["--version", "--help"]) await run(...kvm64, FUSE[0]!, option);
}, { reason: fusePortableProblem ?? notX86, programs: ["qemu-x86_64"] });
