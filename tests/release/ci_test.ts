/**
 * The counting of `.ci/steps`: a run that died, or ran no tests, must not pass for one that passed.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";

const CLOSING_LINE = "ok | 7 passed (2 steps) | 0 failed (3s)";

/** Runs steps in a shell. @returns What was printed and the exit status. */
function runSteps(script: string): { said: string; code: number } {
  const steps = new URL("../../.ci/steps", import.meta.url).pathname;
  const { stdout, code } = new Deno.Command("bash", {
    args: ["-uc", `source "$1"\n${script}\nfinish`, "bash", steps],
    stdin: "null",
    stderr: "null",
  }).outputSync();
  return { said: new TextDecoder().decode(stdout), code };
}

function lastLine(said: string): string {
  return said.trimEnd().split("\n").at(-1)!;
}

Deno.test("CI counts the tests of a run that says how many there were", () => {
  const { said, code } = runSteps(`tests "a" 20 5 echo "${CLOSING_LINE}"; step "b" 20 true`);
  assertEquals([lastLine(said), code], ["8 passed, 0 failed", 0]);
});

Deno.test("CI counts failed and ignored tests", () => {
  const closing = "FAILED | 7 passed (2 steps) | 2 failed (1 step) | 3 ignored (3s)";
  const { said, code } = runSteps(`tests "a" 20 5 sh -c 'echo "${closing}"; exit 1'`);
  assertEquals([lastLine(said), code], ["7 passed, 2 failed", 1]);
  assertStringIncludes(said, "ignored, with the reason in their names: 3\n");
});

Deno.test("CI fails tests without a closing line even if the exit status is 0, as npx makes it of a signal", () => {
  const { said, code } = runSteps(`tests "a" 20 5 sh -c "sh -c 'kill -SEGV \\$\\$'; exit 0"`);
  assertEquals([lastLine(said), code], ["0 passed, 1 failed", 1]);
  assertStringIncludes(said, "a: no closing line with the number of tests (exit status 0)\n");
});

Deno.test("CI fails tests that died by a signal after their closing line, and says which", () => {
  const { said, code } = runSteps(
    `tests "a" 20 5 sh -c 'echo "${CLOSING_LINE}"; kill -KILL $$'`,
  );
  assertEquals([lastLine(said), code], ["7 passed, 1 failed", 1]);
  assertStringIncludes(said, "a: it died by SIGKILL\n");
});

Deno.test("CI fails a run of fewer tests than there are known to be", () => {
  const { said, code } = runSteps(`tests "a" 20 8 echo "${CLOSING_LINE}"`);
  assertEquals([lastLine(said), code], ["7 passed, 1 failed", 1]);
});

Deno.test("CI fails steps that fail, die or take too long", () => {
  const { said, code } = runSteps(
    `step "a" 20 false; step "b" 20 sh -c 'kill -SEGV $$'; step "c" 1 sleep 60`,
  );
  assertEquals([lastLine(said), code], ["0 passed, 3 failed", 1]);
  for (const reason of ["a: exit status 1", "b: it died by SIGSEGV", "c: it was ended after 1 s"]) {
    assertStringIncludes(said, `${reason}\n`);
  }
});

Deno.test("CI takes the closing line of deno test, and no line of a program that is tested", () => {
  const { said } = runSteps(
    `tests "a" 20 5 sh -c 'echo "99 passed | 0 failed"; echo "${CLOSING_LINE}"'`,
  );
  assertEquals(lastLine(said), "7 passed, 0 failed");
});
