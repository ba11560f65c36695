import { assert, assertEquals, assertMatch, assertNotEquals } from "../assert.ts";
import type { ProgressCounts } from "../../lib/cli/activity.ts";
import { ProgressReporter } from "../../lib/cli/progress.ts";
import { TargetError } from "../../lib/errors.ts";
import { FakeClock } from "./fake_clock.ts";

// deno-lint-ignore no-control-regex
const COLOR = /\x1b\[\d+m/g;
const stripColor = (text: string) => text.replaceAll(COLOR, "");

const GIB = 2 ** 30;

function screen(output: string): string[] {
  return output.split("\n").map((line) => stripColor(line).split("\r\x1b[K").at(-1) ?? "");
}

function setUp(
  options: { terminal?: boolean; quiet?: boolean; color?: boolean; columns?: () => number } = {},
) {
  const clock = new FakeClock();
  const writes: string[] = [];
  const counts = {
    doneBytes: 0,
    totalBytes: 100 * GIB,
    workDoneBytes: 0,
    workTotalBytes: 60 * GIB,
  };
  const reporter = new ProgressReporter({
    tool: "backy-extract",
    write: (text) => void writes.push(text),
    display: {
      canRedraw: options.terminal ?? true,
      color: options.color ?? false,
      columns: options.columns ?? (() => 100),
    },
    quiet: options.quiet ?? false,
    clock,
  });
  const track = () =>
    reporter.track("Restoring REV to TARGET", "Restoring", (): ProgressCounts => counts);
  const shown = () => screen(writes.join(""));
  return { clock, writes, counts, reporter, track, shown };
}

Deno.test("ProgressReporter draws a bar at once and redraws it five times a second", () => {
  const { clock, writes, counts, track, shown } = setUp();
  track();
  assertEquals(shown()[0], "Restoring REV to TARGET");
  assertMatch(shown()[1] ?? "", /Restoring +0\.0% \[>/);
  const before = writes.length;
  clock.advance(2000);
  assertEquals(writes.length, before + 10);
  for (let i = before; i < writes.length; i++) assertNotEquals(writes[i], writes[i - 1]);
  counts.doneBytes = 50 * GIB;
  counts.workDoneBytes = 20 * GIB;
  clock.advance(2000);
  assertMatch(shown().at(-1) ?? "", /50\.0% .* 50 GiB of 100 GiB.*5 GiB\/s.*ETA +0:0[89]/);
});

Deno.test("ProgressReporter takes rate and ETA from the remaining work, not from the image", () => {
  const { clock, counts, track, shown } = setUp();
  track();
  for (let second = 1; second <= 10; second++) {
    counts.doneBytes += 9 * GIB;
    counts.workDoneBytes += GIB;
    clock.advance(1000);
  }
  assertMatch(shown().at(-1) ?? "", /90\.0%.* (1\.[01]|1) GiB\/s .*ETA +0:(4[5-9]|50)/);
});

Deno.test("ProgressReporter takes rate and ETA from the image once all work is done", () => {
  const { clock, counts, track, shown } = setUp();
  counts.workTotalBytes = 0;
  track();
  for (let second = 1; second <= 20; second++) {
    counts.doneBytes += GIB;
    clock.advance(1000);
  }
  assertMatch(shown().at(-1) ?? "", /20\.0%.* (1\.[01]|1) GiB\/s .*ETA +1:[12]\d/);
});

Deno.test("ProgressReporter fits the terminal's width of the moment and leaves its last column free", () => {
  let columns = 100;
  const { clock, track, shown } = setUp({ columns: () => columns });
  track();
  for (columns = 200; columns >= 0; columns--) {
    clock.advance(200);
    assert((shown().at(-1) ?? "").length <= Math.max(0, columns - 1));
  }
});

Deno.test("ProgressReporter prints messages above the bar and keeps it intact", () => {
  const { clock, reporter, track, shown } = setUp();
  track();
  clock.advance(1000);
  reporter.message("one");
  assertEquals(shown(), ["Restoring REV to TARGET", "one", ""]);
  clock.advance(200);
  assertMatch(shown()[2] ?? "", /Restoring .*\[/);
  reporter.warn("two");
  clock.advance(200);
  assertEquals(shown().slice(0, 3), [
    "Restoring REV to TARGET",
    "one",
    "backy-extract: warning: two",
  ]);
  reporter.stop();
  assertEquals(shown().at(-1), "");
});

Deno.test("ProgressReporter shows the time of a step that cannot be measured from its first tick", () => {
  const { clock, reporter, shown } = setUp();
  reporter.step("Obtaining purge lock");
  assertEquals(shown(), ["Obtaining purge lock", ""]);
  clock.advance(200);
  assertMatch(shown()[1] ?? "", /^[|\/\\-] Obtaining purge lock 0:00$/);
  clock.advance(3000);
  assertMatch(shown()[1] ?? "", / 0:03$/);
  reporter.step("Loading revision map");
  assertEquals(shown(), ["Obtaining purge lock", "Loading revision map", ""]);
});

Deno.test("ProgressReporter ends its timer and its bar with stop(), fail() and disposal", () => {
  for (const end of ["stop", "fail", "dispose"] as const) {
    const { clock, reporter, track, shown, writes } = setUp();
    track();
    clock.advance(400);
    if (end === "stop") reporter.stop();
    if (end === "fail") reporter.fail("Cannot do it: no");
    if (end === "dispose") reporter[Symbol.dispose]();
    assertEquals(clock.timers.size, 0);
    const count = writes.length;
    clock.advance(5000);
    reporter.stop();
    assertEquals(writes.length, count);
    assertEquals(shown().slice(1), end === "fail" ? ["backy-extract: Cannot do it: no", ""] : [""]);
  }
});

Deno.test("ProgressReporter writes a plain line every ten seconds where lines cannot be redrawn", () => {
  const { clock, counts, reporter, track, writes } = setUp({ terminal: false });
  track();
  for (let second = 1; second <= 35; second++) {
    counts.doneBytes += GIB;
    counts.workDoneBytes += GIB / 2;
    clock.advance(1000);
  }
  reporter.stop();
  assertEquals(writes.length, 4);
  assertEquals(writes[0], "Restoring REV to TARGET\n");
  assertMatch(
    writes[1] ?? "",
    /^Restoring: 10\.0%, 10 GiB of 100 GiB, 512 MiB\/s, 0:10 elapsed, 1:50 left\n$/,
  );
  assertMatch(writes[2] ?? "", /^Restoring: 20\.0%.* 0:20 elapsed/);
  assertMatch(writes[3] ?? "", /^Restoring: 30\.0%.* 0:30 elapsed/);
  assert(writes.every((line) => !/\p{Cc}./u.test(line)));
});

Deno.test("ProgressReporter writes nothing but warnings and errors when quiet", () => {
  for (const terminal of [true, false]) {
    const { clock, reporter, track, writes } = setUp({ terminal, quiet: true });
    reporter.step("Obtaining purge lock");
    track();
    clock.advance(30_000);
    reporter.message("Restored");
    reporter.stop();
    assertEquals([writes.length, clock.timers.size], [0, 0]);
    reporter.warn("careful");
    reporter.fail("Cannot: no");
    assertEquals(writes, ["backy-extract: warning: careful\n", "backy-extract: Cannot: no\n"]);
  }
});

Deno.test("ProgressReporter escapes what it prints and uses colour only where it may", () => {
  for (const color of [false, true]) {
    const { clock, reporter, writes } = setUp({ color });
    const evil = "a\x1b]0;x\x07\n\u202eb";
    const escaped = "a\\x1b]0;x\\x07\\n\\u{202e}b";
    reporter.message(evil);
    reporter.step(evil);
    clock.advance(200);
    reporter.warn(evil);
    reporter.track(
      evil,
      evil,
      () => ({ doneBytes: 1, totalBytes: 2, workDoneBytes: 0, workTotalBytes: 0 }),
    );
    reporter.fail(evil);
    assert(!writes.join("").includes("\x07"));
    assertEquals(screen(writes.join("")).slice(0, 3), [
      escaped,
      escaped,
      `backy-extract: warning: ${escaped}`,
    ]);
    assertEquals(writes.some((text) => text !== stripColor(text)), color);
  }
});

Deno.test("ProgressReporter.status() prints a whole line, above the bar and also when quiet", () => {
  for (const terminal of [true, false]) {
    for (const quiet of [true, false]) {
      const { clock, counts, reporter, track, writes, shown } = setUp({ terminal, quiet });
      reporter.status();
      assertEquals(writes.splice(0), ["No step is under way\n"]);
      track();
      counts.doneBytes = 40 * GIB;
      counts.workDoneBytes = 20 * GIB;
      clock.block(10_000);
      reporter.status();
      const line = "Restoring: 40.0%, 40 GiB of 100 GiB, 2 GiB/s, 0:10 elapsed, 0:20 left";
      const before = quiet ? [] : ["Restoring REV to TARGET"];
      assertEquals(shown(), [...before, line, ""]);
      clock.advance(200);
      assertEquals(shown().at(-1)?.includes("["), terminal && !quiet);
      reporter.stop();
    }
  }
});

Deno.test("ProgressReporter shows the progress of a step only once it lasts", () => {
  const { clock, reporter, shown } = setUp({});
  const counts = () => ({ doneBytes: 1, totalBytes: 4 });
  reporter.step("Loading revision map", { counts });
  assertEquals(shown(), ["Loading revision map", ""]);
  clock.advance(200);
  assertMatch(shown().at(-1)!, / Loading revision map +25\.0% /);
  reporter.stop();
});

Deno.test("ProgressReporter.fail() prints an error, or that it is a bug, and what follows from it", () => {
  const { reporter, writes } = setUp({ quiet: true });
  const fields = { exitCode: 4 };
  const notes = ['"t\x1b" is incomplete'];
  reporter.fail(new TargetError("Cannot write: no", { path: "t", offset: null }), {
    fields,
    notes,
  });
  reporter.fail(new TypeError("oops"));
  assertEquals(writes, [
    "backy-extract: Cannot write: no\n",
    'backy-extract: "t\\x1b" is incomplete\n',
    "backy-extract: Cannot go on: internal error, please report it: TypeError: oops\n",
  ]);
});

Deno.test("ProgressReporter prints texts, not fields: the summary unless quiet, a listing always", () => {
  for (const quiet of [true, false]) {
    const { clock, reporter, track, shown } = setUp({ quiet });
    reporter.start({ command: "x", arguments: {} });
    track();
    reporter.listing(["a  b", "1  \x07"]);
    reporter.summary(["Restored"], { imageBytes: 1 });
    const all = ["Restoring REV to TARGET", "a  b", "1  \\x07", "Restored", ""];
    assertEquals(shown(), quiet ? all.filter((line) => !line.startsWith("Rest")) : all);
    assertEquals(clock.timers.size, 0);
  }
});

Deno.test("ProgressReporter uses the image's progress where no work is counted", () => {
  const { clock, reporter, shown } = setUp({});
  let doneBytes = 0;
  reporter.track("Verifying", "Verifying", () => ({ doneBytes, totalBytes: 100 * GIB }));
  for (; doneBytes < 50 * GIB; doneBytes += GIB) clock.advance(1000);
  assertMatch(shown().at(-1) ?? "", / 49\.0%.* (1\.0|1) GiB\/s .*ETA +0:51/);
  reporter.stop();
});
