import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { isFilled } from "../support/bytes.ts";
import { LoopDevice, loopDeviceProblem, makeFifo, testUnless } from "../support/machine.ts";
import { runSync } from "../support/programs.ts";
import {
  assertFailure,
  assertSuccess,
  extract,
  type JsonLine,
  messagesOf,
  parseJsonLines,
} from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const DATA = 3;

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const snapshot = () => runSync("find", store.file("."), "-printf", "%p %y %s %T@ %m\n");

async function summaryOf(args: readonly string[]): Promise<JsonLine> {
  const { code, stderr } = await extract(["--json", ...args]);
  const summary = parseJsonLines(stderr).at(-1)!;
  assertEquals([code, summary.type], [0, "summary"], stderr);
  return summary;
}

Deno.test("--dry-run says what would be read and written, and changes nothing", async () => {
  const old = store.file("old", "old");
  const before = snapshot();
  for (const output of [store.file("not-made"), old, "-"]) {
    const outcome = await extract(["-n", "-t2", store.revision.path, output]);
    assertSuccess(outcome);
    assertEquals(outcome.stdout.length, 0);
    const zeros = output === "-"
      ? "written"
      : "left out, deallocated or written, as the target allows";
    const lines = outcome.stderr.trimEnd().split("\n");
    assertEquals(lines.slice(0, -2), [
      "Obtaining purge lock",
      "Loading revision map",
      "Looking for 4 distinct chunks of SampleRevision (33.0 MiB)",
    ]);
    assertMatch(
      lines.at(-2)!,
      /^Would restore 33\.0 MiB: read \S+ MiB from 4 files, write 21\.0 MiB \(6 chunks\); /,
    );
    assert(lines.at(-2)!.endsWith(`; 12 MiB of zeros (3 chunks) ${zeros}`), outcome.stderr);
    assertEquals(lines.at(-1), "Nothing was changed");
  }
  assertEquals(snapshot(), before);
});

Deno.test("--dry-run predicts the numbers of the restore", async () => {
  const target = store.file("foretold", new Uint8Array(store.image.length));
  const cases = [[], ["--range=3M:10M"], ["--sparse=never"], ["--base", "SampleRevision"]];
  for (const options of cases) {
    const args = [...options, store.revision.path, target];
    const foretold = await summaryOf(["--dry-run", ...args]);
    const done = await summaryOf(args);
    for (const name of Object.keys(foretold)) {
      if (["time", "elapsedMs", "mayWriteLess"].includes(name)) continue;
      assertEquals([name, foretold[name]], [name, done[name]]);
    }
    assertEquals(foretold.mayWriteLess, false);
  }
  const update = ["--update", store.revision.path, target];
  const foretold = await summaryOf(["-n", ...update]);
  const done = await summaryOf(update);
  assertEquals(foretold.mayWriteLess, true);
  assert(done.readBytes <= foretold.readBytes, `${done.readBytes}`);
  const { stderr } = await extract(["-n", ...update]);
  assertMatch(stderr, /: read at most .* from 4 files, write at most 21\.0 MiB \(6 chunks\)/);
});

Deno.test("--dry-run says what a part is part of, and that zeros are records in a diff", async () => {
  const part = await extract(["-n", "--range=0:1MiB", store.revision.path, store.file("part")]);
  assertMatch(part.stderr, /^Would restore 1 MiB of 33\.0 MiB: read \S+ KiB from 1 file, /m);
  const diff = await extract(["-n", "--format=rbd-diff", store.revision.path]);
  assertMatch(diff.stderr, /; 12 MiB of zeros \(3 chunks\) as records without data$/m);
});

Deno.test("--dry-run looks for every chunk file: exit 3 with the ranges, like the restore", async () => {
  const before = store.namesBeside();
  const { HOLES, LAST } = Seq;
  await store.withDamage(store.chunkFileAt(HOLES), () => {}, async () => {
    const short = (path: string) => Deno.writeTextFileSync(path, "x");
    await store.withDamage(store.chunkFileAt(LAST), short, async () => {
      for (const onError of ["abort", "zero"]) {
        const args = ["-n", `--on-error=${onError}`, store.revision.path, store.file("not-made")];
        const { code, stderr } = await extract(args);
        assertEquals(code, DATA, stderr);
        assertEquals(messagesOf(stderr).length, 2, stderr);
        const lines = stderr.trimEnd().split("\n");
        const rows = lines.slice(-4, -1).map((line) => line.trim().split(/ {2,}/));
        assertEquals(rows.map(([offset, , id, reason]) => [offset, id, reason]), [
          [String(HOLES * CHUNK_BYTES), store.idAt(HOLES), "missing"],
          [String(Seq.HOLES_REPEATED * CHUNK_BYTES), store.idAt(HOLES), "missing"],
          [String(LAST * CHUNK_BYTES), store.idAt(LAST), rows[2]![3]],
        ]);
        const loss = "2 chunks missing or corrupt: 3 ranges of the image (9.0 MiB) ";
        assertEquals(
          lines.at(-1),
          loss +
            (onError === "zero"
              ? "would be lost and filled with zeros"
              : "cannot be restored: the restore would fail; --also DIR may have good copies, " +
                "--on-error=zero would leave zeros there"),
        );
        assertMatch(stderr, /^Would restore 33\.0 MiB: read \S+ MiB from 2 files, /m);
      }
    });
  });
  assertEquals(store.namesBeside(), before);
});

Deno.test("--dry-run counts the chunks that other backup directories would supply", async () => {
  using spare = new SampleStore();
  await store.withDamage(store.chunkFileAt(Seq.HOLES), () => {}, async () => {
    const args = ["-n", "--also", spare.basedir, store.revision.path, store.file("not-made")];
    const outcome = await extract(args);
    assertSuccess(outcome);
    assertMatch(outcome.stderr, new RegExp(`^1 chunk came from "${spare.basedir}"$`, "m"));
  });
});

Deno.test("--dry-run refuses what the restore would refuse, with its exit code and message", async () => {
  const fifo = makeFifo(store.file("fifo"));
  const cases: [args: string[], code: number, message: RegExp][] = [
    [["--update", "--base=x", store.revision.path, "x"], 2, /^Cannot use "--update" with "--base"/],
    [["--range=1T:", store.revision.path, store.file("x")], 2, /the image has \d+ bytes$/],
    [
      ["--partition=1", store.revision.path, store.file("x")],
      2,
      /no partition table; without --partition it /,
    ],
    [
      [`${store.basedir}/Nobody`, store.file("x")],
      10,
      /there is no such revision; "backy-extract list /,
    ],
    [["--also", "/nowhere", store.revision.path, store.file("x")], 10, /backup directory/],
    [[store.revision.path, "/"], 4, /it is a directory$/],
    [[store.revision.path, store.file("no/x")], 4, /does not exist$/],
    [["--update", store.revision.path, fifo], 4, /in order only/],
    [["--base", "SampleRevision", store.revision.path, store.file("x")], 4, /no such file/],
  ];
  for (const [args, code, message] of cases) {
    const outcome = await extract(["-n", ...args]);
    assertFailure(outcome, { code, says: [message] });
    assertEquals(messagesOf((await extract(args)).stderr), messagesOf(outcome.stderr));
  }
});

Deno.test("--dry-run does not wait for a FIFO's reader or write a report", async () => {
  const fifo = makeFifo(store.file("unread"));
  assertSuccess(await extract(["-n", store.revision.path, fifo]));
  const report = store.file("no-report");
  const args = ["-n", "--on-error=zero", "--report", report, store.revision.path, store.file("x")];
  assertSuccess(await extract(args));
  assertEquals(store.namesBeside().includes("no-report"), false);
});

testUnless(
  loopDeviceProblem(),
  "--dry-run leaves a device as it is, and refuses a small one",
  async () => {
    using device = new LoopDevice(10 * CHUNK_BYTES);
    for (const options of [[], ["--update"], ["--sparse=never"], ["--verify-target"]]) {
      assertSuccess(await extract(["-n", ...options, store.revision.path, device.path]));
    }
    assert(isFilled(device.read(), 0xaa));
    using small = new LoopDevice(CHUNK_BYTES);
    const outcome = await extract(["-n", store.revision.path, small.path]);
    assertFailure(outcome, { code: 4, says: [/the device has \d+ bytes/] });
  },
);
