import { assert, assertEquals, assertInstanceOf, assertThrows } from "../assert.ts";
import { OsError, TargetError } from "../../lib/errors.ts";
import { Errno, osError } from "../../lib/linux/errno.ts";
import { FallocateMode } from "../../lib/linux/libc.ts";
import type { TargetHandle, ZeroPolicy } from "../../lib/target/target.ts";
import { RandomAccessWriter, StreamWriter, type WriterSyscalls } from "../../lib/target/writer.ts";
import { assertBytes } from "./machine.ts";

const MIB = 1_048_576;
const PUNCH = FallocateMode.PUNCH_HOLE | FallocateMode.KEEP_SIZE;
const ZERO = FallocateMode.ZERO_RANGE | FallocateMode.KEEP_SIZE;

/** A target in memory whose calls may be made to fail. */
class FakeTarget implements WriterSyscalls {
  readonly content: Uint8Array;
  readonly calls: string[] = [];
  /** Longest transfer of one call. */
  transferBytes = Infinity;
  /** What fallocate answers, by mode; 0 by default. */
  fallocateErrno = new Map<number, number>();
  /** Byte from which on writing fails, and how. */
  failAt = Infinity;
  failErrno: number = Errno.ENOSPC;
  /** Answers of the next writes, before any byte is taken: an errno each. */
  writeErrnos: number[] = [];
  /** Whether zeros can be spliced: the target is a pipe. */
  isPipe = false;
  #position = 0;

  constructor(bytes: number) {
    this.content = new Uint8Array(bytes).fill(0xaa);
  }

  pwriteSome = (_fd: number, view: Uint8Array, offset: number, path = ""): number => {
    if (offset >= this.failAt) throw osError(this.failErrno, { syscall: "write", path });
    const count = Math.min(view.length, this.transferBytes, this.failAt - offset);
    this.content.set(view.subarray(0, count), offset);
    this.calls.push(`pwrite ${offset}+${count}`);
    return count;
  };

  writeSome = (fd: number, view: Uint8Array, path = ""): number => {
    const errno = this.writeErrnos.shift();
    if (errno) throw osError(errno, { syscall: "write", path });
    const count = this.pwriteSome(fd, view, this.#position, path);
    this.#position += count;
    return count;
  };

  tryFallocate = (_fd: number, mode: number, range: { offset: number; length: number }): number => {
    const { offset, length } = range;
    this.calls.push(`${mode === PUNCH ? "punch" : "zero"} ${offset}+${length}`);
    const errno = this.fallocateErrno.get(mode) ?? 0;
    if (errno === 0) this.content.fill(0, offset, offset + length);
    return errno;
  };

  pollWritable = (): boolean => {
    this.calls.push("poll");
    return true;
  };

  trySpliceZeros = (_fd: number, bytes: number): number => {
    if (!this.isPipe) return -Errno.EBADF;
    const errno = this.writeErrnos.shift();
    if (errno) return -errno;
    const count = Math.min(bytes, this.transferBytes);
    this.content.fill(0, this.#position, this.#position + count);
    this.calls.push(`splice ${this.#position}+${count}`);
    this.#position += count;
    return count;
  };

  handle(zeroPolicy: ZeroPolicy = "deallocate", blockBytes = 512): TargetHandle {
    return { fd: 99, path: "/dev/x\n", access: "random", zeroPolicy, blockBytes };
  }
}

Deno.test("RandomAccessWriter.writeData() goes on after short writes", () => {
  const target = new FakeTarget(100);
  target.transferBytes = 7;
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 90 },
    syscalls: target,
  });
  writer.writeData(Uint8Array.from({ length: 20 }, (_, i) => i), 10);
  assertEquals([...target.content.subarray(10, 30)], Array.from({ length: 20 }, (_, i) => i));
  assertEquals(target.calls, ["pwrite 10+7", "pwrite 17+7", "pwrite 24+6"]);
});

Deno.test("RandomAccessWriter.writeData() names path and byte of a failure", () => {
  const target = new FakeTarget(100);
  target.failAt = 50;
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 100 },
    syscalls: target,
  });
  const error = assertThrows(() => writer.writeData(new Uint8Array(20), 40), TargetError);
  assertEquals(
    error.message,
    String.raw`Cannot write "/dev/x\n" at byte 50: No space left on device (ENOSPC)`,
  );
  assertEquals([error.path, error.offset], ["/dev/x\n", 50]);
  assertInstanceOf(error.cause, OsError);
  assertEquals(error.cause.errno, Errno.ENOSPC);
});

Deno.test("RandomAccessWriter rejects bytes beyond the image", () => {
  const target = new FakeTarget(100);
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 50 },
    syscalls: target,
  });
  assertThrows(() => writer.writeData(new Uint8Array(2), 49), RangeError, "50");
  assertThrows(() => writer.writeZeros(0, 51), RangeError);
  assertThrows(() => writer.writeZeros(-1, 5), RangeError);
  assertEquals(target.calls, []);
});

Deno.test("RandomAccessWriter.writeZeros() does nothing under policies skip and trust", () => {
  for (const policy of ["skip", "trust"] as const) {
    const target = new FakeTarget(100);
    const writer = new RandomAccessWriter(target.handle(policy), {
      extent: { start: 0, end: 100 },
      syscalls: target,
    });
    writer.writeZeros(0, 100);
    assertEquals(target.calls, []);
  }
});

Deno.test("RandomAccessWriter.clear() makes zeros, but where there can be nothing else", () => {
  const calls: Readonly<Record<ZeroPolicy, string[]>> = {
    // Nothing was written there, and punching would give allocated storage away.
    skip: [],
    trust: ["pwrite 1000+24", "punch 1024+2560", "pwrite 3584+416"],
    deallocate: ["pwrite 1000+24", "punch 1024+2560", "pwrite 3584+416"],
    write: ["pwrite 1000+3000"],
  };
  for (const [policy, expected] of Object.entries(calls)) {
    const target = new FakeTarget(4096);
    const writer = new RandomAccessWriter(target.handle(policy as ZeroPolicy), {
      extent: { start: 500, end: 4000 },
      syscalls: target,
    });
    writer.clear(1000, 3000);
    assertEquals(target.calls, expected, policy);
    assertThrows(() => writer.clear(499, 1), RangeError);
    assertThrows(() => writer.clear(3999, 2), RangeError);
    assertEquals(target.calls, expected, policy);
  }
});

Deno.test("RandomAccessWriter touches nothing before its extent", () => {
  const target = new FakeTarget(100);
  const extent = { start: 20, end: 50 };
  const writer = new RandomAccessWriter(target.handle(), { extent, syscalls: target });
  assertThrows(() => writer.writeData(new Uint8Array(2), 19), RangeError, "from 20 to 50");
  assertThrows(() => writer.writeZeros(19, 5), RangeError);
  writer.writeData(new Uint8Array(30), 20);
  assertEquals(target.calls, ["pwrite 20+30"]);
});

Deno.test("RandomAccessWriter.writeZeros() writes every zero under policy write", () => {
  const target = new FakeTarget(3 * MIB);
  const writer = new RandomAccessWriter(target.handle("write"), {
    extent: { start: 0, end: 3 * MIB },
    syscalls: target,
  });
  writer.writeZeros(5, 2 * MIB);
  assertEquals(target.calls, [`pwrite 5+${MIB}`, `pwrite ${MIB + 5}+${MIB}`]);
  assert(target.content.subarray(5, 2 * MIB + 5).every((byte) => byte === 0));
  assertEquals([target.content[4], target.content[2 * MIB + 5]], [0xaa, 0xaa]);
});

Deno.test("RandomAccessWriter.writeZeros() deallocates whole blocks and writes the ends", () => {
  const target = new FakeTarget(4096);
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 4000 },
    syscalls: target,
  });
  writer.writeZeros(1000, 3000);
  assertEquals(target.calls, ["pwrite 1000+24", "punch 1024+2560", "pwrite 3584+416"]);
  const expected = new Uint8Array(4096).fill(0xaa).fill(0, 1000, 4000);
  assertBytes(target.content, expected);
});

Deno.test("RandomAccessWriter.writeZeros() writes a range within one block", () => {
  const target = new FakeTarget(4096);
  const writer = new RandomAccessWriter(target.handle("deallocate", 4096), {
    extent: { start: 0, end: 4096 },
    syscalls: target,
  });
  writer.writeZeros(100, 3000);
  assertEquals(target.calls, ["pwrite 100+3000"]);
});

for (const name of ["EOPNOTSUPP", "ENOSYS", "EINVAL", "ENODEV", "EPERM", "EBUSY"] as const) {
  Deno.test(`RandomAccessWriter.writeZeros() zeroes the range where holes fail with ${name}`, () => {
    const target = new FakeTarget(4096);
    target.fallocateErrno.set(PUNCH, Errno[name]);
    const writer = new RandomAccessWriter(target.handle(), {
      extent: { start: 0, end: 4096 },
      syscalls: target,
    });
    writer.writeZeros(0, 1024);
    writer.writeZeros(2048, 1024);
    assertEquals(target.calls, ["punch 0+1024", "zero 0+1024", "zero 2048+1024"]);
  });
}

Deno.test("RandomAccessWriter.writeZeros() writes zeros where nothing else works, and remembers", () => {
  const target = new FakeTarget(4096);
  target.fallocateErrno.set(PUNCH, Errno.EOPNOTSUPP).set(ZERO, Errno.EOPNOTSUPP);
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 4096 },
    syscalls: target,
  });
  writer.writeZeros(100, 1000);
  writer.writeZeros(2048, 1024);
  assertEquals(target.calls, [
    "pwrite 100+412",
    "punch 512+512",
    "zero 512+512",
    "pwrite 512+512",
    "pwrite 1024+76",
    "pwrite 2048+1024",
  ]);
  assertBytes(
    target.content,
    new Uint8Array(4096).fill(0xaa).fill(0, 100, 1100).fill(0, 2048, 3072),
  );
});

Deno.test("RandomAccessWriter.writeZeros() reports errors of the storage", () => {
  const target = new FakeTarget(4096);
  target.fallocateErrno.set(PUNCH, Errno.EIO);
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 4096 },
    syscalls: target,
  });
  const error = assertThrows(() => writer.writeZeros(100, 2000), TargetError);
  assertEquals(
    error.message,
    String.raw`Cannot write "/dev/x\n" at byte 512: Input/output error (EIO)`,
  );
});

Deno.test("RandomAccessWriter.writeZeros() splits long ranges and stops between the pieces", () => {
  const target = new FakeTarget(0);
  let answers = 0;
  const writer = new RandomAccessWriter(target.handle(), {
    extent: { start: 0, end: 2 ** 44 },
    syscalls: target,
    shouldStop: () => ++answers > 2,
  });
  writer.writeZeros(0, 2 ** 43);
  assertEquals(target.calls, [`punch 0+${2 ** 30}`, `punch ${2 ** 30}+${2 ** 30}`]);
});

Deno.test("RandomAccessWriter brings any mix of data and zeros to any device", () => {
  let seed = 1;
  const random = (below: number) => (seed = seed * 48_271 % 2_147_483_647) % below;
  for (let round = 0; round < 200; round++) {
    const imageBytes = 1 + random(20_000);
    const target = new FakeTarget(imageBytes + 5000);
    target.transferBytes = 1 + random(3000);
    if (random(2)) target.fallocateErrno.set(PUNCH, Errno.EOPNOTSUPP);
    if (random(2)) target.fallocateErrno.set(ZERO, Errno.EINVAL);
    const expected = target.content.slice();
    const writer = new RandomAccessWriter(target.handle("deallocate", random(2) ? 512 : 4096), {
      extent: { start: 0, end: imageBytes },
      syscalls: target,
    });
    for (let offset = 0; offset < imageBytes;) {
      const length = Math.min(1 + random(9000), imageBytes - offset);
      if (random(2)) {
        writer.writeZeros(offset, length);
        expected.fill(0, offset, offset + length);
      } else {
        writer.writeData(new Uint8Array(length).fill(0x55), offset);
        expected.fill(0x55, offset, offset + length);
      }
      offset += length;
    }
    assertBytes(target.content, expected);
  }
});

Deno.test("StreamWriter writes data and zeros in order, past short writes", () => {
  const target = new FakeTarget(60);
  target.transferBytes = 7;
  const writer = new StreamWriter(target.handle("write"), { syscalls: target });
  writer.write(new Uint8Array(20).fill(1));
  writer.writeZeros(30);
  writer.write(new Uint8Array(10).fill(2));
  assertEquals(writer.position, 60);
  assertBytes(target.content, new Uint8Array(60).fill(1, 0, 20).fill(2, 50));
});

Deno.test("StreamWriter waits for room in a nonblocking pipe", () => {
  const target = new FakeTarget(10);
  target.writeErrnos = [Errno.EAGAIN, Errno.EAGAIN];
  const writer = new StreamWriter(target.handle(), { syscalls: target });
  writer.write(new Uint8Array(10).fill(1));
  assertEquals(target.calls, ["poll", "poll", "pwrite 0+10"]);
});

Deno.test("StreamWriter gives a wait up when it should stop", () => {
  const target = new FakeTarget(10);
  target.writeErrnos = [Errno.EAGAIN];
  const writer = new StreamWriter(target.handle(), { syscalls: target, shouldStop: () => true });
  writer.write(new Uint8Array(10));
  writer.writeZeros(10);
  assertEquals([target.calls, writer.position], [[], 0]);
});

Deno.test("StreamWriter names standard output and the image's byte in a failure", () => {
  const target = new FakeTarget(100);
  target.failAt = 30;
  target.failErrno = Errno.EPIPE;
  const handle: TargetHandle = { ...target.handle("write"), fd: 1, path: "standard output" };
  const writer = new StreamWriter(handle, { syscalls: target });
  writer.write(new Uint8Array(25));
  const error = assertThrows(() => writer.writeZeros(25), TargetError);
  assertEquals(error.message, "Cannot write standard output at byte 30: Broken pipe (EPIPE)");
  assertEquals([error.path, error.offset], ["standard output", 30]);
});

Deno.test("StreamWriter takes its position from whoever had the turn before", () => {
  const target = new FakeTarget(100);
  const writer = new StreamWriter(target.handle(), { syscalls: target });
  writer.position = 4 * MIB;
  writer.write(new Uint8Array(8));
  assertEquals(writer.position, 4 * MIB + 8);
});

Deno.test("StreamWriter.writeZeros() gives zeros to a pipe by reference, and waits for room", () => {
  const target = new FakeTarget(100);
  target.isPipe = true;
  target.transferBytes = 40;
  target.writeErrnos = [Errno.EAGAIN];
  const writer = new StreamWriter(target.handle("write"), { syscalls: target });
  writer.writeZeros(50);
  writer.write(new Uint8Array(10).fill(1));
  assertEquals(target.calls, ["poll", "splice 0+40", "splice 40+10", "pwrite 50+10"]);
  assertEquals(writer.position, 60);
});

Deno.test("StreamWriter.writeZeros() to a closed pipe fails with the image's byte", () => {
  const target = new FakeTarget(100);
  target.isPipe = true;
  target.writeErrnos = [Errno.EPIPE];
  const writer = new StreamWriter(target.handle("write"), { syscalls: target });
  const error = assertThrows(() => writer.writeZeros(25), TargetError);
  assertEquals([error.offset, error.cause instanceof OsError], [0, true]);
});
