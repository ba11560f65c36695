/**
 * Limits of the process lead to fewer workers, or to a refusal that leaves no mount behind; never
 * to a panic that leaves one.
 */

import { assert, assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { OwnDenoDir } from "../support/own_deno_dir.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { FuseMount, fuseTest, mountsAt, type Site } from "./fuse_harness.ts";

const GIB = 2 ** 30;

/** Mounts under limits that prlimit(1) sets, and reads the image. @returns The output. */
async function mountUnder(
  site: Site,
  limits: string,
  image: Uint8Array,
): Promise<{ isMounted: boolean; said: string }> {
  const path = site.folder();
  const denoDir = site.use(new OwnDenoDir());
  const tool = site.start(["-t", "4", path], {
    shell: `ulimit -c 0; exec prlimit ${limits} -- "$@"`,
    env: denoDir.env,
  });
  // If the mount is refused, the process ends by itself.
  await tool.untilSaid("To unmount: ").catch(() => {});
  if (tool.said.includes("To unmount: ")) {
    await using mount = new FuseMount(path, tool);
    await assertContent(mount.file("R"), image);
    const { stderr } = await mount.end();
    return { isMounted: true, said: stderr };
  }
  const { code, stderr } = await tool.outcome();
  assertEquals(mountsAt(path), [], `${limits}: ${stderr}`);
  // If this was not printed, the runtime failed before the tool began.
  if (stderr.includes("Obtaining purge lock")) {
    assert(code === 1 && !stderr.includes("panicked"), `${limits}: ${code} ${stderr}`);
  }
  return { isMounted: false, said: stderr };
}

fuseTest("Few descriptors: fewer workers, or no mount", async (site) => {
  const { image } = site.add("R", [sampleBytes(1), "absent", sampleBytes(2)]);
  const said: string[] = [];
  for (let count = 8; count <= 80; count += 6) {
    const outcome = await mountUnder(site, `--nofile=${count}:${count}`, image);
    said.push(outcome.said);
    if (outcome.isMounted && !outcome.said.includes("Using ")) break;
  }
  const all = said.join("");
  const name = "the limit of open files (ulimit -n, fs.file-max) leaves";
  assert(all.includes(`backy-fuse: Cannot start a worker: ${name} too little; raise it`), all);
  assert(all.includes(`\nUsing 1 of 4 workers: ${name} no room for more\n`), all);
  assert(!said.at(-1)!.includes("Using "), all);
}, { programs: ["prlimit"] });

fuseTest("Little address space: fewer workers, or no mount", async (site) => {
  const { image } = site.add("R", [sampleBytes(1), "absent", sampleBytes(2)]);
  for (const gib of [20, 40, 100]) await mountUnder(site, `--as=${gib * GIB}`, image);
  const { isMounted, said } = await mountUnder(site, "--nofile=30:1000", image);
  assert(isMounted && !said.includes("Using "), said);
}, { programs: ["prlimit"] });
