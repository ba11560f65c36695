import { PassedPages } from "../../lib/pages/passed_pages.ts";
import { assertEquals } from "../assert.ts";

const RUN = { isRun: true }, OTHER = { isRun: false };

/** Notes that chunks were loaded for a sequential reader and passed. */
function passAll(pages: PassedPages, keys: readonly string[]): void {
  for (const key of keys) {
    pages.noteLoad(key, RUN);
    pages.noteUse(key, RUN);
    pages.pass(key);
  }
}

const names = (count: number, prefix = "") =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

Deno.test("PassedPages gives what was passed, in order, but for the last two", () => {
  const pages = new PassedPages(100);
  passAll(pages, names(5));
  assertEquals([...pages.reusable()], ["0", "1", "2"]);
  pages.remove("1");
  assertEquals([...pages.reusable()], ["0", "2"]);
  // Another sequential reader asks for it: it is passed once more.
  pages.noteUse("0", RUN);
  assertEquals([...pages.reusable()], ["2"]);
  pages.pass("0");
  assertEquals([...pages.reusable()], ["2", "3"]);
});

Deno.test("PassedPages never gives what was asked for out of sequence, or loaded for others", () => {
  const pages = new PassedPages(100);
  passAll(pages, names(9));
  for (const key of names(9)) pages.noteUse(key, OTHER);
  pages.noteLoad("demanded", OTHER);
  for (const key of [...names(9), "demanded", "unknown"]) pages.pass(key);
  assertEquals([...pages.reusable()], []);
});

Deno.test("PassedPages stops for a while when a page is missed that was used again", () => {
  const pages = new PassedPages(100);
  passAll(pages, names(10));
  pages.noteReuse("0");
  pages.remove("0");
  pages.noteLoad("0", RUN);
  assertEquals([...pages.reusable()], []);
  passAll(pages, names(7, "next"));
  assertEquals([...pages.reusable()], []);
  // Now all that were passed meanwhile are used again.
  passAll(pages, ["last"]);
  assertEquals([...pages.reusable()].at(-1), "next5");
});

Deno.test("PassedPages stops for as long as readers follow others", () => {
  const pages = new PassedPages(100);
  passAll(pages, names(10));
  pages.noteReuse("0");
  pages.remove("0");
  pages.noteLoad("0", RUN);
  const run = names(50, "run");
  for (const [index, key] of run.entries()) {
    passAll(pages, [key]);
    if (index >= 5) passFollowing(pages, run[index - 5]!);
    assertEquals([...pages.reusable()], []);
  }
});

/** Notes that a second reader has read and passed a chunk. */
function passFollowing(pages: PassedPages, key: string): void {
  pages.noteUse(key, RUN);
  pages.pass(key);
}
