import { OsError } from "../../lib/errors.ts";
import { closeFd, openFd } from "../../lib/ffi/libc.ts";
import { printable, quote, reasonOf } from "../../lib/store/wording.ts";
import { assertEquals, assertThrows } from "../assert.ts";

// The C library is opened once and never closed; inside a test that would count as a leak.
closeFd(openFd("/dev/null", 0));

Deno.test("printable() escapes control, format and line separator characters", () => {
  assertEquals(
    printable("a\x1b[31m\n\t\x7f\u0085\u202e\u2028é✓"),
    "a\\u{1b}[31m\\n\\t\\u{7f}\\u{85}\\u{202e}\\u{2028}é✓",
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
