/** A revision whose backup is still running: backy writes its map anew, in place, when it ends. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { makeFifo, openIdleReader } from "../support/machine.ts";
import { sampleBytes, writeMap } from "../support/store_builder.ts";
import { assertFailure, assertSuccess, extract, parseJsonLines, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const STORE = 10;

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Restores a revision of two chunks to a FIFO, and does something when the restore has begun. */
async function restoreWhile(change: (path: string) => void) {
  const { path } = store.add("Running", [sampleBytes(1), sampleBytes(2)], { isComplete: false });
  const fifo = makeFifo(store.file(`fifo ${crypto.randomUUID()}`));
  const reader = openIdleReader(fifo);
  try {
    await using tool = startExtract([path, fifo]);
    await tool.untilSaid("Restoring");
    change(path);
    const part = new Uint8Array(CHUNK_BYTES);
    for (let left = 2 * CHUNK_BYTES; left > 0;) left -= (await reader.read(part))!;
    return { path, outcome: await tool.outcome() };
  } finally {
    reader.close();
  }
}

Deno.test("A map that is written anew while its revision is restored ends in exit 10", async () => {
  const other = store.add("Other", [sampleBytes(1), sampleBytes(3)]);
  const { path, outcome } = await restoreWhile(() => writeMap(store.basedir, "Running", other));
  assertEquals(outcome.code, STORE, outcome.stderr);
  assert(
    outcome.stderr.includes(
      `Cannot restore revision "Running": its map "${path}": it changed since it was read: ` +
        "its backup is running; try again when it has finished\n",
    ),
    outcome.stderr,
  );
});

Deno.test("A map that is touched, replaced by an equal one or deleted does not end the restore", async () => {
  const changes: readonly ((path: string) => void)[] = [
    (path) => Deno.utimeSync(path, 1, 1),
    (path) => {
      Deno.copyFileSync(path, `${path}.tmp`);
      Deno.renameSync(`${path}.tmp`, path);
    },
    (path) => Deno.removeSync(path),
  ];
  for (const change of changes) assertEquals((await restoreWhile(change)).outcome.code, 0);
});

Deno.test("A map that is half written is refused, and restores when it is whole", async () => {
  const { path } = store.add("Half", [sampleBytes(1)]);
  const text = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, text.slice(0, -10));
  assertFailure(await extract([path, "/dev/null"]), { code: STORE, says: [/truncated/] });
  Deno.writeTextFileSync(path, text);
  assertSuccess(await extract([path, "/dev/null"]));
});

Deno.test("check reports a map that is rewritten meanwhile as not checked", async () => {
  const other = store.add("Other", [sampleBytes(1), sampleBytes(3)]);
  const same = store.add("Running", [sampleBytes(1), sampleBytes(2)]);
  for (const [map, isChanged] of [[other, true], [same, false]] as const) {
    writeMap(store.basedir, "Running", same);
    await using tool = startExtract(["check", "--json", "-t1", "--bwlimit=800KiB", same.path]);
    await tool.untilSaid('"step":"check"');
    writeMap(store.basedir, "Running", map);
    const { code, stdout } = await tool.outcome();
    assertEquals(code, 0, tool.said);
    const [revision] = parseJsonLines(stdout).filter(({ type }) => type === "revision");
    assertEquals(revision!.state, isChanged ? "unknown" : "intact");
    assertEquals(
      tool.said.includes('the map of revision \\"Running\\": it changed since it was read'),
      isChanged,
      tool.said,
    );
  }
});

Deno.test("check does not call everything intact if a map was rewritten meanwhile", async () => {
  const other = store.add("Other", [sampleBytes(1), sampleBytes(3)]);
  const { path } = store.add("Running", [sampleBytes(1), sampleBytes(2)]);
  await using tool = startExtract(["check", "-t1", "--bwlimit=800KiB", path]);
  await tool.untilSaid("Checking 2 distinct chunks");
  writeMap(store.basedir, "Running", other);
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /: no damage found, 0 of 1 revision intact$/m);
  assertMatch(stderr, /^Not fully checked in ".*": Running$/m);
});
