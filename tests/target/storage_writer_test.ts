import { assert, assertEquals, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { Errno, osError } from "../../lib/linux/errno.ts";
import { directBuffer } from "../../lib/linux/files.ts";
import { type DescriptorHandle, DescriptorIo } from "../../lib/target/descriptor_io.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { StorageWriter, type WriteCalls } from "../../lib/target/storage_writer.ts";
import type { EndedWrite } from "../../lib/linux/write_queue.ts";
import { assertBytes } from "../support/bytes.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  mountNew,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { descriptorHandle, descriptorOf } from "./handles.ts";
import { StoreFixture } from "./store_fixture.ts";

const PAGE = 4096, MIB = 1_048_576;
const CACHED = 8, DIRECT = 9;

/** Memory that begins at a page, as the codec's does. */
function memory(bytes: number): Uint8Array<ArrayBuffer> {
  return directBuffer(bytes).subarray(0, bytes);
}

/** A target that notes the writes to it. */
class NotedTarget implements WriteCalls {
  readonly calls: string[] = [];
  /** Bytes that one direct write takes at most. */
  directBytes = Infinity;
  /** What direct writes that reach an offset fail with. */
  failure: { readonly from: number; readonly errno: number } | null = null;
  /** Whether there is room for a part of a write that reaches that offset. */
  isPartWritten = true;
  /** Number of calls after which the writer should stop. */
  stopsAfter = Infinity;
  readonly handle: DescriptorHandle;
  readonly writer: StorageWriter;

  constructor(direct: { blockBytes?: number; memoryBytes?: number } = {}) {
    const { blockBytes = PAGE, memoryBytes = PAGE } = direct;
    this.handle = descriptorHandle({
      fd: CACHED,
      direct: { fd: DIRECT, blockBytes, memoryBytes },
      path: "/dev/x",
    });
    this.writer = new StorageWriter(this.handle, this, this);
  }

  shouldStop = (): boolean => this.calls.length >= this.stopsAfter;

  pwriteSome = (fd: number, view: Uint8Array, offset: number, path = ""): number => {
    const isDirect = fd === DIRECT;
    const at = this.isPartWritten ? offset : offset + view.length - 1;
    if (isDirect && this.failure && at >= this.failure.from) {
      throw osError(this.failure.errno, { syscall: "pwrite64", path });
    }
    const count = isDirect ? Math.min(view.length, this.directBytes) : view.length;
    this.calls.push(`${isDirect ? "direct" : "cached"} ${offset}+${count}`);
    return count;
  };
}

const cases: readonly [what: string, start: number, length: number, offset: number, string[]][] = [
  ["whole pages", 0, 2 * PAGE, PAGE, ["direct 4096+8192"]],
  ["a part of a page", 0, 100, 0, ["cached 0+100"]],
  ["the parts of two pages", PAGE - 1, 2, PAGE - 1, ["cached 4095+2"]],
  ["pages and their edges", PAGE - 1, PAGE + 2, 2 * PAGE - 1, [
    "cached 8191+1",
    "direct 8192+4096",
    "cached 12288+1",
  ]],
  ["a page and what is before", PAGE - 5, PAGE + 5, PAGE - 5, [
    "cached 4091+5",
    "direct 4096+4096",
  ]],
  ["a page and what follows", 0, PAGE + 5, 0, ["direct 0+4096", "cached 4096+5"]],
  ["bytes at another offset in a page", 512, 2 * PAGE, 0, ["cached 0+8192"]],
  ["nothing", 0, 0, 0, []],
];

for (const [what, start, length, offset, calls] of cases) {
  Deno.test(`StorageWriter.write() writes ${what}: ${calls.join(", ")}`, () => {
    const target = new NotedTarget();
    target.writer.write(memory(8 * PAGE).subarray(start, start + length), offset);
    assertEquals(target.calls, calls);
  });
}

Deno.test("StorageWriter.write() goes on directly after short writes of whole pages", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE;
  target.writer.write(memory(2 * PAGE), 0);
  assertEquals(target.calls, ["direct 0+4096", "direct 4096+4096"]);
});

Deno.test("StorageWriter.write() fills up a page of which a direct write took a part", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE + 512;
  target.writer.write(memory(3 * PAGE), 0);
  assertEquals(target.calls, ["direct 0+4608", "cached 4608+7680"]);
});

for (const name of ["EINVAL", "EOPNOTSUPP", "ENOSYS", "EACCES", "EPERM"] as const) {
  Deno.test(`StorageWriter.write() goes through the page cache once a direct write failed with ${name}`, () => {
    const target = new NotedTarget();
    target.failure = { from: 0, errno: Errno[name] };
    target.writer.write(memory(PAGE), 0);
    target.failure = null;
    target.writer.write(memory(PAGE), PAGE);
    assertEquals(target.calls, ["cached 0+4096", "cached 4096+4096"]);
  });
}

Deno.test("StorageWriter.write() keeps to large blocks, and to what memory is aligned to", () => {
  const target = new NotedTarget({ blockBytes: 4 * PAGE, memoryBytes: 512 });
  target.writer.write(memory(10 * PAGE).subarray(512), 3 * PAGE);
  target.writer.write(memory(10 * PAGE).subarray(100), 16 * PAGE);
  target.writer.write(memory(3 * PAGE), PAGE / 2);
  assertEquals(target.calls, [
    `cached ${3 * PAGE}+${PAGE}`,
    `direct ${4 * PAGE}+${8 * PAGE}`,
    `cached ${12 * PAGE}+${PAGE - 512}`,
    `cached ${16 * PAGE}+${10 * PAGE - 100}`,
    `cached ${PAGE / 2}+${3 * PAGE}`,
  ]);
});

for (const name of ["ENOSPC", "EDQUOT", "EFBIG"] as const) {
  Deno.test(`StorageWriter.write() names the first byte without room: ${name}`, () => {
    const target = new NotedTarget();
    target.failure = { from: 6 * PAGE + 5, errno: Errno[name] };
    // The kernel does not tell that a part was written.
    target.isPartWritten = false;
    const error = assertThrows(() => target.writer.write(memory(9 * PAGE), PAGE), TargetError);
    assertEquals(error.offset, 6 * PAGE);
    assertEquals(error.message.includes(name), true, error.message);
  });
}

/** Writes in flight of a noted target: they end when they are waited for, the latest first. */
class NotedQueue {
  readonly #target: NotedTarget;
  readonly #waiting: { tag: number; length: number; offset: number }[] = [];
  readonly results = new Map<number, number>();
  isFull = false;
  /** How often a wait runs out of time first. */
  waits = 0;

  constructor(target: NotedTarget) {
    this.#target = target;
  }

  submit(
    { length }: Uint8Array,
    { offset, tag }: { offset: number; tag: number },
  ): boolean {
    if (this.isFull) return false;
    this.#waiting.push({ tag, length, offset });
    this.#target.calls.push(`begin ${offset}+${length}`);
    return true;
  }

  wait(timeoutMs?: number): EndedWrite[] {
    if (timeoutMs !== undefined && this.waits-- > 0) {
      this.#target.calls.push("wait");
      return [];
    }
    const { tag, offset, length } = this.#waiting.pop()!;
    this.#target.calls.push(`end ${offset}`);
    return [{ tag, result: this.results.get(offset) ?? length }];
  }

  cancel(): void {
    this.#target.calls.push("cancel");
    this.#waiting.slice(1).forEach(({ offset }) => this.results.set(offset, -Errno.ECANCELED));
  }

  [Symbol.dispose](): void {
    this.#target.calls.push("dispose");
  }
}

/** A target with a queue. */
function queuedTarget(): { target: NotedTarget; queue: NotedQueue; writer: StorageWriter } {
  const target = new NotedTarget();
  const queue = new NotedQueue(target);
  const writer = new StorageWriter(
    target.handle,
    { pwriteSome: target.pwriteSome, openWriteQueue: () => queue },
    target,
  );
  return { target, queue, writer };
}

Deno.test("StorageWriter.drain() waits for the writes of a buffer, and for those that end before", () => {
  const { target, writer } = queuedTarget();
  const first = memory(PAGE), all = memory(4 * PAGE);
  writer.write(all.subarray(PAGE, 2 * PAGE), PAGE);
  writer.write(first, 0);
  writer.write(all.subarray(2 * PAGE), 2 * PAGE);
  assertEquals(target.calls.splice(0), ["begin 4096+4096", "begin 0+4096", "begin 8192+8192"]);
  writer.drain(first);
  assertEquals(target.calls.splice(0), ["end 8192", "end 0"]);
  writer.drain(all.subarray(0, PAGE));
  assertEquals(target.calls.splice(0), []);
  writer.drain();
  assertEquals(target.calls.splice(0), ["end 4096"]);
  writer[Symbol.dispose]();
  assertEquals(target.calls.splice(0), ["dispose"]);
});

Deno.test("StorageWriter.write() has no more than two chunks in flight", () => {
  const { target, writer } = queuedTarget();
  const chunk = memory(4 * MIB);
  for (const at of [0, 4, 8]) writer.write(chunk, at * MIB);
  const begin = (at: number) => `begin ${at * MIB}+${4 * MIB}`;
  assertEquals(target.calls, [begin(0), begin(4), `end ${4 * MIB}`, begin(8)]);
});

Deno.test("StorageWriter writes nothing once it should stop, and waits for what is in flight", () => {
  const { target, queue, writer } = queuedTarget();
  const chunk = memory(4 * MIB);
  queue.results.set(4 * MIB, PAGE);
  for (const at of [0, 4]) writer.write(chunk, at * MIB);
  // The worker waits for its storage in the middle of a write, and meanwhile all is over.
  target.stopsAfter = 3;
  writer.write(chunk, 8 * MIB);
  writer.write(chunk.subarray(5), 12 * MIB + 5);
  writer.drain();
  const begin = (at: number) => `begin ${at * MIB}+${4 * MIB}`;
  assertEquals(target.calls, [begin(0), begin(4), `end ${4 * MIB}`, "cancel", "end 0"]);
});

Deno.test("StorageWriter.drain() takes back what was not begun once it should stop", () => {
  const { target, queue, writer } = queuedTarget();
  const chunk = memory(4 * MIB);
  for (const at of [0, 4]) writer.write(chunk, at * MIB);
  queue.waits = 9;
  target.stopsAfter = 4;
  target.calls.length = 0;
  writer.drain();
  const waits = ["wait", "wait", "wait", "wait"];
  assertEquals(target.calls, [...waits, "cancel", `end ${4 * MIB}`, "cancel", "end 0"]);
});

Deno.test("StorageWriter.write() does not go on with a short write once it should stop", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE;
  target.stopsAfter = 2;
  target.writer.write(memory(9 * PAGE), 0);
  assertEquals(target.calls, ["direct 0+4096", "direct 4096+4096"]);
});

Deno.test("StorageWriter.write() writes at once what the system does not take", () => {
  const { target, queue, writer } = queuedTarget();
  queue.isFull = true;
  writer.write(memory(PAGE), 0);
  writer.drain();
  assertEquals(target.calls, ["direct 0+4096"]);
});

Deno.test("StorageWriter.drain() writes the rest of a short write, and what was refused", () => {
  const { target, queue, writer } = queuedTarget();
  queue.results.set(0, PAGE).set(8 * PAGE, PAGE + 512).set(16 * PAGE, -Errno.EAGAIN)
    .set(24 * PAGE, 0);
  for (const page of [0, 8, 16, 24]) writer.write(memory(3 * PAGE), page * PAGE);
  writer.drain();
  assertEquals(target.calls.slice(4), [
    `end ${24 * PAGE}`,
    `direct ${24 * PAGE}+${3 * PAGE}`,
    `end ${16 * PAGE}`,
    `direct ${16 * PAGE}+${3 * PAGE}`,
    `end ${8 * PAGE}`,
    `cached ${9 * PAGE + 512}+${2 * PAGE - 512}`,
    "end 0",
    `direct ${PAGE}+${2 * PAGE}`,
  ]);
  target.calls.length = 0;
  queue.results.set(0, -Errno.EINVAL);
  target.failure = { from: 0, errno: Errno.EINVAL };
  writer.write(memory(PAGE), 0);
  writer.drain();
  writer.write(memory(PAGE), PAGE);
  assertEquals(target.calls, ["begin 0+4096", "end 0", "cached 0+4096", "cached 4096+4096"]);
});

Deno.test("StorageWriter.drain() throws the error of a write in flight, with its place", () => {
  const { target, queue, writer } = queuedTarget();
  queue.results.set(8 * PAGE, -Errno.EIO).set(0, -Errno.ENOSPC);
  writer.write(memory(4 * PAGE), 0);
  writer.write(memory(PAGE), 8 * PAGE);
  const failed = assertThrows(() => writer.drain(), TargetError);
  assertEquals([failed.path, failed.offset], ["/dev/x", 8 * PAGE]);
  target.failure = { from: 3 * PAGE, errno: Errno.ENOSPC };
  target.isPartWritten = false;
  const full = assertThrows(() => writer.write(memory(8 * MIB), 10 * MIB), TargetError);
  assertEquals(full.offset, 3 * PAGE);
});

Deno.test("StorageWriter.write() names the byte at which a direct write fails", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE;
  target.failure = { from: 3 * PAGE, errno: Errno.EIO };
  const error = assertThrows(() => target.writer.write(memory(4 * PAGE), PAGE), TargetError);
  assertEquals(error.offset, 3 * PAGE);
  assertEquals(target.calls, ["direct 4096+4096", "direct 8192+4096"]);
});

const random = (limit: number) => Math.floor(Math.random() * limit);

/** Two workers that write a file or device by pieces of any alignment, and what it must hold. */
function writeAtRandom(handle: DescriptorHandle, bytes: number): Uint8Array<ArrayBuffer> {
  const extent = { start: 0, end: bytes };
  const workers = [new DescriptorIo(handle, { extent }), new DescriptorIo(handle, { extent })];
  const source = crypto.getRandomValues(memory(65_536));
  const content = new Uint8Array(bytes);
  for (let at = 0, piece = 0; at < bytes; piece++) {
    const length = Math.min(bytes - at, 1 + random(piece % 3 === 0 ? 60_000 : 3000));
    // Mostly as chunks lie: at the same offset in a page.
    const start = piece % 4 === 0 ? random(5000) : at % PAGE;
    const view = source.subarray(start, Math.min(start + length, source.length));
    workers[piece % 2]!.write(view, at);
    content.set(view, at);
    at += view.length;
  }
  for (const worker of workers) {
    worker.drain();
    worker[Symbol.dispose]();
  }
  return content;
}

for (const sectorBytes of [512, 4096]) {
  testUnless(
    loopDeviceProblem(),
    `Direct and cached writes of two workers do not disturb each other on a device with sectors of ${sectorBytes} bytes`,
    async () => {
      using device = new LoopDevice(4 * MIB, { sectorBytes });
      using store = new StoreFixture();
      using checked = preflightTarget(device.path, store.options({ imageBytes: device.bytes }));
      const target = await checked.open();
      const handle = descriptorOf(target);
      assert(handle.direct !== null);
      const content = writeAtRandom(handle, device.bytes);
      await target.finish({ sync: true });
      assertBytes(device.read(), content);
      assertBytes(Deno.readFileSync(device.backing), content);
    },
  );
}

const FILE_SYSTEMS = [["ext4", true], ["xfs", true], ["btrfs", false], ["tmpfs", false]] as const;

for (const [type, isDirect] of FILE_SYSTEMS) {
  const missing = type === "tmpfs" ? null : programProblem(`mkfs.${type}`);
  testUnless(
    loopDeviceProblem() ?? missing ?? programProblem("fincore"),
    `A file on ${type} is written ${isDirect ? "past" : "through"} the page cache`,
    async () => {
      using scratch = new Scratch();
      using mount = mountNew(type, scratch);
      using store = new StoreFixture();
      const open = async (path: string, imageBytes: number) => {
        using checked = preflightTarget(path, store.options({ imageBytes }));
        return await checked.open();
      };

      const odd = `${mount.path}/odd`, oddBytes = 4 * MIB + 4321;
      const target = await open(odd, oddBytes);
      assertEquals(descriptorOf(target).direct !== null, isDirect);
      const content = writeAtRandom(descriptorOf(target), oddBytes);
      await target.finish({ sync: true });
      assertBytes(Deno.readFileSync(odd), content);

      const whole = `${mount.path}/whole`;
      const wholeTarget = await open(whole, 4 * MIB);
      using io = new DescriptorIo(descriptorOf(wholeTarget), {
        extent: { start: 0, end: 4 * MIB },
      });
      io.write(memory(4 * MIB).fill(1), 0);
      io.drain();
      await wholeTarget.finish({ sync: true });
      const cached = Number(runSync("fincore", "--bytes", "--noheadings", "-o", "RES", whole));
      assertEquals(cached, isDirect ? 0 : 4 * MIB);
      assertBytes(Deno.readFileSync(whole), new Uint8Array(4 * MIB).fill(1));
    },
  );
}
