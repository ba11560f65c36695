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
  assertEquals(sum, 64 * MIB);
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
    const shares = Array.from({ length: 6 }, () => budget.share());
    const costs = await Promise.all(
      shares.map(async (share) => {
        const costs: number[] = [];
        while (share.used + 2 * MIB <= 40 * MIB) costs.push(await share.enter(2 * MIB));
        return costs;
      }),
    );
    // 240 MiB, of which 24 are the clients' own: another one gets what is left of the 256.
    const other = budget.share();
    assertEquals(await fill(other, CHUNK_BYTES), 44 * MIB);
    const waiting = other.enter(0);
    shares.forEach((share, index) => costs[index]!.forEach((cost) => share.leave(cost)));
    await Promise.all(shares.map((share) => share.empty()));
    void waiting;
    // Those that waited above enter as well.
    while (other.used > 0) {
      other.leave(Math.min(other.used, CHUNK_BYTES));
      await Promise.resolve();
    }
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
