import { assertEquals, assertStringIncludes } from "../assert.ts";
import { closingLine, parseReport } from "./test_report.ts";

const PASSED = `running 2 tests from ./tests/a_test.ts
one ... ok (0ms)
two ... ignored (0ms)

ok | 1 passed (3 steps) | 0 failed | 1 ignored (12ms)
`;

const FAILED = `running 2 tests from ./tests/b_test.ts
one ... FAILED (0ms)
two ... ok (0ms)

 ERRORS 

one => ./tests/b_test.ts:1:6
error: Error: x

 FAILURES 

one => ./tests/b_test.ts:1:6

FAILED | 1 passed | 1 failed (1 step) (9ms)

error: Test failed
`;

Deno.test("parseReport() separates failures from the rest, and leaves the closing line out", () => {
  const passed = parseReport("a", PASSED, 0);
  assertEquals(passed, {
    body: PASSED.slice(0, PASSED.indexOf("\n\n") + 1),
    failures: "",
    passed: 1,
    steps: 3,
    failed: 0,
    ignored: 1,
  });
  const { body, failures, ...counts } = parseReport("b", FAILED, 1);
  assertEquals(body + failures, FAILED.slice(0, FAILED.indexOf("\nFAILED |")));
  assertEquals(failures.startsWith(" ERRORS \n"), true);
  assertEquals(counts, { passed: 1, steps: 0, failed: 1, ignored: 0 });
});

Deno.test("parseReport() fails a run that died, whatever it said", () => {
  const untold = parseReport("a", "one ... ok (0ms)\n", 0);
  assertEquals([untold.failed, untold.failures], [1, "\na: no closing line (exit status 0)\n"]);
  const dead = parseReport("a", PASSED, "SIGSEGV");
  assertEquals([dead.passed, dead.failed], [1, 1]);
  assertStringIncludes(dead.failures, 'a: it died by SIGSEGV, but "ok | 1 passed');
});

Deno.test("closingLine() sums up", () => {
  const reports = [parseReport("a", PASSED, 0), parseReport("b", FAILED, 1)];
  assertEquals(
    closingLine(reports, 83_000),
    "FAILED | 2 passed (3 steps) | 1 failed | 1 ignored (1m23s)",
  );
  assertEquals(
    closingLine(reports.slice(0, 1), 900),
    "ok | 1 passed (3 steps) | 0 failed | 1 ignored (1s)",
  );
});
