import "../support/libraries.ts";
import { DamageLog } from "../../lib/image_access/damage_log.ts";
import { assertEquals } from "../assert.ts";
import { missing, noSpace } from "../pages/fake_chunks.ts";

const MIB = 1024 * 1024;

function setUp() {
  const lines: string[] = [];
  const clock = { ms: 0 };
  return { lines, clock, log: new DamageLog((line) => lines.push(line), () => clock.ms) };
}

const place = (seq: number | null) => ({ revision: "r1", seq, imageBytes: 10 * MIB });

Deno.test("DamageLog names bytes, seq, revision and cause in one line", () => {
  const { lines, log } = setUp();
  log.reportRead(place(2), missing("ab"));
  log.reportRead(place(null), new TypeError("odd\nthing"));
  log.reportWrite(place(0), noSpace());
  log.reportListing("/b", noSpace());
  log.reportListing("/c", new Deno.errors.NotFound("No such file (os error 2): stat '/c'"));
  assertEquals(lines, [
    'Cannot read image bytes 8388608 to 10485759 (seq 2) of revision "r1": ' +
    'Cannot read chunk "ab": there is no file "x"',
    'Cannot read revision "r1": TypeError: odd\\nthing',
    'Cannot write to image bytes 0 to 4194303 (seq 0) of revision "r1": ' +
    'Cannot store chunk in "x": No space left on device (ENOSPC)',
    'Cannot list backup directory "/b" anew: ' +
    'Cannot store chunk in "x": No space left on device (ENOSPC)',
    'Cannot list backup directory "/c" anew: No such file or directory (ENOENT)',
  ]);
});

Deno.test("DamageLog repeats a line after a minute only, or when the place was read meanwhile", () => {
  const { lines, clock, log } = setUp();
  for (const ms of [0, 1, 59_999, 60_000, 60_001]) {
    clock.ms = ms;
    log.reportRead(place(1), missing("ab"));
  }
  assertEquals(lines.length, 2);
  log.forget(place(1));
  log.reportRead(place(1), missing("ab"));
  assertEquals(lines.length, 3);
});

Deno.test("DamageLog does not tell of a write that failed because of a read that it told of", () => {
  const { lines, log } = setUp();
  const error = missing("ab");
  log.reportRead(place(1), error);
  log.reportWrite(place(1), error);
  assertEquals(lines.length, 1);
});

Deno.test("DamageLog counts what is too much to be told", () => {
  const { lines, clock, log } = setUp();
  for (let seq = 0; seq < 50; seq++) log.reportRead(place(seq), missing("ab"));
  assertEquals(lines.length, 20);
  clock.ms = 10_000;
  log.reportRead(place(99), missing("ab"));
  assertEquals(lines.length, 22);
  assertEquals(lines[20], "30 more failures of this kind were not shown");
});
