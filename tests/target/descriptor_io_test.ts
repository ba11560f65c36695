import { assert, assertEquals, assertInstanceOf, assertThrows } from "../assert.ts";
import { OsError, TargetError } from "../../lib/errors.ts";
import { Errno } from "../../lib/linux/errno.ts";
import { DescriptorIo, type ZeroPolicy } from "../../lib/target/descriptor_io.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import { FakeTarget, PUNCH, ZERO } from "./fake_target.ts";

const MIB = 1_048_576;

Deno.test("DescriptorIo.write() goes on after short writes", () => {
  const target = new FakeTarget(100);
  target.transferBytes = 7;
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 90 },
    calls: target,
  });
  io.write(Uint8Array.from({ length: 20 }, (_, i) => i), 10);
  assertEquals([...target.content.subarray(10, 30)], Array.from({ length: 20 }, (_, i) => i));
  assertEquals(target.calls, ["pwrite 10+7", "pwrite 17+7", "pwrite 24+6"]);
});

Deno.test("DescriptorIo.write() names the path and the byte of a failure", () => {
  const target = new FakeTarget(100);
  target.failAt = 50;
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 100 },
    calls: target,
  });
  const error = assertThrows(() => io.write(new Uint8Array(20), 40), TargetError);
  assertEquals(
    error.message,
    String.raw`Cannot write "/dev/x\n" at byte 50: No space left on device (ENOSPC)`,
  );
  assertEquals([error.path, error.offset], ["/dev/x\n", 50]);
  assertInstanceOf(error.cause, OsError);
  assertEquals(error.cause.errno, Errno.ENOSPC);
});

Deno.test("DescriptorIo rejects bytes beyond the image", () => {
  const target = new FakeTarget(100);
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 50 },
    calls: target,
  });
  assertThrows(() => io.write(new Uint8Array(2), 49), RangeError, "50");
  assertThrows(() => io.zero(0, 51), RangeError);
  assertThrows(() => io.zero(-1, 5), RangeError);
  assertEquals(target.calls, []);
});

Deno.test("DescriptorIo.zero() does nothing under policies skip and trust", () => {
  for (const policy of ["skip", "trust"] as const) {
    const target = new FakeTarget(100);
    const io = new DescriptorIo(target.device(policy), {
      extent: { start: 0, end: 100 },
      calls: target,
    });
    io.zero(0, 100);
    assertEquals(target.calls, []);
  }
});

Deno.test("DescriptorIo.clear() zeroes, unless there can be nothing but zeros", () => {
  const calls: Readonly<Record<ZeroPolicy, string[]>> = {
    // Nothing was written there, and punching would free allocated storage.
    skip: [],
    trust: ["pwrite 1000+24", "punch 1024+2560", "pwrite 3584+416"],
    deallocate: ["pwrite 1000+24", "punch 1024+2560", "pwrite 3584+416"],
    write: ["pwrite 1000+3000"],
  };
  for (const [policy, expected] of Object.entries(calls)) {
    const target = new FakeTarget(4096);
    const io = new DescriptorIo(target.device(policy as ZeroPolicy), {
      extent: { start: 500, end: 4000 },
      calls: target,
    });
    io.clear(1000, 3000);
    assertEquals(target.calls, expected, policy);
    assertThrows(() => io.clear(499, 1), RangeError);
    assertThrows(() => io.clear(3999, 2), RangeError);
    assertEquals(target.calls, expected, policy);
  }
});

Deno.test("DescriptorIo touches nothing before its extent", () => {
  const target = new FakeTarget(100);
  const extent = { start: 20, end: 50 };
  const io = new DescriptorIo(target.device(), { extent, calls: target });
  assertThrows(() => io.write(new Uint8Array(2), 19), RangeError, "from 20 to 50");
  assertThrows(() => io.zero(19, 5), RangeError);
  io.write(new Uint8Array(30), 20);
  assertEquals(target.calls, ["pwrite 20+30"]);
});

Deno.test("DescriptorIo.zero() writes every zero under policy write", () => {
  const target = new FakeTarget(3 * MIB);
  const io = new DescriptorIo(target.device("write"), {
    extent: { start: 0, end: 3 * MIB },
    calls: target,
  });
  io.zero(5, 2 * MIB);
  // After the first they begin at a page, so that they may be written directly.
  assertEquals(target.calls, [
    `pwrite 5+${MIB - 5}`,
    `pwrite ${MIB}+${MIB}`,
    `pwrite ${2 * MIB}+5`,
  ]);
  assert(isFilled(target.content.subarray(5, 2 * MIB + 5), 0));
  assertEquals([target.content[4], target.content[2 * MIB + 5]], [0xaa, 0xaa]);
});

Deno.test("DescriptorIo.zero() deallocates whole blocks and writes the ends", () => {
  const target = new FakeTarget(4096);
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 4000 },
    calls: target,
  });
  io.zero(1000, 3000);
  assertEquals(target.calls, ["pwrite 1000+24", "punch 1024+2560", "pwrite 3584+416"]);
  const expected = new Uint8Array(4096).fill(0xaa).fill(0, 1000, 4000);
  assertBytes(target.content, expected);
});

Deno.test("DescriptorIo.zero() writes a range within one block", () => {
  const target = new FakeTarget(4096);
  const io = new DescriptorIo(target.device("deallocate", 4096), {
    extent: { start: 0, end: 4096 },
    calls: target,
  });
  io.zero(100, 3000);
  assertEquals(target.calls, ["pwrite 100+3000"]);
});

for (const name of ["EOPNOTSUPP", "ENOSYS", "EINVAL", "ENODEV", "EPERM", "EBUSY"] as const) {
  Deno.test(`DescriptorIo.zero() zeroes the range where holes fail with ${name}`, () => {
    const target = new FakeTarget(4096);
    target.fallocateErrno.set(PUNCH, Errno[name]);
    const io = new DescriptorIo(target.device(), {
      extent: { start: 0, end: 4096 },
      calls: target,
    });
    io.zero(0, 1024);
    io.zero(2048, 1024);
    assertEquals(target.calls, ["punch 0+1024", "zero 0+1024", "zero 2048+1024"]);
  });
}

Deno.test("DescriptorIo.zero() writes zeros where nothing else works, and remembers", () => {
  const target = new FakeTarget(4096);
  target.fallocateErrno.set(PUNCH, Errno.EOPNOTSUPP).set(ZERO, Errno.EOPNOTSUPP);
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 4096 },
    calls: target,
  });
  io.zero(100, 1000);
  io.zero(2048, 1024);
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

Deno.test("DescriptorIo.zero() reports errors of the storage", () => {
  const target = new FakeTarget(4096);
  target.fallocateErrno.set(PUNCH, Errno.EIO);
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 4096 },
    calls: target,
  });
  const error = assertThrows(() => io.zero(100, 2000), TargetError);
  assertEquals(
    error.message,
    String.raw`Cannot write "/dev/x\n" at byte 512: Input/output error (EIO)`,
  );
});

Deno.test("DescriptorIo.zero() splits long ranges and stops between the pieces", () => {
  const target = new FakeTarget(0);
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 2 ** 44 },
    calls: target,
    shouldStop: () => target.calls.length >= 2,
  });
  io.zero(0, 2 ** 43);
  assertEquals(target.calls, [`punch 0+${2 ** 30}`, `punch ${2 ** 30}+${2 ** 30}`]);
});

Deno.test("DescriptorIo.zero() tries no other way once it should stop", () => {
  const target = new FakeTarget(0);
  target.fallocateErrno.set(PUNCH, Errno.EOPNOTSUPP);
  let isStopped = false;
  const io = new DescriptorIo(target.device(), {
    extent: { start: 0, end: 2 ** 44 },
    calls: {
      pwriteSome: target.pwriteSome,
      tryFallocate: (...args) => {
        isStopped = true;
        return target.tryFallocate(...args);
      },
    },
    shouldStop: () => isStopped,
  });
  io.zero(0, 2 ** 20);
  assertEquals(target.calls, [`punch 0+${2 ** 20}`]);
});

Deno.test("DescriptorIo writes any mix of data and zeros to any device", () => {
  let seed = 1;
  const random = (below: number) => (seed = seed * 48_271 % 2_147_483_647) % below;
  for (let round = 0; round < 200; round++) {
    const imageBytes = 1 + random(20_000);
    const target = new FakeTarget(imageBytes + 5000);
    target.transferBytes = 1 + random(3000);
    if (random(2)) target.fallocateErrno.set(PUNCH, Errno.EOPNOTSUPP);
    if (random(2)) target.fallocateErrno.set(ZERO, Errno.EINVAL);
    const expected = target.content.slice();
    const io = new DescriptorIo(target.device("deallocate", random(2) ? 512 : 4096), {
      extent: { start: 0, end: imageBytes },
      calls: target,
    });
    for (let offset = 0; offset < imageBytes;) {
      const length = Math.min(1 + random(9000), imageBytes - offset);
      if (random(2)) {
        io.zero(offset, length);
        expected.fill(0, offset, offset + length);
      } else {
        io.write(new Uint8Array(length).fill(0x55), offset);
        expected.fill(0x55, offset, offset + length);
      }
      offset += length;
    }
    assertBytes(target.content, expected);
  }
});
