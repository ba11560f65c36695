import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import type { SparseMode } from "../../lib/target/target.ts";
import { DescriptorIo } from "../../lib/target/descriptor_io.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { descriptorOf } from "./handles.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;
const problem = loopDeviceProblem();

/** Image of an odd size: data, zeros, data, zeros to the end, in pieces that fit no block. */
function restoreSample(io: DescriptorIo, imageBytes: number): Uint8Array {
  const image = new Uint8Array(imageBytes);
  const pieces = [[0, 70_001], [2 * MIB + 100, 2 * MIB + 5000], [3 * MIB, imageBytes - 300_000]];
  let end = 0;
  for (const [from, to] of pieces as [number, number][]) {
    image.fill(0x5c, from, to);
    io.zero(end, from - end);
    io.write(image.slice(from, to), from);
    end = to;
  }
  io.zero(end, imageBytes - end);
  return image;
}

async function restoreTo(path: string, imageBytes: number, sparse: SparseMode) {
  using store = new StoreFixture();
  using checked = preflightTarget(path, store.options({ imageBytes, sparse }));
  const target = await checked.open();
  const io = new DescriptorIo(descriptorOf(target), { extent: { start: 0, end: imageBytes } });
  const image = restoreSample(io, imageBytes);
  io.drain();
  await target.finish({ sync: true });
  return { image, handle: descriptorOf(target) };
}

for (const sectorBytes of [512, 4096]) {
  for (const sparse of ["auto", "never"] as const) {
    testUnless(
      problem,
      `A dirty device with ${sectorBytes}-byte sectors holds exactly the image (--sparse=${sparse})`,
      async () => {
        using device = new LoopDevice(8 * MIB, { sectorBytes });
        const { image, handle } = await restoreTo(device.path, 5 * MIB + 777, sparse);
        // At least a page, because two workers may write sectors of one page.
        assertEquals(handle.blockBytes, Math.max(sectorBytes, 4096));
        assertEquals(handle.zeroPolicy, sparse === "auto" ? "deallocate" : "write");
        const expected = new Uint8Array(8 * MIB).fill(0xaa);
        expected.set(image);
        assertBytes(device.read(), expected);
      },
    );
  }
}

testUnless(problem, "--sparse=auto frees the storage of zeros", async () => {
  using device = new LoopDevice(8 * MIB);
  await restoreTo(device.path, 8 * MIB, "auto");
  assert(Deno.statSync(device.backing).blocks! * 512 < 6.5 * MIB, "the backing file has no holes");
});

testUnless(problem, "--sparse=always leaves a device's zeros alone", async () => {
  using device = new LoopDevice(8 * MIB);
  const { image } = await restoreTo(device.path, 8 * MIB, "always");
  assertBytes(device.read(), image.map((byte) => byte === 0 ? 0xaa : byte));
});

testUnless(problem, "preflightTarget() refuses a device smaller than the image", () => {
  using store = new StoreFixture();
  using device = new LoopDevice(MIB);
  const options = store.options({ imageBytes: 4 * 2 ** 40 + 1, force: true });
  const error = assertThrows(() => preflightTarget(device.path, options), TargetError);
  assertEquals(
    error.message,
    `Cannot restore to "${device.path}": the device has 1048576 bytes (1 MiB), the image needs ` +
      "4398046511105 bytes (4 TiB); enlarge it or name another",
  );
  preflightTarget(device.path, store.options({ imageBytes: MIB }))[Symbol.dispose]();
  assert(isFilled(device.read(), 0xaa));
});

testUnless(problem, "preflightTarget() refuses a read-only device", () => {
  using store = new StoreFixture();
  using device = new LoopDevice(MIB, { isReadOnly: true });
  const error = assertThrows(() => preflightTarget(device.path, store.options()), TargetError);
  assertEquals(
    error.message,
    `Cannot restore to "${device.path}": the device is read-only; blockdev --setrw may end that`,
  );
});

testUnless(
  problem ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "preflightTarget() refuses a mounted device and names the mount point",
  async () => {
    using store = new StoreFixture();
    using device = new LoopDevice(8 * MIB);
    runSync("mkfs.ext4", "-q", device.path);
    using mount = new Mount(device.path);
    const error = assertThrows(() => preflightTarget(device.path, store.options()), TargetError);
    assertEquals(
      error.message,
      `Cannot restore to "${device.path}": it is mounted at "${mount.path}" ` +
        "(--force overrides this)",
    );
    using scratch = new Scratch();
    const link = scratch.file("link");
    Deno.symlinkSync(device.path, link);
    assertThrows(() => preflightTarget(link, store.options()), TargetError, mount.path);

    using forced = preflightTarget(device.path, store.options({ force: true }));
    assertEquals(forced.warnings, [
      `"${device.path}" is written although it is mounted at "${mount.path}"`,
    ]);
    (await forced.open()).close();
  },
);

testUnless(
  problem ?? mountProblem() ?? programProblem("partx", "mkfs.ext4"),
  "preflightTarget() refuses a disk with a mounted partition, and the other way round",
  () => {
    using store = new StoreFixture();
    using device = new LoopDevice(16 * MIB, { sectorBytes: 512 });
    writePartitionTable(device.path, { startSector: 2048, sectors: 16_384 });
    runSync("partx", "-u", device.path);
    const partition = `${device.path}p1`;
    const refused = (path: string) =>
      assertThrows(() => preflightTarget(path, store.options()), TargetError).message;
    try {
      {
        runSync("mkfs.ext4", "-q", partition);
        using mount = new Mount(partition);
        assertEquals(
          refused(device.path),
          `Cannot restore to "${device.path}": its partition "${partition}" is mounted at ` +
            `"${mount.path}" (--force overrides this)`,
        );
        assertEquals(
          refused(partition),
          `Cannot restore to "${partition}": it is mounted at "${mount.path}" ` +
            "(--force overrides this)",
        );
      }
      using mount = mountWholeDisk(device.path);
      assertEquals(
        refused(partition),
        `Cannot restore to "${partition}": its disk "${device.path}" is mounted at ` +
          `"${mount.path}" (--force overrides this)`,
      );
    } finally {
      runSync("partx", "-d", device.path);
    }
  },
);

/**
 * Mounts a disk although it has partitions: without a partition table on it, but with the kernel's
 * partitions.
 */
function mountWholeDisk(path: string): Mount {
  runSync("mkfs.ext4", "-q", "-F", path);
  return new Mount(path);
}

/**
 * Writes a partition table of one Linux partition. Format: master boot record, one entry at byte
 * 446.
 */
function writePartitionTable(path: string, part: { startSector: number; sectors: number }): void {
  const record = new DataView(new ArrayBuffer(512));
  record.setUint8(446 + 4, 0x83);
  record.setUint32(446 + 8, part.startSector, true);
  record.setUint32(446 + 12, part.sectors, true);
  record.setUint16(510, 0xaa55, true);
  using device = Deno.openSync(path, { write: true });
  device.writeSync(new Uint8Array(record.buffer));
  device.syncSync();
}

testUnless(
  problem ?? programProblem("mkswap", "swapon"),
  "preflightTarget() refuses swap space",
  () => {
    using store = new StoreFixture();
    using device = new LoopDevice(2 * MIB);
    runSync("mkswap", device.path);
    runSync("swapon", device.path);
    try {
      const error = assertThrows(() => preflightTarget(device.path, store.options()), TargetError);
      assertEquals(
        error.message,
        `Cannot restore to "${device.path}": it is swap space (--force overrides this)`,
      );
    } finally {
      runSync("swapoff", device.path);
    }
  },
);

/** Why device mapper tables cannot be made here. */
function deviceMapperProblem(): string | null {
  const missing = programProblem("dmsetup");
  if (missing !== null) return missing;
  try {
    runSync("dmsetup", "version");
    return null;
  } catch {
    return "no device mapper in the kernel";
  }
}

testUnless(
  problem ?? deviceMapperProblem(),
  "preflightTarget() refuses a device that another one is made of",
  () => {
    using store = new StoreFixture();
    using device = new LoopDevice(2 * MIB);
    const name = `target_test_${Deno.pid}`;
    runSync("dmsetup", "create", name, "--table", `0 4096 linear ${device.path} 0`);
    try {
      const error = assertThrows(() => preflightTarget(device.path, store.options()), TargetError);
      assertEquals(
        error.message,
        `Cannot restore to "${device.path}": it is held by "/dev/mapper/${name}" ` +
          "(--force overrides this)",
      );
    } finally {
      runSync("dmsetup", "remove", name);
    }
  },
);

testUnless(problem, "preflightTarget() claims the device until the target is closed", async () => {
  using store = new StoreFixture();
  using device = new LoopDevice(MIB);
  using checked = preflightTarget(device.path, store.options());
  const again = () => preflightTarget(device.path, store.options());
  assertThrows(again, TargetError, "another program or the kernel holds it exclusively");
  const target = await checked.open();
  assertThrows(again, TargetError);
  target.close();
  again()[Symbol.dispose]();
});

testUnless(
  problem ?? mountProblem(),
  "Target.finish() reports what could not be written back",
  async () => {
    using store = new StoreFixture();
    // The device promises more than the file system below its backing file can keep.
    using mount = new Mount("-t", "tmpfs", "-o", "size=2m", "tmpfs");
    Deno.writeFileSync(`${mount.path}/backing`, new Uint8Array());
    Deno.truncateSync(`${mount.path}/backing`, 16 * MIB);
    const path = runSync("losetup", "-f", "--show", `${mount.path}/backing`);
    try {
      const imageBytes = 8 * MIB;
      using checked = preflightTarget(path, store.options({ imageBytes, direct: "never" }));
      const target = await checked.open();
      const io = new DescriptorIo(descriptorOf(target), {
        extent: { start: 0, end: imageBytes },
      });
      io.write(new Uint8Array(imageBytes).fill(1), 0);
      let error: unknown;
      await target.finish({ sync: true }).catch((caught) => error = caught);
      assert(error instanceof TargetError, String(error));
      assert(
        /^Cannot flush "\/dev\/loop\d+": .*\((EIO|ENOSPC)\)$/.test(error.message),
        error.message,
      );
      target.close();
    } finally {
      runSync("losetup", "-d", path);
    }
  },
);

testUnless(
  problem ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "Target.finish() reports that the file system gave up writing",
  async () => {
    using store = new StoreFixture();
    using disk = new LoopDevice(64 * MIB);
    runSync("mkfs.ext4", "-q", "-F", disk.path);
    using mount = new Mount("-o", "errors=continue", disk.path);
    const path = `${mount.path}/existing`;
    Deno.writeTextFileSync(path, "old");
    const imageBytes = 8 * MIB;
    using checked = preflightTarget(path, store.options({ imageBytes }));
    const target = await checked.open();
    new DescriptorIo(descriptorOf(target), { extent: { start: 0, end: imageBytes } })
      .write(new Uint8Array(imageBytes).fill(1), 0);
    runSync("mount", "-o", "remount,abort", mount.path);
    const error = await assertRejects(() => target.finish({ sync: true }), TargetError);
    assert(/^Cannot flush ".*": .*\((EROFS|EIO)\)$/.test(error.message), error.message);
  },
);
