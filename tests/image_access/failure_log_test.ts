import { FailureLog } from "../../lib/image_access/failure_log.ts";
import { assertEquals } from "../assert.ts";
import { missing, noSpace } from "../pages/fake_chunks.ts";

const MIB = 1024 * 1024;

function setUp() {
  const lines: string[] = [];
  const clock = { ms: 0 };
  return { lines, clock, log: new FailureLog((line) => lines.push(line), () => clock.ms) };
}

const part = (seq: number) => ({ revision: "r1", seq, imageBytes: 10 * MIB });

Deno.test("FailureLog names bytes, seq, revision and cause in one line", () => {
  const { lines, log } = setUp();
  log.reportRead(part(2), missing("ab"));
  log.reportRevision("r1", new TypeError("odd\nthing"));
  log.reportWrite(part(0), noSpace());
  log.report('Cannot list backup directory "/b" anew', noSpace());
  const notFound = new Deno.errors.NotFound("No such file (os error 2): stat '/c'");
  log.report('Cannot list backup directory "/c" anew', notFound);
  log.tell("A client has gone");
  log.tell("A client has gone");
  assertEquals(lines, [
    'Cannot read image bytes 8388608 to 10485759 (seq 2) of revision "r1": ' +
    'Cannot read chunk "ab": there is no file "x"',
    'Cannot read revision "r1": TypeError: odd\\nthing',
    'Cannot write to image bytes 0 to 4194303 (seq 0) of revision "r1": ' +
    'Cannot store chunk in "x": No space left on device (ENOSPC)',
    'Cannot list backup directory "/b" anew: ' +
    'Cannot store chunk in "x": No space left on device (ENOSPC)',
    'Cannot list backup directory "/c" anew: No such file or directory (ENOENT)',
    "A client has gone",
  ]);
});

Deno.test("FailureLog repeats a line after a minute, or when the part was read meanwhile", () => {
  const { lines, clock, log } = setUp();
  for (const ms of [0, 1, 59_999, 60_000, 60_001]) {
    clock.ms = ms;
    log.reportRead(part(1), missing("ab"));
  }
  assertEquals(lines.length, 2);
  log.forget(part(1));
  log.reportRead(part(1), missing("ab"));
  assertEquals(lines.length, 3);
});

Deno.test("FailureLog does not report a write that failed because of a reported read", () => {
  const { lines, log } = setUp();
  const error = missing("ab");
  log.reportRead(part(1), error);
  log.reportWrite(part(1), error);
  assertEquals(lines.length, 1);
});

Deno.test("FailureLog counts what is too much to report", () => {
  const { lines, clock, log } = setUp();
  for (let seq = 0; seq < 50; seq++) log.reportRead(part(seq), missing("ab"));
  assertEquals(lines.length, 20);
  clock.ms = 10_000;
  log.reportRead(part(99), missing("ab"));
  assertEquals(lines.length, 22);
  assertEquals(lines[20], "30 more failures of this kind were not shown");
});
