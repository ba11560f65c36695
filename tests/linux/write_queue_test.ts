import { Errno } from "../../lib/linux/errno.ts";
import {
  closeFd,
  directBuffer,
  openFd,
  OpenFlag,
  readFull,
  releaseFd,
} from "../../lib/linux/files.ts";
import { duplicateFd } from "../../lib/linux/descriptors.ts";
import { spareDescriptors } from "../../lib/linux/headroom.ts";
import { type EndedWrite, WriteQueue } from "../../lib/linux/write_queue.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo, Mount, mountProblem, Scratch, testUnless } from "../support/machine.ts";

const PAGE = 4096, MIB = 1_048_576;

/** Waits for a number of writes. @returns Their results by their tags. */
function ended(queue: WriteQueue, count: number): Map<number, number> {
  const all: EndedWrite[] = [];
  while (all.length < count) all.push(...queue.wait());
  return new Map(all.map(({ tag, result }) => [tag, result]));
}

for (const [how, flag] of [["past", OpenFlag.O_DIRECT], ["through", 0]] as const) {
  Deno.test(`WriteQueue writes ${how} the page cache`, () => {
    using scratch = new Scratch();
    const path = scratch.file("file", new Uint8Array(4 * MIB));
    const fd = openFd(path, OpenFlag.O_WRONLY | flag);
    const bytes = crypto.getRandomValues(directBuffer(PAGE * 16));
    const content = new Uint8Array(4 * MIB);
    using queue = WriteQueue.open(fd, 16)!;
    closeFd(fd);
    for (let tag = 0; tag < 16; tag++) {
      const page = bytes.subarray(tag * PAGE, (tag + 1) * PAGE), offset = tag * 7 * PAGE;
      assertEquals(queue.submit(page, { offset, tag }), true);
      content.set(page, offset);
    }
    assertEquals(queue.submit(bytes, { offset: 0, tag: 17 }), false);
    const results = ended(queue, 16);
    assertEquals([...results.values()], Array.from({ length: 16 }, () => PAGE));
    assertEquals(
      [...results.keys()].sort((a, b) => a - b),
      Array.from({ length: 16 }, (_, i) => i),
    );
    assertBytes(Deno.readFileSync(path), content);
  });
}

testUnless(
  mountProblem(),
  "WriteQueue tells of short writes, and gives the error number of each write",
  () => {
    using mount = new Mount("-t", "tmpfs", "-o", "size=64k", "tmpfs");
    const fd = openFd(`${mount.path}/file`, OpenFlag.O_WRONLY | OpenFlag.O_CREAT);
    {
      using queue = WriteQueue.open(fd, 4)!;
      const bytes = directBuffer(131_072);
      assertEquals(queue.submit(bytes, { offset: 0, tag: 2 }), true);
      assertEquals(ended(queue, 1), new Map([[2, 65_536]]));
      assertEquals(queue.submit(bytes, { offset: 65_536, tag: 3 }), true);
      assertEquals(ended(queue, 1), new Map([[3, -Errno.ENOSPC]]));
    }
    closeFd(fd);
  },
);

/** Runs with a pipe, which takes 64 KiB (pipe(7)); longer writes wait until it is read. */
function withPipe(run: (fd: number) => void): void {
  using scratch = new Scratch();
  // The C library falls back to `write` where a file has no offsets.
  const fd = openFd(makeFifo(scratch.file("fifo")), OpenFlag.O_RDWR);
  run(fd);
  closeFd(fd);
}

Deno.test("WriteQueue.cancel() takes back what was not begun, and nothing else", () => {
  withPipe((fd) => {
    const bytes = directBuffer(131_072);
    using queue = WriteQueue.open(fd, 8)!;
    for (const tag of [1, 2, 3]) {
      assertEquals(queue.submit(bytes, { offset: 0, tag }), true);
    }
    assertEquals(queue.wait(50), []);
    queue.cancel();
    assertEquals(ended(queue, 2), new Map([[2, -Errno.ECANCELED], [3, -Errno.ECANCELED]]));
    assertEquals(queue.wait(50), []);
    assertEquals(readFull(fd, directBuffer(131_072)), 131_072);
    assertEquals(ended(queue, 1), new Map([[1, 131_072]]));
  });
});

Deno.test("WriteQueue makes more writes at once when a wait shows that one is not enough", () => {
  withPipe((fd) => {
    const bytes = directBuffer(131_072);
    using queue = WriteQueue.open(fd, 8)!;
    queue.submit(bytes, { offset: 0, tag: 0 });
    assertEquals(queue.wait(20), []);
    assertEquals(queue.depth, 1);
    for (let tag = 1; tag < 8; tag++) {
      queue.submit(bytes, { offset: 0, tag });
      assertEquals(queue.wait(20), []);
    }
    assert(queue.depth > 2, `${queue.depth}`);
    assertEquals(readFull(fd, directBuffer(8 * 131_072)), 8 * 131_072);
    assertEquals(ended(queue, 8).size, 8);
  });
});

Deno.test("WriteQueue.open() returns null where descriptors are short", () => {
  const own = openFd("/dev/null", OpenFlag.O_WRONLY);
  const taken = Array.from({ length: spareDescriptors(70_000) - 2 }, () => duplicateFd(own)!);
  try {
    assertEquals(WriteQueue.open(own, 4), null);
  } finally {
    [own, ...taken].forEach(releaseFd);
  }
});
