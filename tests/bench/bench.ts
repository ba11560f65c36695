/**
 * Prints how fast the codec and whole restores are on this machine.
 *
 *     deno task build && deno task bench [DIR]
 *
 * DIR (default /dev/shm, else a temporary directory) holds a sample store and the target, about 3
 * GiB; everything is removed afterwards.
 *
 *     deno task bench --codec
 *
 * measures the codec only (`DENO_V8_FLAGS` sets flags of V8),
 *
 *     deno task bench --fuse [DIR]
 *
 * measures a mount and where the time of its reads goes (root, fio, mkfs.ext4),
 *
 *     deno task bench --nbd [DIR]
 *
 * copies an image by NBD (nbdcopy),
 *
 *     deno task bench --toolbox [DIR]
 *
 * updates, checks and dry runs,
 *
 *     deno task bench --scale [DIR]
 *
 * lists and checks of many revisions and of huge images (GNU time),
 *
 *     deno task bench --huge [DIR]
 *
 * maps of 4 to 64 TiB, and many small chunks,
 *
 *     deno task bench --cold DIR
 *
 * compares the restore of a store that is not in the page cache with `cat` of its chunk files
 * (root, and a DIR on the disk in question),
 *
 *     deno task bench --slow [DIR]
 *
 * does so for stores on a simulated file server and hard disk, with checks and mounts (root), and
 *
 *     deno task bench --disk DIR [SCENE...]
 *
 * compares restores to a file and to a loop device, updates, read-backs and restores of a cold
 * store with a plain restore in C and with `dd` (5 GiB in DIR, 1 GiB in memory; cc and liblzo2;
 * root for some). Scenes: file, device, update, verify, cold.
 *
 * All but the codec's figures are those of dist/backy-extract, of the executable that
 * `BACKY_EXTRACT` names, or of the sources.
 *
 * @module
 */

import { benchCodec } from "./codec.ts";
import { benchDisk } from "./disk.ts";
import { benchFuse } from "./fuse.ts";
import { benchHuge } from "./huge.ts";
import { benchNbd } from "./nbd.ts";
import { benchCold, benchRestore, sharedMemoryDir } from "./restore.ts";
import { benchScale } from "./scale.ts";
import { benchSlow } from "./slow.ts";
import { benchToolbox } from "./toolbox.ts";

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

const [first, second, ...rest] = Deno.args;
const isChosen = first?.startsWith("--");
if (!isChosen || first === "--codec") benchCodec(print);
if (first !== "--codec") {
  const parent = (isChosen ? second : first) ?? sharedMemoryDir();
  const dir = Deno.makeTempDirSync({ prefix: "backy-bench-", ...(parent && { dir: parent }) });
  try {
    if (first === "--cold") await benchCold(dir, print);
    else if (first === "--disk") await benchDisk(dir, rest, print);
    else if (first === "--fuse") await benchFuse(dir, print);
    else if (first === "--huge") await benchHuge(dir, print);
    else if (first === "--nbd") await benchNbd(dir, print);
    else if (first === "--scale") await benchScale(dir, print);
    else if (first === "--slow") await benchSlow(dir, print);
    else if (first === "--toolbox") await benchToolbox(dir, print);
    else await benchRestore(dir, print);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}
