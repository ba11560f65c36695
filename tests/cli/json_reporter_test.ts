import {
  ChunkCorruptError,
  ChunkMissingError,
  InterruptedError,
  LockError,
  OsError,
  TargetError,
  WorkerError,
} from "../../lib/errors.ts";
import { renderJsonLine } from "../../lib/cli/json_line.ts";
import { JsonReporter } from "../../lib/cli/json_reporter.ts";
import { assert, assertEquals } from "../assert.ts";
import { FakeClock } from "./fake_clock.ts";

const GIB = 2 ** 30;
const TIME = "2026-01-11T17:45:25.666Z";

type Line = Readonly<Record<string, unknown>>;

function setUp(options: { quiet?: boolean } = {}) {
  const clock = new FakeClock();
  const writes: string[] = [];
  const reporter = new JsonReporter({
    tool: "backy-extract",
    version: "1.2.3",
    write: (text) => void writes.push(text),
    quiet: options.quiet ?? false,
    clock,
    date: () => new Date(TIME),
  });
  const counts = {
    doneBytes: 0,
    totalBytes: 100 * GIB,
    workDoneBytes: 0,
    workTotalBytes: 60 * GIB,
  };
  /** Takes the written lines, one object a write, each with its time. */
  const take = () =>
    writes.splice(0).map((text): Line => {
      assertEquals(text.indexOf("\n"), text.length - 1);
      const { time, ...fields } = JSON.parse(text);
      assertEquals(time, TIME);
      return fields;
    });
  const track = () =>
    reporter.track("Restoring REV", "Restoring", () => counts, {
      name: "restore",
      fields: { imageBytes: 100 * GIB, target: "/dev/x" },
    });
  return { clock, writes, reporter, counts, take, track };
}

Deno.test("JsonReporter reports start, steps, progress and summary", () => {
  const { clock, reporter, counts, take, track } = setUp();
  const asked = { revision: "r", threads: 2, base: undefined };
  reporter.start({ command: "restore", arguments: asked });
  reporter.step("Loading revision map", { name: "read-map" });
  track();
  const progress = { type: "progress", step: "restore", doneBytes: 0, totalBytes: 100 * GIB };
  assertEquals(take(), [
    {
      type: "start",
      tool: "backy-extract",
      version: "1.2.3",
      command: "restore",
      arguments: { revision: "r", threads: 2, base: null },
    },
    { type: "step", step: "read-map", text: "Loading revision map" },
    {
      type: "step",
      step: "restore",
      text: "Restoring REV",
      imageBytes: 100 * GIB,
      target: "/dev/x",
    },
    { ...progress, rateBytesPerSecond: null, etaSeconds: null, elapsedSeconds: 0 },
  ]);
  counts.doneBytes = 3 * GIB;
  counts.workDoneBytes = 2 * GIB;
  clock.advance(2000);
  const rate = { rateBytesPerSecond: GIB, etaSeconds: 58, elapsedSeconds: 2 };
  assertEquals(take().at(-1), { ...progress, doneBytes: 3 * GIB, ...rate });
  reporter.summary(["Restored"], { imageBytes: 7, elapsedMs: 3 });
  assertEquals(take(), [{ type: "summary", imageBytes: 7, elapsedMs: 3 }]);
  assertEquals(clock.timers.size, 0);
});

Deno.test("JsonReporter reports progress once a second until the step ends", () => {
  const { clock, reporter, take, track } = setUp();
  track();
  take();
  clock.advance(900);
  assertEquals(take().length, 0);
  clock.advance(9100);
  assertEquals(take().length, 10);
  reporter.stop();
  clock.advance(5000);
  assertEquals(take(), []);
});

Deno.test("JsonReporter reports the progress of a step only once it lasts", () => {
  const { clock, reporter, take } = setUp();
  const counts = () => ({ doneBytes: 3, totalBytes: 9 });
  reporter.step("Loading revision map", { name: "read-map", counts });
  assertEquals(take().map(({ type }) => type), ["step"]);
  clock.advance(1000);
  assertEquals(take().map(({ step, doneBytes, totalBytes }) => [step, doneBytes, totalBytes]), [
    ["read-map", 3, 9],
  ]);
});

Deno.test("JsonReporter reports the time of a step that cannot be measured", () => {
  const { clock, reporter, take } = setUp();
  reporter.step("Flushing", { name: "flush" });
  clock.advance(1000);
  assertEquals(take()[1], {
    type: "progress",
    step: "flush",
    doneBytes: null,
    totalBytes: null,
    rateBytesPerSecond: null,
    etaSeconds: null,
    elapsedSeconds: 1,
  });
});

Deno.test("JsonReporter.status() answers at once, also between steps and when quiet", () => {
  for (const quiet of [true, false]) {
    const { clock, reporter, counts, take, track } = setUp({ quiet });
    reporter.status();
    assertEquals(take(), [{
      type: "progress",
      step: null,
      doneBytes: null,
      totalBytes: null,
      rateBytesPerSecond: null,
      etaSeconds: null,
      elapsedSeconds: null,
    }]);
    track();
    take();
    clock.block(10_000);
    counts.doneBytes = counts.workDoneBytes = 10 * GIB;
    reporter.status();
    const [line] = take();
    assertEquals([line?.doneBytes, line?.rateBytesPerSecond], [10 * GIB, GIB]);
    assertEquals([line?.etaSeconds, line?.elapsedSeconds], [50, 10]);
  }
});

Deno.test("JsonReporter leaves out steps, messages and regular progress when quiet", () => {
  const { clock, reporter, take, track } = setUp({ quiet: true });
  reporter.start({ command: "restore", arguments: {} });
  reporter.step("Obtaining purge lock");
  reporter.message("hello");
  track();
  clock.advance(30_000);
  reporter.warn("careful");
  reporter.listing(["a table"]);
  reporter.summary(["Restored"], {});
  assertEquals(take().map(({ type }) => type), ["start", "warning", "summary"]);
});

Deno.test("JsonReporter.fail() gives message, code, exit code and the error's own fields", () => {
  const { clock, reporter, take, track } = setUp();
  const path = "/srv/vm/chunks/4d/x";
  const chunk = { chunkId: "4d", path };
  const cases: [unknown, Line][] = [
    [new LockError("Cannot: held"), { message: "Cannot: held", code: "lock", exitCode: 11 }],
    [
      new TargetError("no", { path: "/t", offset: 17 }),
      {
        message: "no",
        code: "target",
        exitCode: 4,
        path: "/t",
        offset: 17,
        isDisplaced: false,
      },
    ],
    [
      new ChunkMissingError("gone", { ...chunk, seqs: [1, 3] }),
      {
        message: "gone",
        code: "chunk-missing",
        exitCode: 3,
        ...chunk,
        seqs: [1, 3],
        seqCount: 2,
      },
    ],
    [
      new InterruptedError("stop", { signal: "SIGTERM" }),
      { message: "stop", code: "interrupted", exitCode: 143, signal: "SIGTERM" },
    ],
    [
      new OsError("bad", { errno: 5, errnoName: "EIO", syscall: "pread", path }),
      {
        message: "bad",
        code: "os",
        exitCode: 1,
        errno: 5,
        errnoName: "EIO",
        syscall: "pread",
        path,
      },
    ],
    ["just text", { message: "just text", code: "failure", exitCode: 1 }],
  ];
  for (const [failure, expected] of cases) {
    track();
    take();
    reporter.fail(failure);
    assertEquals(take(), [{ type: "error", notes: [], ...expected }]);
    assertEquals(clock.timers.size, 0);
  }
  for (const bug of [new TypeError("x"), new WorkerError("x"), undefined, { a: 1 }]) {
    reporter.fail(bug);
    const [line] = take();
    assertEquals([line?.code, line?.exitCode], ["internal", 1]);
    assert(String(line?.message).startsWith("Cannot go on: internal error"));
  }
});

Deno.test("JsonReporter.fail() bounds a chunk's places and takes notes and further fields", () => {
  const { reporter, take } = setUp();
  const seqs = Array.from({ length: 1_000_000 }, (_, seq) => seq);
  const fields = { chunkId: "4d", path: "p", reason: "hash" as const, seqs };
  reporter.fail(new ChunkCorruptError("bad", fields), {
    notes: ['"t" is incomplete'],
    fields: { incompleteTarget: "t", exitCode: 3 },
  });
  const [line] = take();
  assertEquals(line?.seqs, seqs.slice(0, 100));
  assertEquals([line?.seqCount, line?.reason, line?.exitCode], [1_000_000, "hash", 3]);
  assertEquals([line?.notes, line?.incompleteTarget], [['"t" is incomplete'], "t"]);
});

Deno.test("JsonReporter writes no unprintable character and no NaN, and type and time are its own", () => {
  const { reporter, writes, clock } = setUp();
  const evil = '\x1b]0;\x07\n\r\t\x7f\u0085\u009b\u2028\u2029\u202e\u{e0001}\\"' +
    String.fromCharCode(0xd800);
  let bytes = NaN;
  reporter.start({ command: evil, arguments: { [evil]: evil, nested: [{ evil }] } });
  reporter.track(evil, evil, () => ({ doneBytes: bytes, totalBytes: bytes }));
  for (bytes of [Infinity, -Infinity, -1, 0]) clock.advance(2000);
  reporter.message(evil);
  reporter.warn(evil);
  reporter.summary([evil], { type: "x", time: "y", rate: NaN, most: Infinity, evil });
  reporter.fail(new TargetError(evil, { path: evil, offset: NaN }), { notes: [evil] });
  for (const text of writes) {
    assert(!/[\p{C}\p{Zl}\p{Zp}]/u.test(text.slice(0, -1)), text);
    assert(!/NaN|Infinity/.test(text), text);
    const line = JSON.parse(text);
    assertEquals([line.time, line.type === "x"], [TIME, false]);
  }
  assertEquals(JSON.parse(writes[0]!).arguments[evil], evil);
  assertEquals(JSON.parse(writes.at(-1)!).notes, [evil]);
});

Deno.test("renderJsonLine() leaves out typed arrays and what is undefined, and shortens bigints", () => {
  const ids = new Uint8Array(new SharedArrayBuffer(16));
  const run = () => {};
  assertEquals(
    renderJsonLine({ size: 2n ** 40n, ids, run, nothing: undefined, plan: { ids, seq: 1 } }),
    '{"size":1099511627776,"plan":{"seq":1}}\n',
  );
});
