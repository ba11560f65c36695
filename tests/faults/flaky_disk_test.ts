/**
 * Disks that fail below the page cache: what counts is what is on the disk, not what the kernel
 * still remembers.
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals, assertStringIncludes } from "../assert.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { Site } from "../cli/fuse_harness.ts";
import { assertFailure, assertSuccess, extract } from "../cli/harness.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { FaultStore } from "./fault_store.ts";
import { type DiskFormat, FlakyDisk, flakyDiskProblem } from "./flaky_disk.ts";

const TARGET = 4;
const FORMATS: readonly DiskFormat[] = ["ext4", "xfs", "btrfs", "none"];
const MARKER_BYTES = 64;

let store: FaultStore;
/** Of the first chunk; unlike any other bytes of the image. */
let marker: Uint8Array;
/** An image in which every chunk differs from the store's. */
let otherImage: Uint8Array;
Deno.test.beforeAll(() => {
  store = new FaultStore({ chunks: 5, lastBytes: 4096 * 3 });
  marker = store.image.slice(8192, 8192 + MARKER_BYTES);
  otherImage = store.image.map((byte) => byte ^ 0x5a);
});
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Declares a test for each kind of disk. */
function diskTest(
  name: string,
  body: (disk: FlakyDisk) => Promise<void>,
  formats: readonly DiskFormat[] = FORMATS,
): void {
  for (const format of formats) {
    testUnless(flakyDiskProblem(format), `${name} (${format})`, async () => {
      using _lock = lockMounts("shared");
      await using site = new Site();
      await body(await FlakyDisk.make(site, format));
    });
  }
}

function restore(disk: FlakyDisk, ...options: string[]) {
  return extract(["-q", ...options, store.revision.path, disk.target]);
}

async function assertOnDisk(disk: FlakyDisk): Promise<void> {
  assertBytes(await disk.read(store.image.length), store.image);
}

/** Writes through the page cache, so that only the flush sees what the disk says. */
const CACHED = "--direct=never";

/** Asserts that a restore failed at the flush, and said what to do. */
async function assertFlushFails(disk: FlakyDisk, ...options: string[]): Promise<void> {
  await assertFails(disk, `Cannot flush "${disk.target}"`, CACHED, ...options);
}

async function assertFails(
  disk: FlakyDisk,
  what: string,
  ...options: string[]
): Promise<void> {
  const isUpdate = options.includes("--update");
  assertFailure(await restore(disk, ...options), {
    code: TARGET,
    says: [
      `${what}: Input/output error (EIO)`,
      `"${disk.target}" is incomplete: the same command ${
        isUpdate ? "" : "with --update "
      }writes what is missing`,
    ],
  });
}

function fillTarget(disk: FlakyDisk, content: Uint8Array): void {
  using file = Deno.openSync(disk.target, { write: true, create: true });
  for (let done = 0; done < content.length;) done += file.writeSync(content.subarray(done));
  file.syncDataSync();
}

diskTest(
  "A write that fails when it is written back: an update mends a first restore",
  async (disk) => {
    disk.set({ marker, onWrite: "fail" });
    await assertFlushFails(disk);
    disk.set();
    assertSuccess(await restore(disk, "--update"));
    await assertOnDisk(disk);
  },
);

diskTest("A write that fails when it is written back: an update mends an update", async (disk) => {
  fillTarget(disk, otherImage);
  disk.set({ marker, onWrite: "fail" });
  await assertFlushFails(disk, "--update");
  await assertFlushFails(disk, "--update");
  disk.set();
  assertSuccess(await restore(disk, "--update"));
  await assertOnDisk(disk);
});

diskTest(
  "A write that fails unnoticed: an update writes it, and says that it was lost",
  async (disk) => {
    disk.set({ marker, onWrite: "fail" });
    assertEquals((await restore(disk, CACHED, "--no-sync")).code, 0);
    // Only this program, not the tool, has seen the error so far.
    new Deno.Command("sync", { args: [disk.target] }).outputSync();
    disk.set();
    const outcome = await restore(disk, "--update");
    assertEquals(outcome.code, 0, outcome.stderr);
    await assertOnDisk(disk);
  },
);

diskTest("Errors that nobody has seen yet do not end an update", async (disk) => {
  fillTarget(disk, otherImage);
  disk.set({ marker, onWrite: "fail" });
  assertEquals((await restore(disk, CACHED, "--no-sync")).code, 0);
  const outcome = await restore(disk, CACHED, "--update");
  // It gets the error of the previous restore, goes on, and gets its own at the end.
  assertEquals(outcome.code, TARGET, outcome.stderr);
  assertStringIncludes(
    outcome.stderr,
    `earlier writes to "${disk.target}" were lost: Input/output`,
  );
  assertStringIncludes(outcome.stderr, "Cannot flush");
  disk.set();
  assertSuccess(await restore(disk, "--update"));
  await assertOnDisk(disk);
});

diskTest(
  "A direct write that fails is named with its byte, and an update mends it",
  async (disk) => {
    disk.set({ marker, onWrite: "fail" });
    const isWrite = `Cannot write "${disk.target}" at byte 0`;
    await assertFails(disk, isWrite);
    await assertFails(disk, isWrite, "--update");
    disk.set();
    assertSuccess(await restore(disk, "--update"));
    await assertOnDisk(disk);
  },
  FORMATS.filter((format) => format !== "btrfs"),
);

diskTest("A write that is lost is found by --verify-target", async (disk) => {
  disk.set({ marker, onWrite: "lose" });
  const outcome = await restore(disk, "--verify-target");
  assertEquals(outcome.code, TARGET, outcome.stderr);
  assertStringIncludes(outcome.stderr, `it does not hold what was written`);
  assertStringIncludes(outcome.stderr, `at bytes 0 to ${CHUNK_BYTES - 1}`);
  disk.set();
  // Btrfs has checksums and reports an error for lost writes; the others return old bytes.
  assertSuccess(await restore(disk, "--update", "--verify-target"));
  await assertOnDisk(disk);
});

diskTest("A write that is lost is mended by an update", async (disk) => {
  disk.set({ marker, onWrite: "lose" });
  assertSuccess(await restore(disk));
  disk.set();
  assertSuccess(await restore(disk, "--update"));
  await assertOnDisk(disk);
});

diskTest("An update writes anew what cannot be read", async (disk) => {
  fillTarget(disk, store.image);
  disk.set({ marker, onRead: "fail" });
  const outcome = await extract(["--json", "--update", store.revision.path, disk.target]);
  assertEquals(outcome.code, 0, outcome.stderr);
  const summary = JSON.parse(outcome.stderr.trimEnd().split("\n").at(-1)!);
  assertEquals(summary.sameBytes, store.image.length - CHUNK_BYTES, outcome.stderr);
  disk.set();
  await assertOnDisk(disk);
});

diskTest("What cannot be read back counts as not written", async (disk) => {
  disk.set({ marker, onRead: "fail" });
  const outcome = await restore(disk, "--verify-target");
  assertEquals(outcome.code, TARGET, outcome.stderr);
  assertStringIncludes(outcome.stderr, `at bytes 0 to ${CHUNK_BYTES - 1}`);
});

diskTest("A disk that fails to flush its own cache fails the restore", async (disk) => {
  assertSuccess(await restore(disk));
  disk.set({ fsyncErrno: 5 });
  const outcome = await restore(disk, "--update");
  assertEquals(outcome.code, TARGET, outcome.stderr);
  assertStringIncludes(outcome.stderr, "Cannot flush");
}, ["none"]);

for (const sparse of ["auto", "never"]) {
  diskTest(
    `Zeros count as there only if the disk has them (--sparse=${sparse})`,
    async (disk) => {
      // Where the image has zeros, within a chunk and as a whole chunk, the disk has other bytes,
      // and writes over them fail.
      fillTarget(disk, otherImage.slice().fill(0x77, CHUNK_BYTES / 2, CHUNK_BYTES));
      const stale = new Uint8Array(4096).fill(0x77);
      const at = disk.find(stale);
      disk.set({ range: [at, at + 65_536], onWrite: "fail" });
      await restore(disk, "--update", "-s", sparse);
      await restore(disk, "--update", "-s", sparse);
      disk.set();
      assertSuccess(await restore(disk, "--update", "-s", sparse));
      await assertOnDisk(disk);
    },
    ["ext4", "xfs", "none"],
  );
}
