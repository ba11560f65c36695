import { TargetError } from "../../lib/errors.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/files.ts";
import { ignoreWriteSignals } from "../../lib/linux/signals.ts";
import { setNonblocking } from "../../lib/linux/descriptors.ts";
import { trySetPipeBytes } from "../../lib/linux/pipes.ts";
import { writeStreamPart } from "../../lib/target/stream_writer.ts";
import type { StreamHandle } from "../../lib/target/target.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import "../support/libraries.ts";
import { run, Scratch } from "./machine.ts";

const PIPE_BYTES = 4096;

/** A FIFO that takes one page, and both of its ends. */
class Pipe implements Disposable {
  readonly #scratch = new Scratch();
  readonly handle: StreamHandle;
  #reader: number;

  constructor() {
    const path = this.#scratch.file("fifo");
    run("mkfifo", path);
    this.#reader = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
    const fd = openFd(path, OpenFlag.O_WRONLY);
    assertEquals(trySetPipeBytes(fd, PIPE_BYTES), PIPE_BYTES);
    this.handle = { access: "stream", fd, path };
  }

  /** Takes what is in it. */
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

Deno.test("writeStreamPart() writes at once what there is room for", async () => {
  using pipe = new Pipe();
  await writeStreamPart(pipe.handle, Uint8Array.of(1, 2, 3), { offset: 0, signal });
  await writeStreamPart(pipe.handle, new Uint8Array(0), { offset: 0, signal });
  assertEquals([...pipe.read()], [1, 2, 3]);
});

Deno.test("writeStreamPart() with nothing to write does not look at the target", async () => {
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
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert(!hasEnded, "it did not wait");
    assertEquals(pipe.read().length, PIPE_BYTES);
    await writing;
    assertEquals([...pipe.read()], [7]);
  });
}

Deno.test("writeStreamPart() gives the wait up when the signal says so, and writes nothing", async () => {
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

Deno.test("writeStreamPart() reports a failure with the image's byte", async () => {
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
