import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { setNonblocking } from "../../lib/linux/descriptors.ts";
import { tryPipeBytes } from "../../lib/linux/pipes.ts";
import { ignoreWriteSignals } from "../../lib/linux/signals.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { StreamWriter } from "../../lib/target/stream_writer.ts";
import { assertBytes } from "../support/bytes.ts";
import { runSync, scriptCommand, shell } from "../support/programs.ts";
import { streamOf } from "./handles.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;

/**
 * Starts copying a FIFO to a file in a child process, because writing to the FIFO blocks this
 * thread.
 */
function startReader(fifo: string): { output: () => Promise<Uint8Array> } {
  const child = new Deno.Command("sh", { args: ["-c", 'exec cat "$0" > "$0.out"', fifo] }).spawn();
  return {
    output: async () => {
      await child.status;
      return Deno.readFileSync(`${fifo}.out`);
    },
  };
}

type Reader = ReturnType<typeof startReader>;

Deno.test("A FIFO takes the image once it has a reader", async () => {
  using store = new StoreFixture();
  const path = store.file("fifo");
  runSync("mkfifo", path);
  using checked = preflightTarget(path, store.options({ imageBytes: 3 * MIB }));
  assertEquals(checked.kind, "fifo");
  let reader: Reader | undefined;
  const target = await checked.open({ onWait: () => reader = startReader(path) });
  assert(reader, "onWait was not called");
  assertEquals(target.handle.access, "stream");
  assertEquals(tryPipeBytes(streamOf(target).fd), MIB);
  const writer = new StreamWriter(streamOf(target));
  writer.write(new Uint8Array(MIB).fill(5));
  writer.writeZeros(2 * MIB);
  await target.finish({ sync: true });
  assertBytes(await reader.output(), new Uint8Array(3 * MIB).fill(5, 0, MIB));
});

Deno.test("A FIFO with a nonblocking descriptor takes the image too", async () => {
  using store = new StoreFixture();
  const path = store.file("fifo");
  runSync("mkfifo", path);
  using checked = preflightTarget(path, store.options({ imageBytes: 3 * MIB }));
  let reader: Reader | undefined;
  const target = await checked.open({ onWait: () => reader = startReader(path) });
  setNonblocking(streamOf(target).fd, true);
  new StreamWriter(streamOf(target)).write(new Uint8Array(5 * MIB).fill(5));
  await target.finish({ sync: true });
  assertBytes(await reader!.output(), new Uint8Array(5 * MIB).fill(5));
});

Deno.test("CheckedTarget.open() stops waiting for a reader when the signal is aborted", async () => {
  using store = new StoreFixture();
  const path = store.file("fifo");
  runSync("mkfifo", path);
  using checked = preflightTarget(path, store.options());
  const controller = new AbortController();
  const opening = checked.open({
    signal: controller.signal,
    onWait: () => controller.abort(new RangeError("enough")),
  });
  await assertRejects(() => opening, RangeError, "enough");
});

Deno.test("StreamWriter reports a reader that went away", async () => {
  ignoreWriteSignals();
  using store = new StoreFixture();
  const path = store.file("fifo");
  runSync("mkfifo", path);
  const reader = Deno.openSync(path, { read: true, write: true });
  using checked = preflightTarget(path, store.options());
  const target = await checked.open();
  const writer = new StreamWriter(streamOf(target));
  writer.write(new Uint8Array(100));
  reader.close();
  const error = assertThrows(() => writer.write(new Uint8Array(100)), TargetError);
  assertEquals(error.message, `Cannot write "${path}" at byte 100: Broken pipe (EPIPE)`);
  target.close();
});

Deno.test("/dev/null takes everything, /dev/full nothing", async () => {
  using store = new StoreFixture();
  using nullChecked = preflightTarget("/dev/null", store.options());
  const nullTarget = await nullChecked.open();
  const writer = new StreamWriter(streamOf(nullTarget));
  writer.writeZeros(3 * MIB);
  assertEquals(writer.position, 3 * MIB);
  await nullTarget.finish({ sync: true });

  using fullChecked = preflightTarget("/dev/full", store.options());
  const fullTarget = await fullChecked.open();
  const error = assertThrows(
    () => new StreamWriter(streamOf(fullTarget)).writeZeros(1),
    TargetError,
  );
  assertEquals(
    error.message,
    'Cannot write "/dev/full" at byte 0: No space left on device (ENOSPC)',
  );
  fullTarget.close();
});

/** Writes 1 MiB of ones and 1 MiB of zeros to standard output; failures go to standard error. */
const writeStdout = scriptCommand(`
  import { ignoreWriteSignals } from lib("linux/signals.ts");
  import { preflightTarget } from lib("target/preflight.ts");
  import { StreamWriter } from lib("target/stream_writer.ts");
  ignoreWriteSignals();
  const options = { sparse: "auto", force: false, stores: [{ revisionPath: "/x", basedir: "/x" }] };
  try {
    const target = await preflightTarget("-", { extent: { start: 0, end: 2097152 }, ...options }).open();
    const writer = new StreamWriter(target.handle);
    writer.write(new Uint8Array(1048576).fill(1));
    writer.writeZeros(1048576);
    await target.finish({ sync: true });
  } catch (error) {
    Deno.stderr.writeSync(new TextEncoder().encode(error.message));
  }
`);

Deno.test("Standard output takes the image as a pipe and as a file", async () => {
  using store = new StoreFixture();
  const expected = new Uint8Array(2 * MIB).fill(1, 0, MIB);
  const piped = await shell(`${writeStdout} | cat`);
  assertEquals(piped.stderr, "");
  assertBytes(piped.stdout, expected);
  const path = store.file("out");
  assertEquals((await shell(`${writeStdout} > '${path}'`)).stderr, "");
  assertBytes(Deno.readFileSync(path), expected);
});

Deno.test("StreamWriter reports standard output whose reader went away", async () => {
  const { stderr } = await shell(`set -o pipefail; ${writeStdout} | true`);
  assertEquals(stderr, "Cannot write standard output at byte 0: Broken pipe (EPIPE)");
});
