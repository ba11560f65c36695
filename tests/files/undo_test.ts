import { undoAll, type UndoStep } from "../../lib/files/undo.ts";
import { assertEquals } from "../assert.ts";

/** A step that finds users in its way for some time. */
function stepOf(
  subject: string,
  done: string[],
  undo: () => readonly string[] | null,
): UndoStep {
  return {
    subject,
    undo() {
      const users = undo();
      if (users === null) done.push(`${subject} undone`);
      return Promise.resolve(users);
    },
    force() {
      done.push(`${subject} forced`);
      return Promise.resolve();
    },
  };
}

Deno.test("undoAll() undoes the last first, and goes on after a failure", async () => {
  const done: string[] = [];
  const failures: unknown[] = [];
  const steps = [
    stepOf("first", done, () => null),
    stepOf("second", done, () => {
      throw new Error("no");
    }),
    stepOf("third", done, () => null),
  ];
  const isClean = await undoAll(steps, {
    onBusy: () => {},
    onFailure: (error) => failures.push(error),
    force: new AbortController().signal,
  });
  assertEquals(done, ["third undone", "first undone"]);
  assertEquals([isClean, failures.length, steps.length], [false, 1, 0]);
});

Deno.test("undoAll() waits for users, tells of each change once, and keeps the order", async () => {
  const done: string[] = [];
  const told: string[] = [];
  // Each user leaves some looks after it was told of.
  let looks = 0;
  const busy = stepOf("busy", done, () => {
    if (told.length > 0) looks++;
    return told.length === 0 || looks < 4 ? ["a"] : told.length === 1 || looks < 8 ? ["b"] : null;
  });
  const isClean = await undoAll([stepOf("below", done, () => null), busy], {
    onBusy: (subject, users) => told.push(`${subject}: ${users}`),
    onFailure: () => {},
    force: new AbortController().signal,
  });
  assertEquals(told, ["busy: a", "busy: b"]);
  assertEquals([isClean, done], [true, ["busy undone", "below undone"]]);
});

Deno.test("undoAll() does not tell of what is in use for a moment", async () => {
  const told: string[] = [];
  let looks = 0;
  const isClean = await undoAll([stepOf("x", [], () => ++looks < 2 ? ["udev"] : null)], {
    onBusy: (subject) => told.push(subject),
    onFailure: () => {},
    force: new AbortController().signal,
  });
  assertEquals([isClean, told], [true, []]);
});

Deno.test("undoAll() uses force once it is told to, only where somebody is in the way", async () => {
  const done: string[] = [];
  const force = new AbortController();
  const steps = [stepOf("free", done, () => null), stepOf("busy", done, () => [])];
  const isClean = await undoAll(steps, {
    onBusy: () => force.abort(),
    onFailure: () => {},
    force: force.signal,
  });
  assertEquals([isClean, done], [false, ["busy forced", "free undone"]]);
});
