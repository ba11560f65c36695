import { cString, libc } from "../../lib/linux/libc.ts";
import { withSearchPath } from "../../lib/linux/search_path.ts";
import { assertEquals, assertThrows } from "../assert.ts";

const NAME = cString("PATH");

/** PATH as C has it, byte by byte in Latin-1; `null` if it is unset. */
function path(): string | null {
  const pointer = libc.getenv(NAME);
  if (pointer === null) return null;
  const view = new Deno.UnsafePointerView(pointer);
  let text = "";
  for (let at = 0; view.getUint8(at) !== 0; at++) text += String.fromCharCode(view.getUint8(at));
  return text;
}

Deno.test("withSearchPath() puts folders in front of PATH, and PATH back afterwards", () => {
  const original = path();
  try {
    // The second is not UTF-8.
    for (const before of ["/a:/b", "/\xff", ""]) {
      libc.setenv(NAME, Uint8Array.from(`${before}\0`, (char) => char.charCodeAt(0)), 1);
      assertEquals(withSearchPath(["/x", "/y"], path), `/x:/y:${before}`);
      assertEquals(path(), before);
      assertThrows(() => withSearchPath(["/x"], () => fail()), Error, "in C");
      assertEquals(path(), before);
    }
    libc.unsetenv(NAME);
    assertEquals(withSearchPath(["/x"], path), "/x:/bin:/usr/bin");
    assertEquals(path(), null);
  } finally {
    if (original === null) libc.unsetenv(NAME);
    else libc.setenv(NAME, Uint8Array.from(`${original}\0`, (char) => char.charCodeAt(0)), 1);
  }
});

function fail(): never {
  throw new Error("in C");
}
