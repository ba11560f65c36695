import { assert, assertEquals } from "../assert.ts";
import { directBuffer } from "../../lib/linux/files.ts";

const MIB = 1_048_576;

function addressSpaceBytes(): number {
  const [, kib] = /^VmSize:\s+(\d+) kB$/m.exec(Deno.readTextFileSync("/proc/self/status")) ?? [];
  return Number(kib) * 1024;
}

Deno.test("directBuffer() is zeros from a page boundary on, and takes no more address space", () => {
  const before = addressSpaceBytes();
  for (const bytes of [1, 65_536, 65_537, 5 * MIB]) {
    const buffer = directBuffer(bytes);
    assertEquals(buffer.length, Math.ceil(bytes / 65_536) * 65_536);
    assert(buffer.every((byte) => byte === 0));
    const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer));
    assertEquals(BigInt(address) % 4096n, 0n);
  }
  assert(addressSpaceBytes() - before < 1024 * MIB);
});
