import { OsError } from "../lib/errors.ts";
import { reasonOf } from "../lib/linux/errno.ts";
import { openFd } from "../lib/linux/files.ts";
import { printable, quote } from "../lib/wording.ts";
import { assert, assertEquals, assertThrows } from "./assert.ts";

Deno.test("printable() escapes control, format and line separator characters", () => {
  assertEquals(
    printable("a\x1b[31m\n\t\x7f\u0085\u202e\u2028é✓"),
    "a\\x1b[31m\\n\\t\\x7f\\x85\\u{202e}\\u{2028}é✓",
  );
});

Deno.test("quote() cuts long text", () => {
  assertEquals(quote("abcdef", 3), '"abc…"');
  assertEquals(quote("abc", 3), '"abc"');
});

Deno.test("reasonOf() gives the same reason for an error of Deno and of libc", () => {
  const path = "/nonexistent/file";
  const fromDeno = assertThrows(() => Deno.statSync(path));
  const fromLibc = assertThrows(() => openFd(path, 0), OsError);
  assertEquals(reasonOf(fromDeno), "No such file or directory (ENOENT)");
  assertEquals(reasonOf(fromLibc), "No such file or directory (ENOENT)");
});

Deno.test("printable() escapes C0, DEL, C1, bidirectional and line-breaking characters", () => {
  assertEquals(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  assertEquals(printable("\n\r\t\0\x7f\x9b"), "\\n\\r\\t\\x00\\x7f\\x9b");
  assertEquals(
    printable("x\u202egpj.exe\u2066\u200f\u2028"),
    "x\\u{202e}gpj.exe\\u{2066}\\u{200f}\\u{2028}",
  );
  for (let code = 0; code < 0x10000; code++) {
    const escaped = printable(String.fromCharCode(code));
    assert(
      // deno-lint-ignore no-control-regex
      !/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/.test(escaped),
      code.toString(16),
    );
  }
});

Deno.test("printable() leaves other text as it is, and its own output too", () => {
  for (const text of ["", "plain /srv/backy", "Grüße, 日本, 😀", "back\\slash", " \u00a0"]) {
    assertEquals(printable(text), text);
  }
  const once = printable("\x1b\n\u202e");
  assertEquals(printable(once), once);
});

Deno.test("quote() puts escaped text in double quotes", () => {
  assertEquals(quote("a\nb"), '"a\\nb"');
});
