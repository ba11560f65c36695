import { candidateLines } from "../../lib/cli/failure.ts";
import { formatLocalMinute } from "../../lib/cli/format.ts";
import { RevisionError, UsageError } from "../../lib/errors.ts";
import { assertEquals } from "../assert.ts";

function error(count: number, tags: readonly string[] = []): RevisionError {
  const candidates = Array.from({ length: count }, (_, at) => ({
    name: `rev${at}`,
    time: new Date(Date.UTC(2026, 0, 1, at)).toISOString(),
    tags,
  }));
  return new RevisionError("Cannot", { path: "/srv", candidates });
}

const dateOf = (hour: number) => formatLocalMinute(new Date(Date.UTC(2026, 0, 1, hour)));

Deno.test("candidateLines() gives none for other errors", () => {
  for (const other of [new UsageError("x"), new Error("x"), "x", null, error(0)]) {
    assertEquals(candidateLines(other), []);
  }
});

Deno.test("candidateLines() shows date as a list does, name and tags, a line each", () => {
  assertEquals(candidateLines(error(2, ["daily", "a b"])), [
    `candidate: ${dateOf(0)} rev0 "daily" "a b"`,
    `candidate: ${dateOf(1)} rev1 "daily" "a b"`,
  ]);
});

Deno.test("candidateLines() shows the last twenty, and counts those before", () => {
  assertEquals(candidateLines(error(20)).length, 20);
  const lines = candidateLines(error(1021));
  assertEquals(lines.slice(0, 2), [
    "1,001 candidates before these, not shown",
    `candidate: ${dateOf(1001)} rev1001`,
  ]);
  assertEquals([lines.length, lines.at(-1)], [21, `candidate: ${dateOf(1020)} rev1020`]);
});

Deno.test("candidateLines() escapes and cuts hostile tags", () => {
  const [line] = candidateLines(error(1, ["\x1b]0;\x07", "y".repeat(1000)]));
  assertEquals(line, `candidate: ${dateOf(0)} rev0 "\\x1b]0;\\x07" "${"y".repeat(40)}…"`);
});
