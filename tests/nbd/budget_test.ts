import { assertEquals } from "../assert.ts";
import { Budget, type Share } from "../../lib/nbd/budget.ts";
import { PagePool } from "../../lib/pages/page_pool.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";

const MIB = 1_048_576;

/** Has requests enter until one must wait. @returns Bytes under way. */
async function fill(share: Share, bytes: number): Promise<number> {
  for (;;) {
    const before = share.used;
    void share.enter(bytes);
    await Promise.resolve();
    if (share.used === before) return before;
  }
}

Deno.test("Budget bounds one client, and all together; each has a piece of its own", async () => {
  const budget = new Budget(0);
  let sum = await fill(budget.share(), CHUNK_BYTES);
  assertEquals(sum, 16 * MIB);
  const least: number[] = [];
  for (let count = 1; count < 64; count++) {
    const used = await fill(budget.share(), 32 * MIB);
    least.push(used);
    sum += used;
  }
  assertEquals(sum, 512 * MIB);
  assertEquals(Math.min(...least), CHUNK_BYTES);
});

Deno.test("Budget: what is done makes room for whoever waits, and leaves nothing behind", async () => {
  const budget = new Budget(0);
  for (let round = 0; round < 3; round++) {
    const shares = Array.from({ length: 21 }, () => budget.share());
    const costs = await Promise.all(
      shares.map(async (share) => {
        const costs: number[] = [];
        while (share.used < 16 * MIB) costs.push(await share.enter(2 * MIB));
        return costs;
      }),
    );
    // Of what is there for all, 4 MiB are left.
    const other = budget.share();
    const first = [await other.enter(CHUNK_BYTES), await other.enter(CHUNK_BYTES)];
    let hasEntered = false;
    const waiting = other.enter(CHUNK_BYTES).then((cost) => {
      hasEntered = true;
      return cost;
    });
    await Promise.resolve();
    assertEquals(hasEntered, false);
    shares.forEach((share, index) => costs[index]!.forEach((cost) => share.leave(cost)));
    await Promise.all(shares.map((share) => share.empty()));
    // It asks again when one of its own is done.
    other.leave(first.pop()!);
    other.leave(await waiting);
    other.leave(first.pop()!);
    await other.empty();
  }
});

Deno.test("Budget keeps so many pages, however often each is sent", () => {
  const pool = new PagePool(0);
  const budget = new Budget(2 * CHUNK_BYTES);
  const [a, b, c] = [pool.take(), pool.take(), pool.take()];
  assertEquals(budget.mayKeep([a]), true);
  assertEquals(budget.mayKeep([a, b]), true);
  assertEquals(budget.mayKeep([a, c]), false);
  assertEquals(budget.mayKeep([]), true);
  budget.endKeeping([a]);
  assertEquals(budget.mayKeep([c]), false);
  budget.endKeeping([a, b]);
  assertEquals(budget.mayKeep([c, b]), true);
});
