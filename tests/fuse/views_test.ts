import { noteWrite, View } from "../../lib/fuse/views.ts";
import { assertEquals } from "../assert.ts";

function setUp() {
  const whole = new View(3, 0, null);
  const first = new View(10, 1000, 500), second = new View(11, 1500, 500);
  return { whole, first, second, all: [whole, first, second] };
}

Deno.test("noteWrite() names what other open files show of the bytes", () => {
  const { whole, first, second, all } = setUp();
  for (const view of all) view.open();
  assertEquals(noteWrite(all, whole, { offset: 1400, length: 200 }), [
    { ino: 10, offset: 400, length: 100 },
    { ino: 11, offset: 0, length: 100 },
  ]);
  assertEquals(noteWrite(all, first, { offset: 1000, length: 1 }), [
    { ino: 3, offset: 1000, length: 1 },
  ]);
  assertEquals(noteWrite(all, whole, { offset: 999, length: 1 }), []);
  assertEquals(noteWrite(all, whole, { offset: 2000, length: 9 }), []);
  assertEquals(noteWrite([second], whole, { offset: 1999, length: 9 }), [
    { ino: 11, offset: 499, length: 1 },
  ]);
});

Deno.test("View.open() keeps the kernel's cache unless the file was written through another", () => {
  const { whole, first, second, all } = setUp();
  assertEquals(first.open(), { keepCache: true });
  first.close({ wasRefused: false });
  assertEquals(noteWrite(all, whole, { offset: 1400, length: 10 }), []);
  assertEquals([whole.open(), first.open(), second.open()], [
    { keepCache: true },
    { keepCache: false },
    { keepCache: true },
  ]);
  assertEquals(first.open(), { keepCache: true });
});

Deno.test("View.open() drops the cache again if the kernel never heard of the first try", () => {
  const { whole, first, all } = setUp();
  noteWrite(all, whole, { offset: 1400, length: 10 });
  assertEquals(first.open(), { keepCache: false });
  first.close({ wasRefused: true });
  assertEquals(first.open(), { keepCache: false });
  first.close({ wasRefused: false });
  assertEquals(first.open(), { keepCache: true });
});
