import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "../assert.ts";
import {
  type ProgressState,
  renderPlainProgress,
  renderProgress,
} from "../../lib/cli/progress_line.ts";
import type { ProgressCounts } from "../../lib/cli/activity.ts";
import { ProgressReporter } from "../../lib/cli/progress.ts";
import { TargetError } from "../../lib/errors.ts";
import { RateEstimator } from "../../lib/cli/rate_estimator.ts";
import { chooseDisplay, openSink, writeFully } from "../../lib/cli/terminal.ts";
import { FakeClock } from "./fake_clock.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const HALFWAY: ProgressState = {
  step: "Restoring",
  doneBytes: 4.21 * GIB,
  totalBytes: 10 * GIB,
  elapsedMs: 3400,
  rateBytesPerSecond: 1.2 * GIB,
  etaSeconds: 4.8,
};

// deno-lint-ignore no-control-regex
const COLOR = /\x1b\[\d+m/g;
const stripColor = (text: string) => text.replaceAll(COLOR, "");

/** Cells that text takes on a terminal, by grapheme (UAX #29) and East Asian width (UAX #11). */
function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  const wide =
    /[\p{Emoji_Presentation}\ufe0f\p{sc=Han}\p{sc=Hangul}\p{sc=Hiragana}\p{sc=Katakana}\uff01-\uff60]/u;
  const graphemes = [...new Intl.Segmenter().segment(text)];
  return graphemes.reduce((cells, { segment }) => cells + (wide.test(segment) ? 2 : 1), 0);
}

/** States from the ordinary to the absurd. */
function* states(): Generator<ProgressState> {
  const steps = [
    "Restoring",
    "",
    "x".repeat(300),
    "復元中",
    "e\u0301 ❤️ 👩‍👩‍👧 \u202e",
    "a\nb\x1b[2J\t",
  ];
  const numbers = [0, 1, 4 * MIB, 99.97 * GIB, 100 * GIB, 2 ** 53, NaN, Infinity, -1];
  for (const step of steps) {
    for (const totalBytes of [null, ...numbers]) {
      for (const value of numbers) {
        yield {
          step,
          doneBytes: value,
          totalBytes,
          elapsedMs: value,
          rateBytesPerSecond: value,
          etaSeconds: value,
        };
      }
      yield { ...HALFWAY, step, totalBytes, rateBytesPerSecond: null, etaSeconds: null };
    }
  }
}

Deno.test("renderProgress() shows bar, share, sizes, rate, elapsed time and ETA where there is room", () => {
  assertEquals(
    renderProgress(HALFWAY, { columns: 100, color: false }),
    "/ Restoring  42.1% [============>                 ]   4.2 GiB of 10 GiB   1.2 GiB/s  0:03  ETA  0:05",
  );
});

Deno.test("renderProgress() fits any width from 1 to 200, in any state, on one clean line", () => {
  for (const state of states()) {
    for (let columns = 1; columns <= 200; columns++) {
      const line = renderProgress(state, { columns, color: false });
      assert(widthOf(line) <= columns, `${widthOf(line)} > ${columns}: ${line}`);
      assert(
        !/[\p{Cc}\p{Bidi_Control}]|NaN|Infinity|undefined|null/u.test(line),
        line,
      );
    }
  }
});

Deno.test("renderProgress() says less on narrow terminals, down to the percentage", () => {
  const at = (columns: number) => renderProgress(HALFWAY, { columns, color: false });
  assertEquals([0, 2, 3, 7].map(at), ["", "", "42%", "42%"]);
  assertEquals(at(8), "/  42.1%");
  assertEquals(at(18), "/ Restoring  42.1%");
  for (let columns = 3; columns <= 200; columns++) assertMatch(at(columns), /42(\.1)?%/);
  for (let columns = 60; columns <= 200; columns++) {
    assertMatch(at(columns), /\[=+> *\].*ETA +0:05$/);
  }
  assertMatch(at(79), /4.2 GiB of 10 GiB +1.2 GiB\/s/);
});

Deno.test("renderProgress() adds nothing but colour when it may use colour", () => {
  for (const state of states()) {
    for (const columns of [1, 20, 79, 140]) {
      const plain = renderProgress(state, { columns, color: false });
      const colored = renderProgress(state, { columns, color: true });
      assertEquals(stripColor(colored), plain);
      assert(!colored.includes("\x1b") || colored.includes("\x1b[0m"));
    }
  }
  assert(renderProgress(HALFWAY, { columns: 79, color: true }).includes("\x1b[32m="));
});

Deno.test("renderProgress() keeps one length from state to state, so that the line does not jump", () => {
  const lengths = new Set<number>();
  for (let percent = 0; percent < 100; percent++) {
    const state = {
      ...HALFWAY,
      doneBytes: percent * 0.1 * GIB,
      rateBytesPerSecond: percent * 11 * MIB,
    };
    lengths.add(renderProgress(state, { columns: 120, color: false }).length);
  }
  assertEquals(lengths.size, 1);
});

Deno.test("renderProgress() shows 100% and a full bar at the end only", () => {
  const at = (doneBytes: number) =>
    renderProgress({ ...HALFWAY, doneBytes }, { columns: 100, color: false });
  assertMatch(at(10 * GIB), /100\.0% \[=+\]/);
  assertMatch(at(10 * GIB - 1), / 99\.9% \[=+>\]/);
  assertMatch(at(11 * GIB), /100\.0% \[=+\]/);
  assertMatch(at(0), / 0\.0% \[> +\]/);
});

Deno.test("renderProgress() moves within a second although no byte does", () => {
  const at = (elapsedMs: number) =>
    renderProgress({ ...HALFWAY, elapsedMs }, { columns: 20, color: false });
  for (let elapsedMs = 0; elapsedMs < 10_000; elapsedMs += 200) {
    assertNotEquals(at(elapsedMs), at(elapsedMs + 200));
  }
});

Deno.test("renderProgress() shows a step of unknown length by its time", () => {
  const state = { ...HALFWAY, step: "Flushing", totalBytes: null, elapsedMs: 61_000 };
  assertEquals(renderProgress(state, { columns: 80, color: false }), "/ Flushing 1:01");
});

Deno.test("renderPlainProgress() writes a line for a log", () => {
  assertEquals(
    renderPlainProgress(HALFWAY),
    "Restoring: 42.1%, 4.2 GiB of 10 GiB, 1.2 GiB/s, 0:03 elapsed, 0:05 left",
  );
  assertEquals(
    renderPlainProgress({ ...HALFWAY, rateBytesPerSecond: null, etaSeconds: null }),
    "Restoring: 42.1%, 4.2 GiB of 10 GiB, -- B/s, 0:03 elapsed, --:-- left",
  );
  assertEquals(renderPlainProgress({ ...HALFWAY, totalBytes: null }), "Restoring: 0:03 elapsed");
  for (const state of states()) {
    assert(!/\p{Cc}|NaN|Infinity/u.test(renderPlainProgress(state)));
  }
});

Deno.test("RateEstimator says nothing before it can", () => {
  const estimator = new RateEstimator();
  assertEquals([estimator.bytesPerSecond, estimator.etaSeconds(1)], [null, null]);
  estimator.add(0, 0);
  estimator.add(100, 50 * MIB);
  assertEquals([estimator.bytesPerSecond, estimator.etaSeconds(1)], [null, null]);
  estimator.add(1000, 100 * MIB);
  assertEquals([estimator.bytesPerSecond, estimator.etaSeconds(200 * MIB)], [100 * MIB, 2]);
  assertEquals([0, -1, NaN].map((bytes) => estimator.etaSeconds(bytes)), [0, 0, 0]);
});

Deno.test("RateEstimator follows a change of speed within its window", () => {
  const estimator = new RateEstimator();
  for (let second = 0; second <= 60; second++) estimator.add(second * 1000, second * 100 * MIB);
  assertEquals(estimator.bytesPerSecond, 100 * MIB);
  for (let second = 1; second <= 15; second++) {
    estimator.add((60 + second) * 1000, 6000 * MIB + second * 10 * MIB);
  }
  assertEquals(estimator.bytesPerSecond, 10 * MIB);
});

Deno.test("RateEstimator lets the ETA grow while work stands still, and recovers", () => {
  const estimator = new RateEstimator();
  const remaining = 1000 * MIB;
  for (let second = 0; second <= 20; second++) estimator.add(second * 1000, second * 100 * MIB);
  let last = estimator.etaSeconds(remaining) ?? NaN;
  assertEquals(last, 10);
  for (let second = 36; second <= 400; second += 4) {
    estimator.add(second * 1000, 2000 * MIB);
    const eta = estimator.etaSeconds(remaining) ?? NaN;
    assertEquals(estimator.bytesPerSecond, 0);
    if (second > 36) assert(eta > last, `${eta} at ${second} s, ${last} before`);
    last = eta;
  }
  for (let second = 401; second <= 420; second++) {
    estimator.add(second * 1000, 2000 * MIB + (second - 400) * 100 * MIB);
  }
  assertEquals(estimator.etaSeconds(remaining), 10);
});

Deno.test("RateEstimator stays finite and not negative whatever it is told", () => {
  const times = [0, 0, -5, 10, NaN, 1e9, Infinity, 1e9 + 1, 1e9 + 2000];
  const bytes = [0, 1, NaN, -1, Infinity, 2 ** 53, 5];
  const estimator = new RateEstimator();
  for (const atMs of times) {
    for (const done of bytes) {
      estimator.add(atMs, done);
      for (
        const value of [
          estimator.bytesPerSecond,
          estimator.etaSeconds(2 ** 53),
          estimator.etaSeconds(1),
        ]
      ) {
        assert(value === null || (Number.isFinite(value) && value >= 0), String(value));
      }
    }
  }
});

Deno.test("RateEstimator gives the same rate however often it is fed", () => {
  const estimator = new RateEstimator();
  for (let ms = 0; ms <= 30_000; ms++) estimator.add(ms, ms * 1000);
  const rate = estimator.bytesPerSecond ?? NaN;
  assert(Math.abs(rate - 1e6) < 1, String(rate));
});

/** What a terminal shows after the given output: its finished lines, and the line of the cursor. */
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

Deno.test("ProgressReporter shows the time of a step without measure from its first tick", () => {
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

Deno.test("chooseDisplay() redraws on terminals that can, in colour unless NO_COLOR is set", () => {
  const choose = (isTerminal: boolean, term?: string, noColor?: string) => {
    const { canRedraw, color } = chooseDisplay({ isTerminal, term, noColor });
    return [canRedraw, color];
  };
  assertEquals(choose(true, "xterm"), [true, true]);
  assertEquals(choose(true), [true, true]);
  assertEquals(choose(true, "xterm", "1"), [true, false]);
  assertEquals(choose(true, "xterm", ""), [true, true]);
  assertEquals(choose(true, "dumb"), [false, false]);
  assertEquals(choose(false, "xterm"), [false, false]);
  assert(chooseDisplay({ isTerminal: true, term: "xterm", noColor: undefined }).columns() > 0);
});

Deno.test("writeFully() goes on after partial writes and waits out a blocked terminal", () => {
  const text = "Grüße, 日本\n";
  const bytes: number[] = [];
  let calls = 0;
  const writer = {
    writeSync(data: Uint8Array) {
      if (++calls % 3 === 0) throw new Deno.errors.WouldBlock("busy");
      bytes.push(...data.subarray(0, 2));
      return Math.min(2, data.length);
    },
  };
  writeFully(writer, text);
  assertEquals(new TextDecoder().decode(new Uint8Array(bytes)), text);
});

Deno.test("writeFully() throws when writing fails or stays blocked", () => {
  for (const ErrorClass of [Deno.errors.BrokenPipe, Deno.errors.WouldBlock]) {
    const writer = {
      writeSync(): number {
        throw new ErrorClass("no");
      },
    };
    assertThrows(() => writeFully(writer, "x"), ErrorClass);
  }
});

Deno.test("openSink() falls silent when its file is broken, and only then", () => {
  const failures: Error[] = [new Deno.errors.BrokenPipe("gone")];
  let calls = 0;
  const writer = {
    writeSync(data: Uint8Array) {
      calls++;
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return data.length;
    },
  };
  const broken = openSink(writer);
  broken("a");
  broken("b");
  assertEquals(calls, 1);

  calls = 0;
  failures.push(...Array.from({ length: 21 }, () => new Deno.errors.WouldBlock("busy")));
  const blocked = openSink(writer);
  blocked("a");
  blocked("b");
  assertEquals(calls, 22);
});

Deno.test("ProgressReporter.refresh() moves the bar while timers cannot run, but not all the time", () => {
  const { clock, reporter, writes } = setUp({});
  reporter.step("Loading revision map");
  const before = writes.length;
  reporter.refresh();
  assertEquals(writes.length, before);
  clock.block(1000);
  reporter.refresh();
  reporter.refresh();
  assertEquals(writes.length, before + 1);
  reporter.stop();
  reporter.refresh();
});

Deno.test("ProgressReporter.status() prints a whole line, above the bar and when quiet", () => {
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

Deno.test("ProgressReporter.refresh() shows nothing when quiet", () => {
  const { clock, reporter, track, writes } = setUp({ quiet: true });
  track();
  clock.block(60_000);
  reporter.refresh();
  assertEquals(writes, []);
  reporter.stop();
});

Deno.test("ProgressReporter.fail() tells an error, or that it is a bug, and what follows from it", () => {
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

Deno.test("ProgressReporter takes the image's progress for the work where no work is counted", () => {
  const { clock, reporter, shown } = setUp({});
  let doneBytes = 0;
  reporter.track("Verifying", "Verifying", () => ({ doneBytes, totalBytes: 100 * GIB }));
  for (; doneBytes < 50 * GIB; doneBytes += GIB) clock.advance(1000);
  assertMatch(shown().at(-1) ?? "", / 49\.0%.* (1\.0|1) GiB\/s .*ETA +0:51/);
  reporter.stop();
});
