import { Errno, errnoName, toOsError } from "../../lib/linux/errno.ts";
import { OsError } from "../../lib/linux/os_error.ts";
import { assert, assertEquals, assertInstanceOf } from "../assert.ts";
import { missing } from "../pages/fake_chunks.ts";

Deno.test("errno values have the names that the C library gives them", () => {
  const libc = Deno.dlopen("libc.so.6", {
    strerrorname_np: { parameters: ["i32"], result: "pointer" },
  });
  try {
    for (const [name, errno] of Object.entries(Errno)) {
      const pointer = libc.symbols.strerrorname_np(errno);
      const theirs = pointer && Deno.UnsafePointerView.getCString(pointer);
      // This value has two names; the manual pages of file calls use the other.
      assertEquals(theirs === "ENOTSUP" ? "EOPNOTSUPP" : theirs, name);
      assertEquals(errnoName(errno), name);
    }
  } finally {
    libc.close();
  }
});

Deno.test("an errno value without a name is given as its number", () => {
  assertEquals(errnoName(9999), "E9999");
});

Deno.test("toOsError() keeps the errno of errors of Deno's functions", () => {
  try {
    Deno.mkdirSync("/proc/backy/x");
    assert(false);
  } catch (error) {
    const converted = toOsError(error, "Cannot store chunk in", "/proc/backy");
    assertInstanceOf(converted, OsError);
    assertEquals([converted.errno, converted.errnoName], [Errno.ENOENT, "ENOENT"]);
    assertEquals(
      converted.message,
      'Cannot store chunk in "/proc/backy": No such file or directory (ENOENT)',
    );
    assert(converted.cause === error);
  }
  const own = missing("ab");
  assert(toOsError(own, "Cannot", "") === own);
  const bug = new TypeError("x");
  assert(toOsError(bug, "Cannot", "") === bug);
});
