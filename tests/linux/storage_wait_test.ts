import { measureWait } from "../../lib/linux/storage_wait.ts";
import { libc } from "../../lib/linux/libc.ts";
import { assert, assertEquals } from "../assert.ts";

Deno.test("measureWait() counts sleeping, not computing", () => {
  const sleep = measureWait(() => libc.poll(new Uint8Array(8), 0n, 20));
  assertEquals(sleep.result, 0);
  assert(sleep.waitMs >= 20, `${sleep.waitMs}`);
  // It may sleep while it computes, for a lock or for a page of its program, but not always.
  const computing = Array.from({ length: 50 }, () =>
    measureWait(() => {
      const end = performance.now() + 2;
      while (performance.now() < end);
    }).waitMs);
  assert(computing.includes(0), `${computing}`);
});
