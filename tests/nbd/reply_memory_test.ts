import { ReplyMemory } from "../../lib/nbd/reply_memory.ts";
import { assert, assertEquals } from "../assert.ts";

Deno.test("ReplyMemory has room for what is asked, and gives each piece to one at a time", () => {
  const memory = new ReplyMemory();
  const first = memory.take(262_172), second = memory.take(262_172);
  assert(first.length >= 262_172);
  assert(first.length < 2 * 262_172);
  assert(first.buffer !== second.buffer);
  memory.giveBack(first);
  assert(memory.take(200_000) === first);
  assert(memory.take(200_000) !== first);
});

Deno.test("ReplyMemory keeps no more than a few of the largest replies", () => {
  const memory = new ReplyMemory();
  const pieces = Array.from({ length: 100 }, () => memory.take(1_048_576));
  for (const piece of pieces) memory.giveBack(piece);
  const again = Array.from({ length: 100 }, () => memory.take(1_048_576));
  const kept = again.filter((piece) => pieces.includes(piece)).length;
  assertEquals(kept, 15);
  memory.giveBack(memory.take(33 * 1_048_576));
});
