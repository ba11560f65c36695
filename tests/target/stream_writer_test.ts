import { OsError, TargetError } from "../../lib/errors.ts";
import { setNonblocking } from "../../lib/linux/descriptors.ts";
import { Errno } from "../../lib/linux/errno.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { trySetPipeBytes } from "../../lib/linux/pipes.ts";
import { ignoreWriteSignals } from "../../lib/linux/signals.ts";
import { StreamWriter, writeStreamPart } from "../../lib/target/stream_writer.ts";
import type { StreamHandle } from "../../lib/target/target.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { FakeTarget } from "./fake_target.ts";
import { Scratch } from "../support/machine.ts";
import { runSync } from "../support/programs.ts";
import { pause } from "../support/wait.ts";

const MIB = 1_048_576;

Deno.test("StreamWriter writes data and zeros in order, past short writes", () => {
  const target = new FakeTarget(60);
  target.transferBytes = 7;
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.write(new Uint8Array(20).fill(1));
  writer.writeZeros(30);
  writer.write(new Uint8Array(10).fill(2));
  assertEquals(writer.position, 60);
  assertBytes(target.content, new Uint8Array(60).fill(1, 0, 20).fill(2, 50));
});

Deno.test("StreamWriter waits for room in a nonblocking pipe", () => {
  const target = new FakeTarget(10);
  target.writeErrnos = [Errno.EAGAIN, Errno.EAGAIN];
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.write(new Uint8Array(10).fill(1));
  assertEquals(target.calls, ["poll", "poll", "pwrite 0+10"]);
});

Deno.test("StreamWriter ends a wait when it should stop", () => {
  const target = new FakeTarget(10);
  target.writeErrnos = [Errno.EAGAIN];
  const writer = new StreamWriter(target.stream(), { calls: target, shouldStop: () => true });
  writer.write(new Uint8Array(10));
  writer.writeZeros(10);
  assertEquals([target.calls, writer.position], [[], 0]);
});

Deno.test("StreamWriter.write() begins no more system calls once it should stop", () => {
  const target = new FakeTarget(60);
  target.transferBytes = 7;
  const shouldStop = () => target.calls.length >= 2;
  const writer = new StreamWriter(target.stream(), { calls: target, shouldStop });
  writer.write(new Uint8Array(60));
  assertEquals([target.calls, writer.position], [["pwrite 0+7", "pwrite 7+7"], 14]);
});

Deno.test("StreamWriter names standard output and the byte of the image in a failure", () => {
  const target = new FakeTarget(100);
  target.failAt = 30;
  target.failErrno = Errno.EPIPE;
  const handle = { ...target.stream(), fd: 1, path: "standard output" };
  const writer = new StreamWriter(handle, { calls: target });
  writer.write(new Uint8Array(25));
  const error = assertThrows(() => writer.writeZeros(25), TargetError);
  assertEquals(error.message, "Cannot write standard output at byte 30: Broken pipe (EPIPE)");
  assertEquals([error.path, error.offset], ["standard output", 30]);
});

Deno.test("StreamWriter goes on at the position that it is given", () => {
  const target = new FakeTarget(100);
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.position = 4 * MIB;
  writer.write(new Uint8Array(8));
  assertEquals(writer.position, 4 * MIB + 8);
});

Deno.test("StreamWriter.writeZeros() passes zeros to a pipe by reference, and waits for room", () => {
  const target = new FakeTarget(100);
  target.isPipe = true;
  target.transferBytes = 40;
  target.writeErrnos = [Errno.EAGAIN];
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.writeZeros(50);
  writer.write(new Uint8Array(10).fill(1));
  assertEquals(target.calls, ["poll", "splice 0+40", "splice 40+10", "pwrite 50+10"]);
  assertEquals(writer.position, 60);
});

Deno.test("StreamWriter.writeZeros() to a closed pipe fails with the byte of the image", () => {
  const target = new FakeTarget(100);
  target.isPipe = true;
  target.writeErrnos = [Errno.EPIPE];
  const writer = new StreamWriter(target.stream(), { calls: target });
  const error = assertThrows(() => writer.writeZeros(25), TargetError);
  assertEquals([error.offset, error.cause instanceof OsError], [0, true]);
});

const PIPE_BYTES = 4096;

/** Both ends of a FIFO that has room for one page. */
class Pipe implements Disposable {
  readonly #scratch = new Scratch();
  readonly handle: StreamHandle;
  #reader: number;

  constructor() {
    const path = this.#scratch.file("fifo");
    runSync("mkfifo", path);
    this.#reader = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
    const fd = openFd(path, OpenFlag.O_WRONLY);
    assertEquals(trySetPipeBytes(fd, PIPE_BYTES), PIPE_BYTES);
    this.handle = { access: "stream", fd, path };
  }

  /** Reads what is in the pipe. */
  read(): Uint8Array {
    using file = Deno.openSync(`/proc/self/fd/${this.#reader}`);
    const bytes = new Uint8Array(2 * PIPE_BYTES);
    return bytes.subarray(0, file.readSync(bytes) ?? 0);
  }

  closeReader(): void {
    if (this.#reader >= 0) closeFd(this.#reader);
    this.#reader = -1;
  }

  [Symbol.dispose](): void {
    closeFd(this.handle.fd);
    this.closeReader();
    this.#scratch[Symbol.dispose]();
  }
}

const signal = undefined;

Deno.test("writeStreamPart() writes at once if there is room", async () => {
  using pipe = new Pipe();
  await writeStreamPart(pipe.handle, Uint8Array.of(1, 2, 3), { offset: 0, signal });
  await writeStreamPart(pipe.handle, new Uint8Array(0), { offset: 0, signal });
  assertEquals([...pipe.read()], [1, 2, 3]);
});

Deno.test("writeStreamPart() does not touch the target if there is nothing to write", async () => {
  const handle = { access: "stream", fd: -1, path: "none" } as const;
  await writeStreamPart(handle, new Uint8Array(0), {
    offset: 0,
    signal: AbortSignal.abort(),
  });
});

for (const isNonblocking of [false, true]) {
  Deno.test(`writeStreamPart() waits for room in a full pipe (nonblocking: ${isNonblocking})`, async () => {
    using pipe = new Pipe();
    setNonblocking(pipe.handle.fd, isNonblocking);
    await writeStreamPart(pipe.handle, new Uint8Array(PIPE_BYTES), { offset: 0, signal });
    let hasEnded = false;
    const writing = writeStreamPart(pipe.handle, Uint8Array.of(7), { offset: 0, signal })
      .then(() => hasEnded = true);
    // The event loop goes on meanwhile.
    await pause(100);
    assert(!hasEnded, "it did not wait");
    assertEquals(pipe.read().length, PIPE_BYTES);
    await writing;
    assertEquals([...pipe.read()], [7]);
  });
}

Deno.test("writeStreamPart() ends the wait when the signal is aborted, and writes nothing", async () => {
  using pipe = new Pipe();
  await writeStreamPart(pipe.handle, new Uint8Array(PIPE_BYTES).fill(1), { offset: 0, signal });
  const controller = new AbortController();
  const reason = new RangeError("enough");
  const timer = setTimeout(() => controller.abort(reason), 50);
  const error = await assertRejects(() =>
    writeStreamPart(pipe.handle, Uint8Array.of(7), { offset: 0, signal: controller.signal })
  );
  clearTimeout(timer);
  assert(error === reason);
  assert(pipe.read().every((byte) => byte === 1));
});

Deno.test("writeStreamPart() reports a failure with the byte of the image", async () => {
  const fd = openFd("/dev/full", OpenFlag.O_WRONLY);
  const handle = { access: "stream", fd, path: "/dev/full" } as const;
  const failing = () => writeStreamPart(handle, Uint8Array.of(1), { offset: 77, signal });
  const error = await assertRejects(failing, TargetError);
  assertEquals([error.offset, error.path], [77, "/dev/full"]);
  closeFd(fd);
});

Deno.test("writeStreamPart() reports a reader that went away", async () => {
  ignoreWriteSignals();
  using pipe = new Pipe();
  pipe.closeReader();
  const failing = () => writeStreamPart(pipe.handle, Uint8Array.of(1), { offset: 0, signal });
  await assertRejects(failing, TargetError, "Broken pipe (EPIPE)");
});
