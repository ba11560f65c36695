import { Errno } from "../../lib/linux/errno.ts";
import { closeFd, directBuffer, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { type EndedWrite, WriteQueue } from "../../lib/linux/write_queue.ts";
import { assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { Mount, mountProblem, Scratch, testUnless } from "../support/machine.ts";

const PAGE = 4096, MIB = 1_048_576;

function queueProblem(): string | null {
  using queue = WriteQueue.open(1);
  return queue === null ? "the kernel gives no queue (fs.aio-max-nr)" : null;
}

/** Waits for a number of writes. @returns Their results by their tags. */
function ended(queue: WriteQueue, count: number): Map<number, number> {
  const all: EndedWrite[] = [];
  while (all.length < count) all.push(...queue.wait());
  return new Map(all.map(({ tag, result }) => [tag, result]));
}

for (const [how, flag] of [["past", OpenFlag.O_DIRECT], ["through", 0]] as const) {
  testUnless(queueProblem(), `WriteQueue writes ${how} the page cache`, () => {
    using scratch = new Scratch();
    const path = scratch.file("file", new Uint8Array(4 * MIB));
    const fd = openFd(path, OpenFlag.O_WRONLY | flag);
    const bytes = crypto.getRandomValues(directBuffer(PAGE * 16));
    const content = new Uint8Array(4 * MIB);
    using queue = WriteQueue.open(16)!;
    for (let tag = 0; tag < 16; tag++) {
      const page = bytes.subarray(tag * PAGE, (tag + 1) * PAGE), offset = tag * 7 * PAGE;
      assertEquals(queue.submit(fd, page, { offset, tag }), true);
      content.set(page, offset);
    }
    const results = ended(queue, 16);
    assertEquals([...results.values()], Array.from({ length: 16 }, () => PAGE));
    assertEquals(
      [...results.keys()].sort((a, b) => a - b),
      Array.from({ length: 16 }, (_, i) => i),
    );
    closeFd(fd);
    assertBytes(Deno.readFileSync(path), content);
  });
}

testUnless(
  queueProblem() ?? mountProblem(),
  "WriteQueue tells of short writes, and gives the error number of each write",
  () => {
    using mount = new Mount("-t", "tmpfs", "-o", "size=64k", "tmpfs");
    const fd = openFd(`${mount.path}/file`, OpenFlag.O_WRONLY | OpenFlag.O_CREAT);
    using queue = WriteQueue.open(4)!;
    const bytes = directBuffer(131_072);
    assertEquals(queue.submit(fd, bytes, { offset: 0, tag: 2 }), true);
    assertEquals(ended(queue, 1), new Map([[2, 65_536]]));
    assertEquals(queue.submit(fd, bytes, { offset: 65_536, tag: 3 }), true);
    assertEquals(ended(queue, 1), new Map([[3, -Errno.ENOSPC]]));
    closeFd(fd);
  },
);

testUnless(
  queueProblem(),
  "WriteQueue.submit() returns false for what the kernel does not take",
  () => {
    using queue = WriteQueue.open(4)!;
    const bytes = directBuffer(4096);
    assertEquals(queue.submit(9999, bytes, { offset: 0, tag: 1 }), false);
  },
);

Deno.test("WriteQueue.open() returns null where the system gives none", () => {
  assertEquals(WriteQueue.open(0), null);
});
