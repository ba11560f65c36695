import { closeFd, directBuffer, fdatasyncFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { type ReadableTarget, StorageReader } from "../../lib/target/storage_reader.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { asDescriptor } from "./handles.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;

/** A file or device that is opened as targets are. */
class Opened implements Disposable {
  readonly target: ReadableTarget;

  constructor(path: string, how: { isDirect: boolean }) {
    const fd = openFd(path, OpenFlag.O_RDWR);
    const directFd = how.isDirect ? openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_DIRECT) : null;
    this.target = { fd, directFd, path };
    fdatasyncFd(fd);
  }

  [Symbol.dispose](): void {
    closeFd(this.target.fd);
    if (this.target.directFd !== null) closeFd(this.target.directFd);
  }
}

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, at) => at * 7 + (at >> 8) + (at >> 16) + 1);
}

const RANGES: readonly [offset: number, length: number][] = [
  ...[[0, MIB], [4096, 4096], [0, 1], [65_536, 100_001]] as [number, number][],
  // From the middle of a sector, or of a page.
  ...[[1, 1], [511, 2], [512, 512], [4095, 2], [777, 1_000_000]] as [number, number][],
  // Across the end of a file, up to it, at it, and behind it.
  ...[[MIB, MIB], [MIB + 4096, 1], [MIB + 50_000, 5000], [MIB + 50_001, 1]] as [number, number][],
  ...[[MIB + 54_999, 10], [MIB + 60_000, 100], [3 * MIB, 10]] as [number, number][],
];

/** Asserts that the ranges of a file or device read as its content has them. */
function assertReads(opened: Opened, content: Uint8Array): void {
  const reader = new StorageReader(opened.target);
  const buffer = directBuffer(2 * MIB);
  for (const [offset, length] of RANGES) {
    const expected = content.subarray(offset, offset + length);
    const count = reader.read(buffer.fill(0xee), offset, length);
    assertEquals(count, expected.length, `${offset} ${length}`);
    assertBytes(buffer.subarray(0, count), expected);
  }
}

Deno.test("StorageReader.read() reads any range of a file, directly or not", () => {
  using scratch = new Scratch();
  const content = pattern(MIB + 55_000);
  const path = scratch.file("file", content);
  for (const isDirect of [true, false]) {
    using opened = new Opened(path, { isDirect });
    assertReads(opened, content);
  }
});

for (const sectorBytes of [512, 4096]) {
  testUnless(
    loopDeviceProblem(),
    `StorageReader.read() reads any range of a device with sectors of ${sectorBytes} bytes`,
    () => {
      // With 512-byte sectors the end is not a multiple of a page.
      using device = new LoopDevice(MIB + 14 * sectorBytes, { sectorBytes });
      const content = pattern(device.bytes);
      Deno.writeFileSync(device.path, content);
      using opened = new Opened(device.path, { isDirect: true });
      assertReads(opened, content);
    },
  );
}

const { symbols } = Deno.dlopen("libc.so.6", {
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
});

/** Keeps the pages of a file or device in memory, locked. @returns What ends that. */
function lockPages(path: string, bytes: number): Disposable {
  const PROT_READ = 1, MAP_SHARED = 1, MAP_POPULATE = 0x8000, MAP_LOCKED = 0x2000;
  const fd = openFd(path, OpenFlag.O_RDONLY);
  const flags = MAP_SHARED | MAP_POPULATE | MAP_LOCKED;
  const address = symbols.mmap(null, BigInt(bytes), PROT_READ, flags, fd, 0n);
  closeFd(fd);
  assert(address !== null);
  return { [Symbol.dispose]: () => void symbols.munmap(address, BigInt(bytes)) };
}

testUnless(
  loopDeviceProblem(),
  "StorageReader.read() asks the storage even if pages are locked in memory",
  () => {
    using device = new LoopDevice(MIB);
    const backing = runSync("losetup", "-n", "-O", "BACK-FILE", device.path);
    using _locked = lockPages(device.path, MIB);
    using file = Deno.openSync(backing, { write: true });
    file.writeSync(new Uint8Array(8192).fill(0x11));
    file.syncDataSync();
    const read = (isDirect: boolean) => {
      using opened = new Opened(device.path, { isDirect });
      const buffer = directBuffer(65_536);
      assertEquals(new StorageReader(opened.target).read(buffer, 0, 8192), 8192);
      return buffer[5000];
    };
    assertEquals(read(true), 0x11);
    // Dropping pages does not help.
    assertEquals(read(false), 0xaa);
  },
);

testUnless(
  mountProblem(),
  "Target.comparable() does without direct reads if they are refused",
  async () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "ramfs", "ramfs");
    const path = `${mount.path}/image`;
    Deno.writeFileSync(path, pattern(5000));
    using checked = preflightTarget(
      path,
      store.options({ imageBytes: 5000, oldContent: "updated", isRead: true }),
    );
    const target = await checked.open();
    assertEquals(await target.settle(), null);
    const comparable = asDescriptor(target.comparable());
    assertEquals(comparable.directFd, null);
    const buffer = directBuffer(65_536);
    assertEquals(new StorageReader(comparable).read(buffer, 1000, 4000), 4000);
    assertBytes(buffer.subarray(0, 4000), pattern(5000).subarray(1000));
    target.close();
  },
);

testUnless(
  loopDeviceProblem() ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "Target.comparable() reads the open file whatever happened to its name, and is closed again",
  async () => {
    using store = new StoreFixture();
    using disk = new LoopDevice(16 * MIB);
    runSync("mkfs.ext4", "-q", "-F", disk.path);
    using mount = new Mount(disk.path);
    const path = `${mount.path}/image`;
    for (const isReplaced of [false, true]) {
      Deno.writeFileSync(path, pattern(5000));
      using checked = preflightTarget(
        path,
        store.options({ imageBytes: 5000, oldContent: "updated", isRead: true }),
      );
      const target = await checked.open();
      Deno.removeSync(path);
      if (isReplaced) Deno.writeFileSync(path, new Uint8Array(5000));
      await target.settle();
      const comparable = asDescriptor(target.comparable());
      assert(comparable.directFd !== null);
      assertEquals(asDescriptor(target.comparable()).directFd, comparable.directFd);
      const buffer = directBuffer(65_536);
      assertEquals(new StorageReader(comparable).read(buffer, 0, 5000), 5000);
      assertBytes(buffer.subarray(0, 5000), pattern(5000));
      target.close();
      const isOpen = [...Deno.readDirSync("/proc/self/fd")].some(({ name }) =>
        name === String(comparable.directFd)
      );
      assertEquals(isOpen, false);
    }
  },
);
