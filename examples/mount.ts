// deno-lint-ignore-file no-console -- an example prints
/**
 * Mounts a backup directory until Ctrl-C, as `backy-fuse` does.
 *
 *     deno run -A examples/mount.ts /srv/backy/vm0 /mnt
 *
 * @module
 */

import { mountBackup } from "../lib/mod.ts";

const [basedir, mountpoint] = Deno.args;
if (basedir === undefined || mountpoint === undefined) {
  console.error("usage: mount.ts DIRECTORY MOUNTPOINT");
  Deno.exit(2);
}

const mounted = await mountBackup({
  basedir,
  mountpoint,
  onEvent(event) {
    if (event.type === "warning") console.error(`warning: ${event.text}`);
  },
});
console.log(`${mounted.revisionCount} revisions at ${mounted.mountpoint}`);
Deno.addSignalListener("SIGINT", async () => {
  const users = await mounted.unmount();
  if (users) console.error(`still in use by ${users.join(", ")}`);
});
await mounted.closed;
