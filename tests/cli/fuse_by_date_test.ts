/** Revisions by their time in a mount, and who may read what. */

import { assertEquals, assertStringIncludes } from "../assert.ts";
import { run, sh, tryRun } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { until } from "../support/wait.ts";
import { type FuseMount, fuseTest, type Site } from "./fuse_harness.ts";

const CHUNKS = [sampleBytes(1, 5000)];

function addAt(site: Site, name: string, timestamp: string, isComplete = true): void {
  site.add(name, CHUNKS, { timestamp: `${timestamp}+00:00`, isComplete });
}

/** The names in `by-date` with what they lead to. */
async function links(mount: FuseMount): Promise<string[]> {
  const text = await sh(
    'cd "$1/by-date"; for name in *; do echo "$name $(readlink "$name")"; done',
    mount.path,
  );
  return text.trim().split("\n");
}

fuseTest("by-date has each finished revision by its local time, in order", async (site) => {
  addAt(site, "Night", "2026-11-26 23:30:00");
  addAt(site, "First", "2026-11-27 03:00:05.25");
  addAt(site, "Second", "2026-11-27 03:00:31");
  addAt(site, "Twin", "2026-11-27 03:00:31.5");
  addAt(site, "Third", "2026-11-27 03:01:00");
  addAt(site, "Running", "2026-11-28 03:00:00", false);
  site.add("Undated", CHUNKS, { timestamp: "yesterday" });
  const mount = await site.mount([], { env: { TZ: "Europe/Berlin" } });
  assertEquals(await links(mount), [
    "2026-11-27T00:30 ../Night",
    "2026-11-27T04:00 ../First",
    "2026-11-27T04:00:31 ../Second",
    "2026-11-27T04:00:31.500 ../Twin",
    "2026-11-27T04:01 ../Third",
  ]);
  const byDate = mount.file("by-date");
  await run("cmp", `${byDate}/2026-11-27T00:30`, mount.file("Night"));
  assertEquals((await run("ls", `${byDate}/2026-11-27T00:30.parts`)).trim(), "");
  assertEquals((await tryRun("ls", `${byDate}/2026-11-27T03:00`)).code, 2);
  assertEquals(
    await run("getfattr", "--only-values", "--absolute-names", "-n", "user.backy.timezone", byDate),
    "Europe/Berlin",
  );
  assertEquals(mount.messages, []);
}, { programs: ["getfattr"] });

fuseTest("by-date follows revisions that appear, finish and vanish", async (site) => {
  addAt(site, "Old", "2026-11-26 03:00:00");
  addAt(site, "New", "2026-11-27 03:00:00", false);
  const mount = await site.mount([], { env: { TZ: "UTC" } });
  const old = "2026-11-26T03:00 ../Old";
  assertEquals(await links(mount), [old]);
  addAt(site, "New", "2026-11-27 03:00:00");
  const after = [old, "2026-11-27T03:00 ../New"];
  await until(async () => (await links(mount)).length === 2, "the new revision");
  assertEquals(await links(mount), after);
  await run("cmp", mount.file("by-date/2026-11-27T03:00"), mount.file("New"));
  await Deno.remove(`${site.basedir}/Old.rev`);
  await Deno.remove(`${site.basedir}/Old`);
  await until(async () => (await links(mount)).length === 1, "the end of the old one");
  assertEquals(await links(mount), after.slice(1));
  assertEquals((await tryRun("cat", mount.file("by-date/2026-11-26T03:00"))).code, 1);
});

fuseTest("Listing a thousand revisions reads no partition table and no map", async (site) => {
  for (let number = 0; number < 1000; number++) {
    const name = `R${number}`;
    const minute = String(number % 60).padStart(2, "0");
    const hour = String(Math.floor(number / 60)).padStart(2, "0");
    addAt(site, name, `2026-11-26 ${hour}:${minute}:00`);
    // Whoever reads it fails, and says so; the size stands at the end.
    Deno.writeTextFileSync(`${site.basedir}/${name}`, '{"mapping": {"x": 1}, "size": 4194304}');
  }
  const mount = await site.mount();
  assertEquals((await run("ls", "-l", mount.path)).trim().split("\n").length, 1004);
  assertEquals((await run("ls", "-l", mount.file("by-date"))).trim().split("\n").length, 1001);
  await run("ls", "-ld", mount.file("R0.parts"), mount.file("R999.parts"));
  assertEquals(mount.messages, []);
  assertEquals((await tryRun("ls", mount.file("R0.parts"))).code, 2);
  assertEquals(mount.messages.length, 1, mount.tool.said);
});

fuseTest(
  "With allow_other everyone may read everything, and nobody but the owner write",
  async (site) => {
    addAt(site, "Rev", "2026-11-26 03:00:00");
    await run("chmod", "755", site.file("."));
    const as = (user: string[], script: string, path: string) =>
      tryRun("setpriv", ...user, "--clear-groups", "sh", "-c", script, "sh", path);
    const nobody = ["--reuid=65534", "--regid=65534"];
    const READS = 'cat "$1/Rev" "$1/last" >/dev/null && ls "$1/by-date" "$1/Rev.parts" >/dev/null';
    const WRITES = 'printf x | dd of="$1/Rev" conv=notrunc status=none';
    const mount = await site.mount(["-o", "allow_other"]);
    assertEquals((await as(nobody, READS, mount.path)).code, 0);
    assertStringIncludes((await as(nobody, WRITES, mount.path)).stderr, "Permission denied");
    assertEquals((await tryRun("sh", "-c", WRITES, "sh", mount.path)).code, 0);
    await mount.end();
    const closed = await site.mount();
    assertStringIncludes((await as(nobody, READS, closed.path)).stderr, "Permission denied");
    assertEquals((await tryRun("sh", "-c", READS, "sh", closed.path)).code, 0);
  },
  { programs: ["setpriv"] },
);
