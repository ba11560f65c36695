/** `backy-fuse files` where mount namespaces are made: no other test may mount meanwhile. */

import { mountNamespace } from "../../lib/linux/processes.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { sh } from "../support/programs.ts";
import { FUSE } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { addDirtyDisk } from "./disk_images.ts";
import { FILES_PROGRAMS, leftovers, startFiles } from "./files_harness.ts";
import { fuseTest, messagesOf } from "./fuse_harness.ts";

const PROGRAMS = { programs: FILES_PROGRAMS };

for (const propagation of ["private", "shared"]) {
  fuseTest(`files works where mounts are ${propagation}`, async (site) => {
    await addDirtyDisk(site);
    const place = site.folder("place");
    const words = [...FUSE, "files", site.basedir, place, "--", "cat", "1/etc/fstab"];
    const found = await sh(
      `unshare -m --propagation ${propagation} "$@"`,
      ...words,
    );
    assertMatch(found, /^\/dev\/vda1/);
    assertEquals(leftovers(site), []);
  }, { ...PROGRAMS, hasNamespaces: true });
}

fuseTest("A mount namespace that keeps a file system is named, and waited for", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  const own = mountNamespace("self");
  const keeper = new Deno.Command("unshare", { args: ["-m", "sleep", "1000"] }).spawn();
  await until(() => ![own, null].includes(mountNamespace(keeper.pid)), "the namespace");
  tool.signal("SIGTERM");
  await tool.untilSaid("is in use by");
  assert(
    messagesOf(tool.said).some((line) =>
      line.includes(`pid ${keeper.pid} (sleep 1000) in another mount namespace`)
    ),
    tool.said,
  );
  keeper.kill("SIGKILL");
  await keeper.status;
  assertEquals((await tool.outcome()).code, 0);
  assertEquals(leftovers(site), []);
}, { ...PROGRAMS, hasNamespaces: true });
