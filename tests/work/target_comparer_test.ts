import * as codec from "lzo-wasm";
import { TargetError } from "../../lib/errors.ts";
import { closeFd, fdatasyncFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { FallocateMode, tryFallocate } from "../../lib/linux/file_space.ts";
import { TargetComparer } from "../../lib/work/target_comparer.ts";
import { chunkIdToHex } from "../../lib/store/layout.ts";
import { type DescriptorHandle, DescriptorIo } from "../../lib/target/descriptor_io.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { descriptorHandle } from "../target/handles.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";

const MIB = 1_048_576;
const GRANULE = 65_536;

/** A target that was opened for these tests. */
class Opened implements Disposable {
  readonly target: DescriptorHandle;

  constructor(path: string, flags: number = OpenFlag.O_RDWR, isDirect = false) {
    const fd = openFd(path, flags);
    const directFd = isDirect ? openFd(path, flags | OpenFlag.O_DIRECT) : null;
    this.target = descriptorHandle({ fd, path, directFd });
  }

  comparer(mayHaveHoles = true): TargetComparer {
    if (this.target.path !== "/proc/self/mem" && this.target.path !== "/dev/null") {
      fdatasyncFd(this.target.fd);
    }
    const handle = { ...this.target, mayHaveHoles };
    return new TargetComparer(new DescriptorIo(handle, { extent: { start: 0, end: 0 } }));
  }

  [Symbol.dispose](): void {
    closeFd(this.target.fd);
    if (this.target.directFd !== null) closeFd(this.target.directFd);
  }
}

function partAt(targetOffset: number, length: number) {
  return { chunkOffset: 0, imageOffset: 0, targetOffset, length };
}

function idOf(bytes: Uint8Array): string {
  codec.outputs[1]!.set(bytes);
  return chunkIdToHex(codec.murmur3(1, bytes.length));
}

function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, at) => at * 7 + (at >> 8) + 1);
}

/** What a comparer says of a range: its parts in granules. */
function granulesOf(comparer: TargetComparer, from: number, count: number) {
  return [...comparer.comparedToZeros(from * GRANULE, count * GRANULE)].map(
    ({ offset, length, isZero }) => [offset / GRANULE, length / GRANULE, isZero],
  );
}

Deno.test("TargetComparer.holdsChunk() and holdsBytes() compare bytes at a place", () => {
  using scratch = new Scratch();
  const content = pattern(300_000);
  const path = scratch.file("target", content);
  for (const isDirect of [false, true]) {
    using target = new Opened(path, OpenFlag.O_RDWR, isDirect);
    const comparer = target.comparer();
    const part = content.slice(1000, 201_000);
    assert(comparer.holdsChunk(idOf(part), partAt(1000, part.length)));
    assert(!comparer.holdsChunk(idOf(part), partAt(1001, part.length)));
    assert(!comparer.holdsChunk(idOf(part), partAt(1000, part.length - 1)));
    assert(comparer.holdsBytes(part, partAt(1000, part.length)));
    assert(!comparer.holdsBytes(part, partAt(999, part.length)));
    for (const at of [0, 77_777, part.length - 1]) {
      const other = part.slice();
      other[at]! ^= 1;
      assert(!comparer.holdsBytes(other, partAt(1000, part.length)), `${at}`);
      assert(!comparer.holdsChunk(idOf(other), partAt(1000, part.length)), `${at}`);
    }
    // The target ends before these, even if stale bytes in a buffer would match.
    assert(comparer.holdsBytes(content.slice(100_000), partAt(100_000, 200_000)));
    assert(!comparer.holdsBytes(content.slice(100_000), partAt(100_001, 200_000)));
    assert(!comparer.holdsBytes(part, partAt(400_000, part.length)));
  }
});

Deno.test("TargetComparer leaves the codec's first output buffer alone", () => {
  using scratch = new Scratch();
  using target = new Opened(scratch.file("target", pattern(MIB)));
  codec.outputs[0]!.fill(0x33);
  target.comparer().holdsChunk("0".repeat(32), partAt(0, MIB));
  granulesOf(target.comparer(), 0, 16);
  assert(codec.outputs[0]!.every((byte) => byte === 0x33));
});

Deno.test("TargetComparer.comparedToZeros() tells zeros from data, granule by granule", () => {
  using scratch = new Scratch();
  const content = new Uint8Array(128 * GRANULE);
  for (const granule of [3, 4, 64, 65, 127]) content[granule * GRANULE + GRANULE - 1] = 1;
  const path = scratch.file("target", content);
  using target = new Opened(path);
  const expected = [
    ...[[0, 3, true], [3, 2, false], [5, 59, true]],
    // A range of more than a chunk is read in several pieces.
    ...[[64, 2, false], [66, 61, true], [127, 1, false]],
  ];
  assertEquals<unknown>(granulesOf(target.comparer(), 0, 128), expected);
  assertEquals<unknown>(granulesOf(target.comparer(), 4, 2), [[4, 1, false], [5, 1, true]]);
  assertEquals([...target.comparer().comparedToZeros(5, 0)], []);
  // Granules are counted from the start of the range.
  assertEquals([...target.comparer().comparedToZeros(5 * GRANULE - 1, GRANULE + 1)], [
    { offset: 5 * GRANULE - 1, length: GRANULE, isZero: false, isHole: false },
    { offset: 6 * GRANULE - 1, length: 1, isZero: true, isHole: false },
  ]);
});

Deno.test("TargetComparer.comparedToZeros() does not read holes, and accepts them as zeros or not", () => {
  using scratch = new Scratch();
  const path = scratch.file("target", new Uint8Array(16 * GRANULE).fill(1));
  for (const mayHaveHoles of [true, false]) {
    using target = new Opened(path);
    const range = { offset: 4 * GRANULE, length: 4 * GRANULE };
    const mode = FallocateMode.PUNCH_HOLE | FallocateMode.KEEP_SIZE;
    assertEquals(tryFallocate(target.target.fd, mode, range), 0);
    const comparer = target.comparer(mayHaveHoles);
    assertEquals<unknown>(granulesOf(comparer, 0, 16), [
      [0, 4, false],
      [4, 4, mayHaveHoles],
      [8, 8, false],
    ]);
    assertEquals<unknown>(granulesOf(comparer, 5, 2), [[5, 2, mayHaveHoles]]);
    const holes = [...comparer.comparedToZeros(0, 16 * GRANULE)].map(({ isHole }) => isHole);
    assertEquals(holes, [false, true, false]);
    // Behind the end there is nothing, not even zeros.
    assertEquals<unknown>(granulesOf(comparer, 16, 2), [[16, 2, false]]);
  }
});

Deno.test("TargetComparer takes an unreadable range as one to be written", () => {
  // Reading the first page of the process's own memory fails with EIO.
  using target = new Opened("/proc/self/mem", OpenFlag.O_RDONLY);
  const comparer = target.comparer();
  assertEquals(comparer.holdsChunk("0".repeat(32), partAt(0, 4096)), false);
  assertEquals(comparer.holdsBytes(new Uint8Array(4096), partAt(0, 4096)), false);
  assertEquals([...comparer.comparedToZeros(0, 4096)], [
    { offset: 0, length: 4096, isZero: false, isHole: false },
  ]);
});

Deno.test("TargetComparer reports failures that are not of the storage", () => {
  using target = new Opened("/dev/null", OpenFlag.O_WRONLY);
  const error = assertThrows(
    () => target.comparer().holdsChunk("0".repeat(32), partAt(0, 1)),
    TargetError,
  );
  assertEquals(error.message, 'Cannot read "/dev/null" at byte 0: Bad file descriptor (EBADF)');
  assertEquals([error.path, error.offset], ["/dev/null", 0]);
});

testUnless(loopDeviceProblem(), "TargetComparer reads all of a device, which has no holes", () => {
  using device = new LoopDevice(MIB);
  using target = new Opened(device.path);
  const comparer = target.comparer();
  assertEquals<unknown>(granulesOf(comparer, 0, 16), [[0, 16, false]]);
  {
    using file = Deno.openSync(device.path, { write: true });
    file.writeSync(new Uint8Array(4 * GRANULE));
  }
  assertEquals<unknown>(granulesOf(comparer, 0, 16), [[0, 4, true], [4, 12, false]]);
  assertEquals(comparer.holdsChunk(idOf(new Uint8Array(GRANULE)), partAt(10, GRANULE)), true);
});
