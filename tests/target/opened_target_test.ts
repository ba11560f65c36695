import { TargetError } from "../../lib/errors.ts";
import { openFd, OpenFlag } from "../../lib/linux/files.ts";
import { OpenedBlock } from "../../lib/target/opened_block.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import type { Target } from "../../lib/target/target.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { descriptorOf } from "./handles.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { StoreFixture } from "./store_fixture.ts";

/**
 * Opens a new file behind a link, then moves its folder and lets the link follow. The folder's old
 * name leads nowhere then.
 */
async function withMovedFolder(
  store: StoreFixture,
  use: (target: Target, path: string) => Promise<void>,
): Promise<void> {
  const folder = store.file("folder"), moved = store.file("moved"), link = store.file("link");
  Deno.mkdirSync(folder);
  Deno.symlinkSync(`${folder}/image`, link);
  using checked = preflightTarget(link, store.options());
  const target = await checked.open();
  Deno.renameSync(folder, moved);
  Deno.removeSync(link);
  Deno.symlinkSync(`${moved}/image`, link);
  try {
    await use(target, link);
  } finally {
    Deno.removeSync(moved, { recursive: true });
    Deno.removeSync(link);
  }
}

Deno.test("Target.finish() flushes the directory of a new file, and no other", async () => {
  using store = new StoreFixture();
  // Flushing a directory that is gone fails, which shows that it was tried.
  await withMovedFolder(store, async (target, path) => {
    const error = await assertRejects(() => target.finish({ sync: true }), TargetError);
    assert(error.message.startsWith(`Cannot flush "${path}": `), error.message);
  });
  await withMovedFolder(store, (target) => target.finish({ sync: false }));
});

Deno.test("Target.flush() flushes as finish() does, and leaves the target open", async () => {
  using store = new StoreFixture();
  await withMovedFolder(store, async (target) => {
    await assertRejects(() => target.flush(), TargetError, "Cannot flush");
    // After a failure the target is closed.
    assertThrows(
      () => Deno.statSync(`/proc/self/fd/${descriptorOf(target).fd}`),
      Deno.errors.NotFound,
    );
    await assertRejects(() => target.flush(), TypeError);
    await assertRejects(() => target.finish({ sync: true }), TypeError);
  });
  using checked = preflightTarget(store.file("image"), store.options());
  const target = await checked.open();
  await target.flush();
  await target.flush();
  assert(Deno.statSync(`/proc/self/fd/${descriptorOf(target).fd}`).isFile);
  target.close();
});

for (const isNew of [true, false]) {
  for (const end of ["flush", "finish", "finish without a flush"] as const) {
    Deno.test(`Target.${end} fails if the name of ${isNew ? "a new" : "an old"} file leads elsewhere`, async () => {
      using store = new StoreFixture();
      const path = store.file("image"), moved = store.file("moved");
      const replace = () => Deno.writeTextFileSync(path, "another");
      const nowhere = "it was deleted or renamed while it was written";
      const taken = "something else has taken its name while it was written";
      const gone = "what was written is gone, restore it once more";
      const there = `the image is complete in "${moved}"`;
      const fates: readonly [change: () => void, says: string][] = [
        [() => Deno.removeSync(path), `${nowhere}; ${gone}`],
        [() => Deno.renameSync(path, moved), `${nowhere}; ${there}`],
        [() => (Deno.removeSync(path), replace()), `${taken}; ${gone}`],
        [() => (Deno.renameSync(path, moved), replace()), `${taken}; ${there}`],
        [() => (Deno.renameSync(path, moved), Deno.mkdirSync(path)), `${taken}; ${there}`],
      ];
      for (const [change, says] of fates) {
        if (!isNew) Deno.writeTextFileSync(path, "old");
        using checked = preflightTarget(path, store.options());
        const target = await checked.open();
        change();
        const failing = () =>
          end === "flush" ? target.flush() : target.finish({ sync: end === "finish" });
        const error = await assertRejects(failing, TargetError);
        assertEquals(error.message, `Cannot finish "${path}": ${says}`);
        assertEquals([error.path, error.isDisplaced], [path, true]);
        for (const left of [path, moved]) {
          try {
            Deno.removeSync(left);
          } catch {
            // It is there in some cases only.
          }
        }
      }
    });
  }
}

Deno.test("Target.finish() accepts any path that leads to the file", async () => {
  using store = new StoreFixture();
  const path = store.file("image"), moved = store.file("moved");
  using checked = preflightTarget(path, store.options());
  const target = await checked.open();
  Deno.renameSync(path, moved);
  Deno.symlinkSync(moved, path);
  await target.finish({ sync: true });
  assertEquals(Deno.statSync(path).size, 1);
});

testUnless(loopDeviceProblem(), "Target.finish() checks where a device's name leads", async () => {
  using store = new StoreFixture();
  using device = new LoopDevice(1_048_576);
  using other = new LoopDevice(1_048_576);
  const link = store.file("link");
  const finish = async (...targets: string[]) => {
    Deno.symlinkSync(device.path, link);
    using checked = preflightTarget(link, store.options());
    const target = await checked.open();
    Deno.removeSync(link);
    for (const to of targets) Deno.symlinkSync(to, link);
    try {
      await target.finish({ sync: true });
    } finally {
      for (const _ of targets) Deno.removeSync(link);
    }
  };
  await finish(device.path);
  const rdev = Deno.statSync(device.path).rdev ?? 0;
  const node = store.file("node");
  runSync("mknod", node, "b", String(rdev >> 8), String(rdev & 0xff));
  await finish(node);
  for (const targets of [[], [other.path], [store.file("file", "")]]) {
    const error = await assertRejects(() => finish(...targets), TargetError);
    const place = "the image is complete on the device that had it";
    assert(error.message.endsWith(place), error.message);
  }
});

testUnless(
  loopDeviceProblem() ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "Target.finish() reports that the name of a new file could not be stored",
  async () => {
    using disk = new LoopDevice(16 * 1_048_576);
    runSync("mkfs.ext4", "-q", "-F", disk.path);
    using mount = new Mount("-o", "errors=continue", disk.path);
    runSync("mount", "-o", "remount,abort", mount.path);
    const open = () =>
      new OpenedBlock({
        // Has nothing to flush itself.
        path: "/dev/null",
        fd: openFd("/dev/null", OpenFlag.O_WRONLY),
        zeroPolicy: "write",
        newEntryIn: mount.path,
      });
    const error = await assertRejects(() => open().finish({ sync: true }), TargetError);
    assert(/\((EROFS|EIO)\)$/.test(error.message), error.message);
    await open().finish({ sync: false });
    assertEquals(Deno.statSync(mount.path).isDirectory, true);
  },
);
