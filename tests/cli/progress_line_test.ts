import { assert, assertEquals, assertMatch, assertNotEquals } from "../assert.ts";
import {
  type ProgressState,
  renderPlainProgress,
  renderProgress,
} from "../../lib/cli/progress_line.ts";

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
