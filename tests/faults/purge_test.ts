/** Purges, backups and other restores at the same time. */

import { check } from "../../lib/check/check.ts";
import { assert, assertEquals } from "../assert.ts";
import { fuseTest } from "../cli/fuse_harness.ts";
import { assertBytes, assertContent } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { EventWatch, FaultStore } from "./fault_store.ts";
import { StalledRestore } from "./stalled_restore.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { until } from "../support/wait.ts";

/** Whether a purge could begin: it takes the lock exclusively and does not wait. */
function canPurge(basedir: string): boolean {
  const args = ["-n", "-x", `${basedir}/.purge`, "true"];
  return new Deno.Command("flock", { args, stderr: "null" }).outputSync().success;
}

/** A running backup: holds `.backup` exclusively and `.purge` shared. */
class BackupLike implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdout: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

  constructor(basedir: string) {
    const holder =
      'exec flock -x "$1/.backup" flock -s "$1/.purge" sh -c "echo held; exec sleep 60"';
    this.#child = new Deno.Command("bash", {
      args: ["-c", `set -m; trap 'kill %1' TERM; (${holder}) & wait`, "bash", basedir],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.#stdout = this.#child.stdout.getReader();
  }

  async untilHeld(): Promise<void> {
    const { value } = await this.#stdout.read();
    assertEquals(new TextDecoder().decode(value), "held\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#stdout.cancel();
  }
}

const problem = programProblem("flock");

testUnless(
  problem,
  "A purge cannot begin while a restore runs, and can when it has ended",
  async () => {
    using store = new FaultStore({ chunks: 6 });
    assert(canPurge(store.basedir));
    await using stalled = await StalledRestore.start(store);
    assert(!canPurge(store.basedir));
    assertBytes(await stalled.readAll(), store.image);
    assertEquals(await stalled.ended, null);
    assert(canPurge(store.basedir));
  },
);

testUnless(problem, "A purge cannot begin in a store that chunks are borrowed from", async () => {
  using store = new FaultStore({ chunks: 6 });
  using other = new FaultStore({ chunks: 1 });
  await using _stalled = await StalledRestore.start(store, { also: [other.basedir] });
  assert(!canPurge(other.basedir));
});

testUnless(
  problem,
  "A purge cannot begin while a check runs, and can when it has ended",
  async () => {
    using store = new FaultStore({ chunks: 4 });
    const watch = new EventWatch();
    const revisions = [store.revision.path];
    const running = check({
      revisions,
      threads: 1,
      readBytesPerSecond: 200_000,
      onEvent: (event) => watch.onEvent(event as never),
    });
    await watch.until("locking");
    await until(() => !canPurge(store.basedir), "the lock");
    await running;
    assert(canPurge(store.basedir));
  },
);

testUnless(
  problem,
  "A restore that fails or is interrupted releases the lock",
  async () => {
    using store = new FaultStore({ chunks: 6 });
    {
      await using _stalled = await StalledRestore.start(store);
    }
    assert(canPurge(store.basedir));
    const output = store.file("image");
    Deno.removeSync(store.chunkFileAt(3));
    await store.restore({ output }).then(() => assert(false), () => {});
    assert(canPurge(store.basedir));
  },
);

testUnless(
  problem,
  "Two restores and a backup run side by side, and keep a purge away",
  async () => {
    using store = new FaultStore({ chunks: 6, lastBytes: 100 });
    await using backup = new BackupLike(store.basedir);
    await backup.untilHeld();
    await using first = await StalledRestore.start(store, { lockTimeoutMs: 0 });
    await using second = await StalledRestore.start(store, { lockTimeoutMs: 0 });
    assert(!canPurge(store.basedir));
    const images = await Promise.all([first.readAll(), second.readAll()]);
    for (const image of images) assertBytes(image, store.image);
    assertEquals(await first.ended, null);
    assertEquals(await second.ended, null);
    // The backup still runs.
    assert(!canPurge(store.basedir));
  },
);

fuseTest("A purge cannot begin while the store is mounted, and can afterwards", async (site) => {
  const { image } = site.add("Revision", [sampleBytes(1, 5000)]);
  const mount = await site.mount();
  assert(!canPurge(site.basedir));
  await assertContent(mount.file("Revision"), image);
  await mount.end();
  assert(canPurge(site.basedir));
}, { programs: ["flock"] });
