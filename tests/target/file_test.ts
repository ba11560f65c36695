import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { DescriptorIo } from "../../lib/target/descriptor_io.ts";
import { assertBytes } from "../support/bytes.ts";
import { descriptorOf } from "./handles.ts";
import {
  loopDeviceProblem,
  Mount,
  mountNew,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync, scriptCommand, shell } from "../support/programs.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;

function allocatedBytes(path: string): number {
  return Deno.statSync(path).blocks! * 512;
}

Deno.test("CheckedTarget.open() creates a file with holes of the image's size", async () => {
  using store = new StoreFixture();
  const path = store.file("image");
  using checked = preflightTarget(path, store.options({ imageBytes: 5 * MIB + 1 }));
  const target = await checked.open();
  assertEquals([checked.kind, checked.isNew, target.handle.access], ["file", true, "random"]);
  assertEquals([descriptorOf(target).zeroPolicy, descriptorOf(target).blockBytes], ["skip", 1]);
  const io = new DescriptorIo(descriptorOf(target), { extent: { start: 0, end: 5 * MIB + 1 } });
  io.write(new Uint8Array(10).fill(7), 5 * MIB - 9);
  io.zero(0, 5 * MIB - 9);
  await target.finish({ sync: true });
  assertBytes(Deno.readFileSync(path), new Uint8Array(5 * MIB + 1).fill(7, 5 * MIB - 9));
  assert(allocatedBytes(path) < MIB, "there are no holes");
});

Deno.test("CheckedTarget.open() empties an existing file, longer or shorter", async () => {
  using store = new StoreFixture();
  for (const oldBytes of [0, 10, 3 * MIB]) {
    const path = store.file("image", new Uint8Array(oldBytes).fill(0xaa));
    using checked = preflightTarget(path, store.options({ imageBytes: MIB, sparse: "always" }));
    const target = await checked.open();
    assertEquals([checked.isNew, descriptorOf(target).zeroPolicy], [false, "skip"]);
    await target.finish({ sync: false });
    assertBytes(Deno.readFileSync(path), new Uint8Array(MIB));
  }
});

Deno.test("CheckedTarget.open() refuses a file whose name leads elsewhere by now", async () => {
  using store = new StoreFixture();
  const path = store.file("image"), moved = store.file("moved");
  const changes = [
    () => Deno.renameSync(path, moved),
    () => {
      Deno.renameSync(path, moved);
      Deno.symlinkSync(store.revisionPath, path);
    },
    () => {
      Deno.linkSync(path, moved);
      Deno.writeTextFileSync(`${path}.new`, "another one");
      Deno.renameSync(`${path}.new`, path);
    },
  ];
  for (const change of changes) {
    Deno.writeTextFileSync(path, "old");
    using checked = preflightTarget(path, store.options());
    change();
    const error = await assertRejects(() => checked.open(), TargetError);
    assertEquals(
      error.message,
      `Cannot restore to "${path}": it was deleted or replaced since it was looked at`,
    );
    assertEquals(Deno.readTextFileSync(moved), "old");
    assertEquals(Deno.readTextFileSync(store.revisionPath), "content of RevisionA");
    Deno.removeSync(moved);
    if (changes.indexOf(change) > 0) Deno.removeSync(path);
  }
});

Deno.test("CheckedTarget.open() does not take over a file that appeared since the check", async () => {
  using store = new StoreFixture();
  const path = store.file("image");
  using checked = preflightTarget(path, store.options());
  Deno.writeTextFileSync(path, "precious");
  const error = await assertRejects(() => checked.open(), TargetError);
  assertEquals(
    error.message,
    `Cannot restore to "${path}": it cannot be created: File exists (EEXIST)`,
  );
  assertEquals(Deno.readTextFileSync(path), "precious");
});

Deno.test("CheckedTarget.open() creates what dangling links lead to", async () => {
  using store = new StoreFixture();
  Deno.mkdirSync(store.file("folder"));
  Deno.symlinkSync("folder/second", store.file("first"));
  Deno.symlinkSync("../image", store.file("folder/second"));
  using checked = preflightTarget(store.file("first"), store.options({ imageBytes: 3 }));
  await (await checked.open()).finish({ sync: true });
  assertEquals(Deno.lstatSync(store.file("image")).size, 3);
});

Deno.test("CheckedTarget.open() allocates the whole file for --sparse=never", async () => {
  using store = new StoreFixture();
  for (const content of [undefined, new Uint8Array(10)]) {
    const path = store.file("image", content);
    const options = store.options({ imageBytes: 4 * MIB + 5, sparse: "never" });
    using checked = preflightTarget(path, options);
    const target = await checked.open();
    assertEquals(descriptorOf(target).zeroPolicy, "skip");
    await target.finish({ sync: true });
    assertEquals(Deno.statSync(path).size, 4 * MIB + 5);
    assert(allocatedBytes(path) >= 4 * MIB + 5, "there are holes");
    Deno.removeSync(path);
  }
});

Deno.test("CheckedTarget.open() makes an empty file of an empty image", async () => {
  using store = new StoreFixture();
  for (const sparse of ["auto", "never", "always"] as const) {
    const path = store.file("image", "old");
    using checked = preflightTarget(path, store.options({ imageBytes: 0, sparse }));
    await (await checked.open()).finish({ sync: true });
    assertEquals(Deno.statSync(path).size, 0);
  }
});

testUnless(
  mountProblem(),
  "CheckedTarget.open() writes zeros where the file system cannot allocate",
  async () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "ramfs", "ramfs"); // has no fallocate
    const path = `${mount.path}/image`;
    using checked = preflightTarget(path, store.options({ imageBytes: 100_000, sparse: "never" }));
    const target = await checked.open();
    assertEquals(descriptorOf(target).zeroPolicy, "write");
    new DescriptorIo(descriptorOf(target), { extent: { start: 0, end: 100_000 } }).zero(
      0,
      100_000,
    );
    await target.finish({ sync: true });
    assertBytes(Deno.readFileSync(path), new Uint8Array(100_000));
  },
);

testUnless(
  mountProblem(),
  "CheckedTarget.open() removes a new file that cannot be allocated",
  async () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "tmpfs", "-o", "size=2m", "tmpfs");
    const path = `${mount.path}/image`;
    using checked = preflightTarget(path, store.options({ imageBytes: 2 * MIB, sparse: "never" }));
    Deno.writeFileSync(`${mount.path}/other`, new Uint8Array(MIB));
    const error = await assertRejects(() => checked.open(), TargetError);
    assertEquals(
      error.message,
      `Cannot restore to "${path}": it cannot be made 2097152 bytes (2 MiB) long: ` +
        "No space left on device (ENOSPC); make room, or use --sparse=auto",
    );
    assertThrows(() => Deno.lstatSync(path), Deno.errors.NotFound);
  },
);

testUnless(
  mountProblem(),
  "CheckedTarget.open() that fails does not remove another file that took the name",
  async () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "tmpfs", "-o", "size=2m", "tmpfs");
    const path = `${mount.path}/image`;
    using checked = preflightTarget(path, store.options({ imageBytes: 2 * MIB, sparse: "never" }));
    Deno.writeFileSync(`${mount.path}/other`, new Uint8Array(MIB));
    const opening = checked.open();
    Deno.renameSync(`${mount.path}/other`, path);
    await assertRejects(() => opening, TargetError, "No space left on device");
    assertEquals(Deno.statSync(path).size, MIB);
  },
);

testUnless(
  mountProblem(),
  "DescriptorIo names the byte at which a file system is full",
  async () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "tmpfs", "-o", "size=1m", "tmpfs");
    const path = `${mount.path}/image`;
    using checked = preflightTarget(path, store.options({ imageBytes: 2 * MIB }));
    const target = await checked.open();
    const io = new DescriptorIo(descriptorOf(target), { extent: { start: 0, end: 2 * MIB } });
    const error = assertThrows(() => io.write(new Uint8Array(2 * MIB), 0), TargetError);
    assertEquals(
      error.message,
      `Cannot write "${path}" at byte 1048576: No space left on device (ENOSPC)`,
    );
    target.close();
    target.close();
  },
);

Deno.test("DescriptorIo reports the file size limit instead of dying of SIGXFSZ", async () => {
  using store = new StoreFixture();
  const path = store.file("image", "");
  const command = scriptCommand(`
    import { ignoreWriteSignals } from lib("linux/signals.ts");
    import { openFd, OpenFlag } from lib("linux/files.ts");
    import { DescriptorIo } from lib("target/descriptor_io.ts");
    ignoreWriteSignals();
    const path = ${JSON.stringify(path)};
    const fd = openFd(path, OpenFlag.O_WRONLY);
    const handle = { fd, path, access: "random", kind: "descriptor", zeroPolicy: "skip", blockBytes: 1,
      directFd: null, direct: null };
    const io = new DescriptorIo(handle, { extent: { start: 0, end: 2097152 } });
    try {
      io.write(new Uint8Array(2097152), 0);
    } catch (error) {
      Deno.stderr.writeSync(new TextEncoder().encode(error.message));
      Deno.exit(4);
    }
  `);
  // The shell counts in KiB. The runtime's own caches, if not new, may exceed the limit too.
  const cache = `DENO_DIR='${store.file("cache")}'`;
  const { code, stderr } = await shell(`ulimit -f 1024; ${cache} ${command}`);
  assertEquals(
    stderr,
    `Cannot write "${path}" at byte 1048576: File too large (EFBIG); its file system or a limit ` +
      "(ulimit -f) does not allow it",
  );
  assertEquals(code, 4);
});

Deno.test("Flushes do not block the event loop, and Target.finish() closes the target", async () => {
  using store = new StoreFixture();
  using checked = preflightTarget(store.file("image"), store.options({ imageBytes: 8 * MIB }));
  const target = await checked.open();
  const io = new DescriptorIo(descriptorOf(target), { extent: { start: 0, end: 8 * MIB } });
  io.write(new Uint8Array(8 * MIB).fill(1), 0);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 0);
  // A flush of memory may be done before the timer is due, one that blocks always is.
  for (let attempt = 0; attempt < 1000 && ticks === 0; attempt++) await target.flush();
  await target.finish({ sync: true });
  clearInterval(timer);
  assert(ticks > 0, "no timer fired during the flush");
  assertThrows(
    () => Deno.statSync(`/proc/self/fd/${descriptorOf(target).fd}`),
    Deno.errors.NotFound,
  );
  await assertRejects(() => target.finish({ sync: true }), TypeError);
  target.close();
});

Deno.test("CheckedTarget.open() can be called once", async () => {
  using store = new StoreFixture();
  using checked = preflightTarget(store.file("image", ""), store.options());
  (await checked.open()).close();
  await assertRejects(() => checked.open(), TypeError);
});

Deno.test("preflightTarget() refuses a file that another restore is writing", async () => {
  using store = new StoreFixture();
  const path = store.file("image");
  const options = store.options({ imageBytes: MIB });
  using first = preflightTarget(path, options);
  const target = await first.open();
  const error = assertThrows(() => preflightTarget(path, options), TargetError);
  assertEquals(
    error.message,
    `Cannot restore to "${path}": another program has locked it, perhaps another restore ` +
      "(--force overrides this)",
  );
  using forced = preflightTarget(path, { ...options, force: true });
  assertEquals(forced.warnings.length, 1);
  await target.finish({ sync: false });
  using free = preflightTarget(path, options);
  assertEquals(free.warnings, []);
});

testUnless(
  loopDeviceProblem() ?? programProblem("mkfs.xfs", "xfs_io"),
  "CheckedTarget.open() names the file if its file system fails by then",
  async () => {
    using scratch = new Scratch();
    using mount = mountNew("xfs", scratch);
    using store = new StoreFixture();
    const path = `${mount.path}/image`;
    Deno.writeTextFileSync(path, "old");
    using checked = preflightTarget(path, store.options({ imageBytes: MIB }));
    runSync("xfs_io", "-x", "-c", "shutdown", mount.path);
    const error = await assertRejects(() => checked.open(), TargetError);
    assertEquals(error.message, `Cannot restore to "${path}": Input/output error (EIO)`);
  },
);
