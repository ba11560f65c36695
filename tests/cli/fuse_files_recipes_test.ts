/** Runs the commands that docs/files.md shows. */

import { assertEquals } from "../assert.ts";
import { sh } from "../support/programs.ts";
import { FUSE } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { FSTAB, makeBtrfs, makeDirty, makeDisk, makeNtfs } from "./disk_images.ts";
import { FILES_PROGRAMS, leftovers, startFiles } from "./files_harness.ts";
import { fuseTest, type Site } from "./fuse_harness.ts";
import { recipe, shellQuote } from "./recipes.ts";

const DOCUMENT = "docs/files.md";
const PROGRAMS = { programs: FILES_PROGRAMS };

/** Adds a revision of a disk whose first partition is an ext4. */
async function addDisk(site: Site): Promise<void> {
  const disk = await makeDisk(site, [{ content: await makeDirty(site, "ext4", 16) }]);
  site.addImage(`Rev${crypto.randomUUID().slice(0, 8)}`, disk);
}

/** Runs commands with this site's folders in place of theirs. @returns What stood for /root. */
async function follow(
  site: Site,
  commands: readonly string[],
  place: string,
  name = "home",
): Promise<string> {
  const home = site.folder(name);
  const programs = site.folder(`programs for ${name}`);
  // `exec` does not run functions.
  const tool = `${programs}/backy-fuse`;
  await Deno.writeTextFile(tool, `#!/bin/sh\nexec ${FUSE.map(shellQuote).join(" ")} "$@"\n`);
  await Deno.chmod(tool, 0o755);
  const script = commands.map((command) =>
    command.replaceAll("/srv/backy/vm0", shellQuote(site.basedir))
      .replaceAll("/mnt/restore", shellQuote(place))
      .replaceAll("/root/", `${shellQuote(home)}/`)
  );
  await sh(`PATH=${shellQuote(programs)}:$PATH\n${script.join("\n")}`);
  return home;
}

for (const heading of ["One file", "In a script, or in two terminals"]) {
  fuseTest(`The commands of "${heading}" bring a file, and leave nothing`, async (site) => {
    await addDisk(site);
    const home = await follow(site, recipe(DOCUMENT, heading), site.file("place"));
    assertEquals(await Deno.readTextFile(`${home}/fstab`), FSTAB);
    await until(() => leftovers(site).length === 0, "the end of all");
  }, PROGRAMS);
}

fuseTest('The command of "Look around" opens a shell', async (site) => {
  await addDisk(site);
  const [command] = recipe(DOCUMENT, "Look around");
  const home = await follow(site, [`echo cp 1/etc/fstab /root/ | ${command}`], site.file("x"));
  assertEquals(await Deno.readTextFile(`${home}/fstab`), FSTAB);
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("README's commands bring a file and open a shell", async (site) => {
  await addDisk(site);
  const [copy, look] = recipe("README.md", "Single files") as [string, string];
  const home = await follow(site, [copy], site.file("x"));
  assertEquals(await Deno.readTextFile(`${home}/fstab`), FSTAB);
  // The only revision is of another day.
  const newest = look.replace("-r 2026-01-31", "-r last").replace(/#.*/, "");
  await sh('rm "$1"', `${home}/fstab`);
  const again = [`echo cp 1/etc/fstab /root/ | ${newest}`];
  assertEquals(
    await follow(site, again, site.file("x"), "again").then((home) =>
      Deno.readTextFile(`${home}/fstab`)
    ),
    FSTAB,
  );
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest('The command of "The end" cleans up', async (site) => {
  await addDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  tool.signal("SIGKILL");
  await tool.outcome();
  await follow(site, recipe(DOCUMENT, "The end"), place);
  assertEquals(leftovers(site), []);
}, PROGRAMS);

/** The commands of the table, by the kind of file system that they are for. */
function commandsByHand(): Map<string, string> {
  const text = Deno.readTextFileSync(new URL(`../../${DOCUMENT}`, import.meta.url));
  const rows = text.matchAll(/^\| (\S+?),? .*\| `([^`]+)` +\|$/gm);
  return new Map([...rows].map(([, kind, command]) => [kind!, command!]));
}

fuseTest("The commands of the table do by hand what files does", async (site) => {
  const makers: Readonly<Record<string, () => Promise<string>>> = {
    ext2: () => makeDirty(site, "ext4", 16),
    XFS: () => makeDirty(site, "xfs", 320),
    btrfs: () => makeBtrfs(site, 120),
    NTFS: () => makeNtfs(site, 32),
  };
  const commands = commandsByHand();
  // A kernel may have no FAT.
  assertEquals([...commands.keys()], [...Object.keys(makers), "FAT"]);
  for (const [kind, make] of Object.entries(makers)) {
    const name = `Rev${kind}`;
    site.addImage(name, await makeDisk(site, [{ content: await make() }]));
    const mount = await site.mount();
    const place = site.folder();
    const command = commands.get(kind)!.replace("/mnt/restore", shellQuote(place));
    const found = await sh(
      `loop=$(losetup --show -f "$1"); ${command}
       cat "$2"/etc/fstab || cat "$2"/@/etc/fstab; umount "$2"; losetup -d "$loop"`,
      mount.file(`${name}.parts/1`),
      place,
    );
    assertEquals(found, FSTAB, kind);
    await mount.end();
  }
}, { programs: [...FILES_PROGRAMS, "mkntfs", "ntfs-3g"] });
