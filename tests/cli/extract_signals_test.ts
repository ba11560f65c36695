import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { chunkFile, sampleBytes } from "../support/store_builder.ts";
import { makeFifo, openIdleReader, testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { pause } from "../support/wait.ts";
import { assertFailure, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const SIGNALS = [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const;
const problem = programProblem("flock");

/** Waits until the pipe is full, that is, until a worker is blocked in a write. */
async function untilPipeIsFull(reader: Deno.FsFile): Promise<void> {
  // The reader takes a little, so that the writer is known to write; then it takes nothing any
  // more.
  await reader.read(new Uint8Array(4096));
  await pause(300);
}

for (const [signal, code] of SIGNALS) {
  Deno.test(`${signal} in mid-restore ends it with ${code}, though a worker is blocked in a write`, async () => {
    const fifo = makeFifo(store.file(`stopped-${signal}`));
    using reader = openIdleReader(fifo);
    await using tool = startExtract([store.revision.path, fifo]);
    await untilPipeIsFull(reader);
    tool.signal(signal);
    assertFailure(await tool.outcome(), {
      code,
      says: [`Interrupted by ${signal}`, `"${fifo}" is incomplete`],
    });
  });

  // The kernel and the shell both report the end of a terminal.
  const second = signal === "SIGHUP" ? "SIGTERM" : signal;
  const secondCode = signal === "SIGHUP" ? 143 : code;
  Deno.test(`${second} after ${signal} ends the process at once with ${secondCode}`, async () => {
    const fifo = makeFifo(store.file(`twice-${signal}`));
    using reader = openIdleReader(fifo);
    await using tool = startExtract([store.revision.path, fifo]);
    await untilPipeIsFull(reader);
    // The event loop must have seen the first one; two that are pending together count as one.
    tool.signal(signal);
    await pause(200);
    assert(!tool.hasEnded, tool.said);
    tool.signal(second);
    const outcome = await tool.outcome();
    assertEquals([outcome.code, outcome.signal], [secondCode, null], outcome.stderr);
  });

  Deno.test(`${signal} while a FIFO has no reader ends the wait with ${code}`, async () => {
    const fifo = makeFifo(store.file(`unread-${signal}`));
    await using tool = startExtract([store.revision.path, fifo]);
    await tool.untilSaid("waiting for a reader");
    tool.signal(signal);
    assertFailure(await tool.outcome(), {
      code,
      says: [`warning: waiting for a reader of "${fifo}"`, `Interrupted by ${signal}`],
    });
  });

  testUnless(problem, `${signal} while a purge runs ends the wait with ${code}`, async () => {
    const path = store.file("not-restored", "old");
    const child = new Deno.Command("flock", {
      args: ["--no-fork", "-x", `${store.basedir}/.purge`, "sh", "-c", "echo held; exec sleep 60"],
      stdout: "piped",
    }).spawn();
    const held = child.stdout.getReader();
    await held.read();
    try {
      await using tool = startExtract([store.revision.path, path]);
      await tool.untilSaid("waiting for the purge lock");
      tool.signal(signal);
      assertFailure(await tool.outcome(), {
        code,
        says: [/^warning: waiting for the purge lock/, `Interrupted by ${signal}`],
      });
    } finally {
      child.kill("SIGKILL");
      await held.cancel();
      await child.status;
    }
    assertEquals(Deno.readTextFileSync(path), "old");
  });
}

Deno.test("A stopped reader of standard output does not keep an interrupted restore alive", async () => {
  const fifo = makeFifo(store.file("stopped-stdout"));
  using reader = openIdleReader(fifo);
  const options = { shell: 'exec "$@" >"$OUT"', env: { OUT: fifo } };
  await using tool = startExtract(["-t8", store.revision.path], options);
  await untilPipeIsFull(reader);
  tool.signal("SIGTERM");
  assertFailure(await tool.outcome(), {
    code: 143,
    says: ["Interrupted by SIGTERM", "standard output is incomplete"],
  });
});

Deno.test("Damage ends a restore to a reader that has stopped reading", async () => {
  // Seq 0 is decoded in no time and seq 1 not, so that seq 0 is as a rule being written when seq 1
  // fails.
  const easy = new Uint8Array(CHUNK_BYTES).fill(1);
  const revision = store.add("Damaged", [easy, sampleBytes(60), sampleBytes(61)]);
  const [, damaged, other] = revision.ids.map((id) => chunkFile(store.basedir, id!));
  Deno.removeSync(damaged!);
  Deno.copyFileSync(other!, damaged!);
  const fifo = makeFifo(store.file("stopped-damage"));
  using _reader = openIdleReader(fifo);
  await using tool = startExtract(["-t2", revision.path, fifo]);
  assertFailure(await tool.outcome(), {
    code: 3,
    says: [
      /^Cannot use chunk "[0-9a-f]{32}" \(seq 1, .*: its content hashes to /,
      `"${fifo}" is incomplete`,
      /^To go on, add --also DIR for a good copy of the chunk elsewhere, or --on-error=zero /,
    ],
  });
});

Deno.test("A restore that was stopped and continued (SIGSTOP, SIGCONT) is complete", async () => {
  const fifo = makeFifo(store.file("continued"));
  using reader = openIdleReader(fifo);
  await using tool = startExtract(["-q", store.revision.path, fifo]);
  const image = new Uint8Array(store.image.length);
  let at = await reader.read(image.subarray(0, 4096)) ?? 0;
  tool.signal("SIGSTOP");
  await pause(50);
  tool.signal("SIGCONT");
  while (at < image.length) at += (await reader.read(image.subarray(at)))!;
  assertEquals((await tool.outcome()).code, 0, tool.said);
  assertBytes(image, store.image);
});
