import { OsError } from "../../lib/errors.ts";
import { closeFd, openFd, OpenFlag, readAt } from "../../lib/linux/files.ts";
import { lengthOfFd, nextDataRange } from "../../lib/linux/file_space.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";
import { runSync } from "../support/programs.ts";

const MIB = 1_048_576;

/** Runs with a descriptor of a file. */
function withFd<T>(path: string, use: (fd: number) => T, flags: number = OpenFlag.O_RDONLY): T {
  const fd = openFd(path, flags);
  try {
    return use(fd);
  } finally {
    closeFd(fd);
  }
}

Deno.test("readAt() reads at any offset, and less only at the end", () => {
  using scratch = new Scratch();
  const content = Uint8Array.from({ length: 1000 }, (_, at) => at);
  withFd(scratch.file("file", content), (fd) => {
    const buffer = new Uint8Array(100);
    const read = (offset: number) => readAt(fd, buffer.fill(0), offset);
    assertEquals([read(0), buffer[99]], [100, 99]);
    assertEquals([read(900), buffer[99]], [100, 999 % 256]);
    assertEquals([read(950), buffer[49], buffer[50]], [50, 999 % 256, 0]);
    assertEquals([read(1000), read(5000)], [0, 0]);
    // The descriptor's own position stays.
    assertEquals([read(3), buffer[0]], [100, 3]);
    assertEquals(readAt(fd, new Uint8Array(0), 0), 0);
    for (const offset of [-1, 0.5, NaN]) assertThrows(() => readAt(fd, buffer, offset), RangeError);
  });
});

Deno.test("readAt() names call, file and errno of a failure", () => {
  const buffer = new Uint8Array(10);
  const read = (path: string, flags: number) =>
    withFd(path, (fd) => assertThrows(() => readAt(fd, buffer, 0, path), OsError), flags);
  const { errnoName, syscall, path } = read("/proc/self/mem", OpenFlag.O_RDONLY);
  assertEquals([errnoName, syscall, path], ["EIO", "read", "/proc/self/mem"]);
  assertEquals(read("/dev/null", OpenFlag.O_WRONLY).errnoName, "EBADF");
  assertEquals(read("/", OpenFlag.O_RDONLY).errnoName, "EISDIR");
});

Deno.test("lengthOfFd() returns a length, or says that there is none", () => {
  using scratch = new Scratch();
  assertEquals(withFd(scratch.file("file", new Uint8Array(77)), (fd) => lengthOfFd(fd)), 77);
  const fifo = scratch.file("fifo");
  runSync("mkfifo", fifo);
  const error = withFd(
    fifo,
    (fd) => assertThrows(() => lengthOfFd(fd, fifo), OsError),
    OpenFlag.O_RDWR,
  );
  assertEquals([error.errnoName, error.path], ["ESPIPE", fifo]);
});

/** All ranges of data between two bytes. */
function dataRanges(path: string, start: number, end: number): [number, number][] {
  return withFd(path, (fd) => {
    const ranges: [number, number][] = [];
    for (let at = start; at < end;) {
      const range = nextDataRange(fd, at, end);
      if (range === null) break;
      ranges.push([range.start, range.end]);
      assert(range.start >= at && range.end > range.start && range.end <= end);
      at = range.end;
    }
    return ranges;
  });
}

Deno.test("nextDataRange() finds data between holes, at the ends too", () => {
  using scratch = new Scratch();
  const file = (name: string, bytes: number, ...data: number[]) => {
    const path = scratch.file(name, "");
    Deno.truncateSync(path, bytes);
    using file = Deno.openSync(path, { write: true });
    for (const at of data) {
      file.seekSync(at, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(MIB).fill(1));
    }
    return path;
  };
  const middle = file("holes at both ends", 8 * MIB, 2 * MIB, 5 * MIB);
  assertEquals(dataRanges(middle, 0, 8 * MIB), [[2 * MIB, 3 * MIB], [5 * MIB, 6 * MIB]]);
  assertEquals(dataRanges(middle, 2 * MIB + 5, 5 * MIB + 5), [
    [2 * MIB + 5, 3 * MIB],
    [5 * MIB, 5 * MIB + 5],
  ]);
  assertEquals(dataRanges(middle, 3 * MIB, 5 * MIB), []);
  assertEquals(dataRanges(middle, 6 * MIB, 8 * MIB), []);
  const ends = file("data at both ends", 4 * MIB, 0, 3 * MIB);
  assertEquals(dataRanges(ends, 0, 4 * MIB), [[0, MIB], [3 * MIB, 4 * MIB]]);
  assertEquals(dataRanges(file("hole", MIB), 0, MIB), []);
  // Behind the end there is nothing.
  assertEquals(dataRanges(ends, 4 * MIB, 9 * MIB), []);
  assertEquals(dataRanges(ends, 2 * MIB, 9 * MIB), [[3 * MIB, 4 * MIB]]);
  assertEquals(dataRanges(file("empty", 0), 0, 1), []);
});

testUnless(loopDeviceProblem(), "nextDataRange() takes all of a device for data", () => {
  using device = new LoopDevice(MIB);
  assertEquals(dataRanges(device.path, 0, MIB), [[0, MIB]]);
  assertEquals(dataRanges(device.path, 5, 6), [[5, 6]]);
  assertEquals(withFd(device.path, (fd) => lengthOfFd(fd)), MIB);
});
