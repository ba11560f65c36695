import { Errno, errnoName } from "../../lib/linux/errno.ts";
import { assertEquals } from "../assert.ts";

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
