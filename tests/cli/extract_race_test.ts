/** Two restores into one file at the same time: one of them is refused, and touches nothing. */

import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { EXTRACT, RunningTool } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { assertFailure, extract, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const TARGET = 4;

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/**
 * The other one is to act as on a host on which it cannot be seen that the file is open: in another
 * container, say.
 */
const UNAWARE = ["--force"];

/** Starts a restore that creates a file, and waits some seconds before it locks it. */
function startSlowCreator(path: string): RunningTool {
  const inject = ["-P", path, "-e", "trace=flock", "-e", "inject=flock:delay_enter=8000000:when=1"];
  return new RunningTool([
    ...["strace", "-f", "-qq", "-o", "/dev/null", ...inject],
    ...[...EXTRACT, "-q", store.revision.path, path],
  ]);
}

const tookIt = (path: string) =>
  `Cannot restore to "${path}": another program, perhaps another restore, took it first`;

testUnless(
  programProblem("strace"),
  "A restore yields to another that locked the file it created, and leaves it alone",
  async () => {
    const path = store.file("locked");
    await using creator = startSlowCreator(path);
    await until(() => exists(path), "the file");
    await using second = startExtract([
      ...["--bwlimit=20KiB", "-t1", ...UNAWARE, store.revision.path, path],
    ]);
    assertFailure(await creator.outcome(), { code: TARGET, says: [tookIt(path)] });
    assert(!second.hasEnded, second.said);
    assert(exists(path));
    second.signal("SIGINT");
    assertEquals((await second.outcome()).code, 130);
  },
);

testUnless(
  programProblem("strace"),
  "A restore yields to another that has completed the file it created",
  async () => {
    const path = store.file("completed");
    await using creator = startSlowCreator(path);
    await until(() => exists(path), "the file");
    assertEquals((await extract([...UNAWARE, store.revision.path, path])).code, 0);
    assertFailure(await creator.outcome(), { code: TARGET, says: [tookIt(path)] });
    assertBytes(Deno.readFileSync(path), store.image);
  },
);

Deno.test("Of several restores started into one new file at once, one completes it", async () => {
  const path = store.file("contested");
  const runs = Array.from({ length: 4 }, () => extract(["-q", store.revision.path, path]));
  const codes = (await Promise.all(runs)).map(({ code }) => code);
  // One that came when all was over has restored it again.
  assert(codes.every((code) => code === 0 || code === TARGET), `${codes}`);
  assert(codes.includes(0), `${codes}`);
  assertBytes(Deno.readFileSync(path), store.image);
});

for (const how of ["deleted", "renamed", "replaced"] as const) {
  Deno.test(`A file that is ${how} while it is written makes the restore fail`, async () => {
    const path = store.file(`to be ${how}`), moved = store.file(`was ${how}`);
    await using tool = startExtract([
      "--json",
      "--bwlimit=700KiB",
      "-t1",
      store.revision.path,
      path,
    ]);
    await tool.untilSaid('"step":"restore"');
    if (how === "deleted") Deno.removeSync(path);
    else Deno.renameSync(path, moved);
    if (how === "replaced") Deno.writeTextFileSync(path, "another file");
    const { code, stderr } = await tool.outcome();
    assertEquals(code, TARGET, stderr);
    const error = JSON.parse(stderr.trimEnd().split("\n").at(-1)!);
    const what = how === "replaced"
      ? "something else has taken its name"
      : "it was deleted or renamed";
    const where = how === "deleted"
      ? "what was written is gone, restore it once more"
      : `the image is complete in "${moved}"`;
    assertEquals(error.message, `Cannot finish "${path}": ${what} while it was written; ${where}`);
    assertEquals([error.type, error.code, error.isDisplaced, error.notes], [
      ...["error", "target", true, []],
    ]);
    if (how !== "deleted") assertBytes(Deno.readFileSync(moved), store.image);
    if (how === "replaced") assertEquals(Deno.readTextFileSync(path), "another file");
  });
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
