/** Targets that are written past the page cache by two workers, with writes in flight. */

import type { RestoreOptions } from "../../lib/restore/restore.ts";
import { assertBytes, fill, patched } from "../support/bytes.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  mountNew,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { CHUNK_BYTES, Scene } from "./scene.ts";

// Two distinct chunks, so that each worker has one, to write often.
const LETTERS = "aBaBaBaBa.aBaBaBaBaBaBaB";
const SIZE = LETTERS.length * CHUNK_BYTES - 1_234_567;
const RANGE = { offset: CHUNK_BYTES + 12_345, length: SIZE - CHUNK_BYTES - 99_999 };

/** Reads a file or device through the page cache, over and over, until it is disposed of. */
function cachedReader(path: string): AsyncDisposable {
  const script = 'while :; do cat <&3; cat -- "$1"; done >/dev/null 3<"$1"';
  const child = new Deno.Command("sh", { args: ["-c", script, "sh", path] }).spawn();
  return {
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.status;
    },
  };
}

/** What the storage has, and what the page cache says. */
async function contents(path: string, bytes: number): Promise<Uint8Array[]> {
  const read = async (...flags: string[]) => {
    const args = ["bs=1M", `count=${Math.ceil(bytes / 1_048_576)}`, `if=${path}`, ...flags];
    const { stdout } = await new Deno.Command("dd", { args, stderr: "null" }).output();
    return stdout.subarray(0, bytes);
  };
  return [await read(), await read("iflag=direct")];
}

/** Restores with a reader beside, in several ways, and looks at what is there. */
async function restoreBesideReader(target: string): Promise<void> {
  using scene = new Scene();
  const revision = scene.store.add("Revision", LETTERS, { size: SIZE });
  const wanted = revision.image.subarray(RANGE.offset, RANGE.offset + RANGE.length);
  const old = fill(SIZE);
  const ways: [RestoreOptions["range"], boolean, Uint8Array][] = [
    [RANGE, false, patched(old, RANGE.offset, wanted)],
    [undefined, true, revision.image],
  ];
  await Deno.writeFile(target, old);
  for (const [range, update, expected] of ways) {
    {
      await using _reader = cachedReader(target);
      await scene.restore({
        revision: revision.path,
        output: target,
        update,
        direct: "always",
        ...(range && { range }),
      });
      // Nothing is dropped from the cache of a device that somebody has open.
      for (const content of await contents(target, SIZE)) assertBytes(content, expected);
    }
    // The update finds all of this to be different.
    if (!update) await Deno.writeFile(target, old);
  }
}

for (const type of ["ext4", "xfs", "btrfs"]) {
  testUnless(
    loopDeviceProblem() ?? programProblem(`mkfs.${type}`),
    `restore() writes a file on ${type} by two workers while another program reads it`,
    async () => {
      using scratch = new Scratch();
      using mount = mountNew(type, scratch);
      await restoreBesideReader(`${mount.path}/image`);
    },
  );
}

for (const sectorBytes of [512, 4096]) {
  testUnless(
    loopDeviceProblem(),
    `restore() writes a device with sectors of ${sectorBytes} bytes by two workers while another program reads it`,
    async () => {
      using device = new LoopDevice(LETTERS.length * CHUNK_BYTES, { sectorBytes });
      await restoreBesideReader(device.path);
    },
  );
}
