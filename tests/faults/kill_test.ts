/**
 * Processes that are killed in mid-restore: what they leave behind, and how an update continues.
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertSuccess, extract, startExtract } from "../cli/harness.ts";
import { assertBytes, isBegun } from "../support/bytes.ts";
import { allocatedBytes, LoopDevice, loopDeviceProblem, testUnless } from "../support/machine.ts";
import { canLockExclusively } from "../support/flock.ts";
import { runSync } from "../support/programs.ts";
import { pause, until } from "../support/wait.ts";
import { FaultStore } from "./fault_store.ts";

const CHUNKS = 8;
/** A chunk's file has some 100 KB, so a restore takes seconds. */
const SLOW = "--bwlimit=400K";

let store: FaultStore;
Deno.test.beforeAll(() => void (store = new FaultStore({ chunks: CHUNKS, lastBytes: 70_001 })));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Names and times of everything in the store. */
function storeFiles(): string {
  return runSync("find", store.basedir, "-printf", "%P %s %T@ %m\n");
}

/** Starts a restore and kills it when the target has this many bytes of data. */
async function killAt(bytes: number, output: string, ...options: string[]): Promise<void> {
  await using tool = startExtract(["-t", "1", SLOW, ...options, store.revision.path, output]);
  const written = () => {
    try {
      return allocatedBytes(output);
    } catch {
      return -1;
    }
  };
  await until(() => written() >= bytes || tool.hasEnded, `${bytes} bytes`);
  tool.signal("SIGKILL");
  const { signal } = await tool.outcome();
  assertEquals(signal, "SIGKILL");
}

for (const seqs of [0, 1, 4, CHUNKS - 1]) {
  Deno.test(`A restore that is killed after ${seqs} chunks leaves no lock and no files, and an update completes it`, async () => {
    const before = storeFiles();
    const output = store.file(`killed ${seqs}`);
    await killAt(seqs === 0 ? 0 : (seqs - 0.5) * CHUNK_BYTES, output);
    assertEquals(storeFiles(), before);
    assert(canLockExclusively(`${store.basedir}/.purge`));
    const outcome = await extract(["--update", "--json", store.revision.path, output]);
    assertEquals(outcome.code, 0, outcome.stderr);
    assertBytes(Deno.readFileSync(output), store.image);
    // Finished chunks were not written again.
    const said = outcome.stderr + new TextDecoder().decode(outcome.stdout);
    const same = Number(/"sameBytes":(\d+)[^\n]*\n$/.exec(said)?.[1]);
    assert(same >= (seqs - 1) * CHUNK_BYTES, `${same}`);
  });
}

Deno.test("An update that is killed again and again is completed in the end, over any old content", async () => {
  const old = new Uint8Array(store.image.length + CHUNK_BYTES).fill(0x55);
  const output = store.file("killed again", old);
  for (let round = 0; round < 3; round++) {
    await using tool = startExtract(["-t", "2", SLOW, "--update", store.revision.path, output]);
    await tool.untilSaid("Revision");
    await pause(300);
    tool.signal("SIGKILL");
    await tool.outcome();
  }
  assertSuccess(await extract(["--update", store.revision.path, output]));
  assertBytes(Deno.readFileSync(output).subarray(0, store.image.length), store.image);
});

testUnless(
  loopDeviceProblem(),
  "A restore to a device that is killed is completed by an update",
  async () => {
    using device = new LoopDevice(10 * CHUNK_BYTES);
    await using tool = startExtract(["-t", "1", SLOW, store.revision.path, device.path]);
    await until(() => isBegun(device.path, store.image) || tool.hasEnded, "the first chunk");
    tool.signal("SIGKILL");
    await tool.outcome();
    assertSuccess(await extract(["--update", store.revision.path, device.path]));
    assertBytes(device.read().subarray(0, store.image.length), store.image);
  },
);
