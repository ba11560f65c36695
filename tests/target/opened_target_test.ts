import { TargetError } from "../../lib/errors.ts";
import { openFd, OpenFlag } from "../../lib/ffi/libc.ts";
import { OpenedTarget } from "../../lib/target/opened_target.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { LoopDevice, loopDeviceProblem, Mount, mountProblem } from "./machine.ts";
import { programProblem, run, testUnless } from "./machine.ts";
import { StoreFixture } from "./store_fixture.ts";

Deno.test("Target.finish() flushes the directory of a new file, and of no other", async () => {
  using store = new StoreFixture();
  const folder = store.file("folder"), moved = store.file("moved");
  // A directory that is not found any more cannot be flushed: so it shows that it was tried.
  const finish = async (sync: boolean) => {
    Deno.mkdirSync(folder);
    using checked = preflightTarget(`${folder}/image`, store.options());
    const target = await checked.open();
    Deno.renameSync(folder, moved);
    try {
      await target.finish({ sync });
    } finally {
      Deno.removeSync(moved, { recursive: true });
    }
  };
  const error = await assertRejects(() => finish(true), TargetError);
  assert(error.message.startsWith(`Cannot flush "${folder}/image": `), error.message);
  await finish(false);

  Deno.mkdirSync(folder);
  Deno.writeTextFileSync(`${folder}/image`, "old");
  using checked = preflightTarget(`${folder}/image`, store.options());
  const target = await checked.open();
  Deno.renameSync(folder, moved);
  await target.finish({ sync: true });
});

Deno.test("Target.flush() flushes as finish() does, and leaves the target open", async () => {
  using store = new StoreFixture();
  const folder = store.file("folder");
  Deno.mkdirSync(folder);
  using checked = preflightTarget(`${folder}/image`, store.options());
  const target = await checked.open();
  await target.flush();
  await target.flush();
  assert(Deno.statSync(`/proc/self/fd/${target.handle.fd}`).isFile);
  Deno.renameSync(folder, store.file("moved"));
  await assertRejects(() => target.flush(), TargetError);
  // After a failure nothing is left that could be flushed.
  assertThrows(() => Deno.statSync(`/proc/self/fd/${target.handle.fd}`), Deno.errors.NotFound);
  await assertRejects(() => target.flush(), TypeError);
  await assertRejects(() => target.finish({ sync: true }), TypeError);
});

testUnless(
  loopDeviceProblem() ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "Target.finish() reports that the name of a new file could not be stored",
  async () => {
    using disk = new LoopDevice(16 * 1_048_576);
    run("mkfs.ext4", "-q", "-F", disk.path);
    using mount = new Mount("-o", "errors=continue", disk.path);
    run("mount", "-o", "remount,abort", mount.path);
    const handle = { path: "/dev/null", access: "stream", zeroPolicy: "write" } as const;
    const open = () =>
      new OpenedTarget({
        // What has nothing to be flushed itself.
        handle: { ...handle, blockBytes: 1, fd: openFd("/dev/null", OpenFlag.O_WRONLY) },
        ...{ kind: "file", isNew: true, hasStorage: true, newEntryIn: mount.path },
      });
    const error = await assertRejects(() => open().finish({ sync: true }), TargetError);
    assert(/\((EROFS|EIO)\)$/.test(error.message), error.message);
    await open().finish({ sync: false });
    assertEquals(Deno.statSync(mount.path).isDirectory, true);
  },
);
