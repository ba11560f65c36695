/** Restores into a stream of the program's own. */

import { assertEquals, assertRejects } from "../assert.ts";
import { ChunkMissingError, restore, TargetError } from "../../lib/mod.ts";
import { SampleStore } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";
import { until } from "../support/wait.ts";

/** Keeps what is written to it. */
class Collected {
  readonly parts: Uint8Array[] = [];
  end: "open" | "closed" | "aborted" = "open";
  readonly stream = new WritableStream<Uint8Array<ArrayBuffer>>({
    write: async (chunk) => {
      // Slower than the restore, and the chunks are kept: none may be used again.
      await new Promise((resolve) => setTimeout(resolve, 1));
      this.parts.push(chunk);
    },
    close: () => void (this.end = "closed"),
    abort: () => void (this.end = "aborted"),
  });

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(await new Blob(this.parts as BlobPart[]).arrayBuffer());
  }
}

/** Declares a test after which no descriptor is left. */
function streamTest(name: string, body: () => Promise<void>): void {
  Deno.test(name, async () => {
    const before = pipeEnds();
    await body();
    // A thread that waits for the pipe hears of its end a little later.
    await until(() => pipeEnds() === before, "the end of the pipe");
  });
}

function pipeEnds(): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("pipe:");
    } catch {
      // The descriptor by which the directory is read.
      return false;
    }
  }).length;
}

streamTest("restore() into a WritableStream gives the image and closes the stream", async () => {
  using store = new SampleStore();
  const { path: revision } = store.revision;
  const collected = new Collected();
  const report = await restore({ revision, output: collected.stream });
  assertBytes(await collected.bytes(), store.image);
  assertEquals([collected.end, collected.stream.locked], ["closed", false]);
  assertEquals(report.imageBytes, store.image.length);
  assertEquals(Number.isInteger(report.elapsedMs), true);
});

streamTest("a restore that fails aborts the stream", async () => {
  using store = new SampleStore();
  Deno.removeSync(store.chunkFileAt(3));
  const collected = new Collected();
  const { path: revision } = store.revision;
  await assertRejects(() => restore({ revision, output: collected.stream }), ChunkMissingError);
  // The stream hears of it when its write under way has ended.
  await until(() => collected.end !== "open", "the end of the stream");
  assertEquals([collected.end, collected.stream.locked], ["aborted", false]);
});

streamTest("a stream that fails ends the restore", async () => {
  using store = new SampleStore();
  const { path: revision } = store.revision;
  let writes = 0;
  const output = new WritableStream<Uint8Array<ArrayBuffer>>({
    write: () => {
      if (++writes > 2) throw new Error("no room in here");
    },
  });
  const error = await assertRejects(() => restore({ revision, output }), TargetError);
  assertEquals(error.message, "Cannot write to the stream: no room in here");
});

streamTest("a stream that takes nothing does not keep a restore from being stopped", async () => {
  using store = new SampleStore();
  const { path: revision } = store.revision;
  const output = new WritableStream<Uint8Array<ArrayBuffer>>({
    write: () => new Promise(() => {}),
  });
  const interruption = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => interruption.abort(reason), 100);
  const error = await assertRejects(() =>
    restore({ revision, output, signal: interruption.signal })
  );
  assertEquals(error, reason);
});

streamTest("a stream cannot be updated or read back, nor be in use", async () => {
  using store = new SampleStore();
  const { path: revision } = store.revision;
  for (const wanted of [{ update: true }, { verifyTarget: true }]) {
    const output = new WritableStream<Uint8Array<ArrayBuffer>>();
    await assertRejects(
      () => restore({ revision, output, ...wanted }),
      TargetError,
      "it takes bytes in order only",
    );
  }
  const locked = new WritableStream<Uint8Array<ArrayBuffer>>();
  locked.getWriter();
  await assertRejects(() => restore({ revision, output: locked }), TargetError, "it is locked");
});
