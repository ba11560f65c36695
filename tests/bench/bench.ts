/**
 * Prints how fast the codec and whole restores are on this machine.
 *
 *     deno task build && deno task bench [DIR]
 *
 * DIR (default /dev/shm, else a temporary directory) takes sample store and target, about 3 GiB; all is removed.
 *
 *     deno task bench --cold DIR
 *
 * compares the restore of a store that is not in the page cache with `cat` of its chunk files. It needs root, and a DIR on
 * the disk in question.
 *
 * @module
 */

import { benchCodec } from "./codec.ts";
import { benchCold, benchRestore } from "./restore.ts";

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

function hasSharedMemoryDir(): boolean {
  try {
    return Deno.statSync("/dev/shm").isDirectory;
  } catch {
    return false;
  }
}

const isCold = Deno.args[0] === "--cold";
if (!isCold) benchCodec(print);
const parent = Deno.args[isCold ? 1 : 0] ?? (hasSharedMemoryDir() ? "/dev/shm" : undefined);
const dir = Deno.makeTempDirSync({ prefix: "backy-bench-", ...(parent && { dir: parent }) });
try {
  await (isCold ? benchCold : benchRestore)(dir, print);
} finally {
  Deno.removeSync(dir, { recursive: true });
}
