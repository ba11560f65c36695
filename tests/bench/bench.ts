/**
 * Prints how fast the codec and whole restores are on this machine.
 *
 *     deno task build && deno task bench [DIR]
 *
 * DIR (default /dev/shm, else a temporary directory) takes sample store and target, about 3 GiB; all is removed.
 *
 * @module
 */

import { benchCodec } from "./codec.ts";
import { benchRestore } from "./restore.ts";

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

benchCodec(print);
const parent = Deno.args[0] ?? (hasSharedMemoryDir() ? "/dev/shm" : undefined);
const dir = Deno.makeTempDirSync({ prefix: "backy-bench-", ...(parent && { dir: parent }) });
try {
  await benchRestore(dir, print);
} finally {
  Deno.removeSync(dir, { recursive: true });
}
