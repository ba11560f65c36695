import { createThrottle, Throttle } from "../../lib/work/throttle.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { randomFrom } from "../support/random.ts";
import type { ThrottleJob } from "./throttle_worker.ts";

const RATE = 1_000_000;

/** A throttle of 1 MB/s whose clock goes on only while somebody sleeps, and its sleeps. */
function setUp(options: { shouldStop?: () => boolean; bytesPerSecond?: number } = {}) {
  // As large as real time, so that rounding is the same.
  const clock = { ms: 1_800_000_000_000 };
  const start = clock.ms;
  const sleeps: number[] = [];
  const now = () => clock.ms;
  const handle = createThrottle(options.bytesPerSecond ?? RATE);
  const view = () =>
    new Throttle(handle, {
      shouldStop: options.shouldStop ?? (() => false),
      now,
      sleep(ms) {
        sleeps.push(ms);
        clock.ms += ms;
      },
    });
  return { clock, sleeps, handle, view, elapsedMs: () => clock.ms - start };
}

Deno.test("Throttle.pay() returns when the bytes are within the limit", () => {
  const { view, sleeps, elapsedMs } = setUp();
  const throttle = view();
  throttle.pay(50_000);
  assertEquals([sleeps, elapsedMs()], [[50], 50]);
  throttle.pay(100_000);
  assertEquals(elapsedMs(), 150);
  throttle.pay(0);
  assertEquals(elapsedMs(), 150);
});

Deno.test("Throttle.pay() sleeps in slices of at most 200 ms", () => {
  const { view, sleeps } = setUp();
  view().pay(500_000);
  assertEquals(sleeps, [200, 200, 100]);
});

Deno.test("Throttle.pay() sleeps again when woken early", () => {
  const { handle, clock } = setUp();
  const start = clock.ms;
  let sleeps = 0;
  const sleep = (ms: number) => {
    sleeps++;
    clock.ms += ms / 2 + 0.01;
  };
  new Throttle(handle, { shouldStop: () => false, now: () => clock.ms, sleep }).pay(100_000);
  assert(sleeps > 3 && clock.ms - start >= 100);
});

Deno.test("Throttle.pay() counts the time that the work took", () => {
  const { view, sleeps, clock } = setUp();
  const throttle = view();
  throttle.pay(100_000);
  clock.ms += 60;
  throttle.pay(100_000);
  assertEquals(sleeps, [100, 40]);
});

Deno.test("Throttle makes up for at most 100 ms of unused time", () => {
  const { view, sleeps, clock } = setUp();
  const throttle = view();
  throttle.pay(10_000);
  clock.ms += 3_600_000;
  throttle.pay(90_000);
  assertEquals(sleeps, [10]);
  throttle.pay(110_000);
  assertEquals(sleeps, [10, 100]);
});

Deno.test("Throttle begins with the first payment, without credit", () => {
  const { view, clock, sleeps } = setUp();
  clock.ms += 5000;
  view().pay(1000);
  assertEquals(sleeps, [1]);
});

Deno.test("Throttle is one limit for all its views", () => {
  const { view, elapsedMs } = setUp();
  const views = [view(), view(), view()];
  for (let i = 0; i < 30; i++) views[i % 3]!.pay(10_000);
  assertEquals(elapsedMs(), 300);
});

Deno.test("Throttle keeps the limit whatever the payments are", () => {
  for (const bytesPerSecond of [1, 7, 1000, RATE, 3 * 2 ** 30, 2 ** 53 - 1]) {
    const { view, clock, elapsedMs } = setUp({ bytesPerSecond });
    const throttle = view();
    const random = randomFrom(bytesPerSecond % 1000);
    let bytes = 0, creditMs = 0;
    for (let i = 0; i < 300; i++) {
      const payment = random(Math.max(2, Math.min(bytesPerSecond / 50, 2 ** 22)));
      throttle.pay(payment);
      bytes += payment;
      // A pause gives credit only for its first 100 ms.
      const pauseMs = random(20) === 0 ? random(400) : 0;
      clock.ms += pauseMs;
      creditMs += Math.max(0, pauseMs - 100);
    }
    // The clock's own numbers are exact to 0.25 µs.
    const neededMs = bytes / bytesPerSecond * 1000 - 100;
    assert(elapsedMs() - creditMs >= neededMs - 0.1, `${elapsedMs() - creditMs} < ${neededMs}`);
  }
});

Deno.test("Throttle keeps the limit for many payments of less than a microsecond", () => {
  const { view, elapsedMs } = setUp({ bytesPerSecond: 10_000_000 });
  const throttle = view();
  for (let i = 0; i < 100_000; i++) throttle.pay(1);
  assert(elapsedMs() >= 10, `${elapsedMs()} ms`);
});

Deno.test("Throttle.pay() returns when it should stop", () => {
  let asked = 0;
  const { view, sleeps } = setUp({ shouldStop: () => ++asked > 3, bytesPerSecond: 1 });
  view().pay(4_194_304);
  assertEquals(sleeps, [200, 200, 200]);
  view().pay(4_194_304);
  assertEquals(sleeps.length, 3);
});

Deno.test("Throttle refuses a limit or a number of bytes that is not valid", () => {
  for (const rate of [0, -1, NaN, Infinity]) {
    assertThrows(() => createThrottle(rate), RangeError, `${rate}`);
  }
  const { view, sleeps } = setUp();
  for (const bytes of [-1, NaN, Infinity]) {
    assertThrows(() => view().pay(bytes), RangeError, `${bytes}`);
  }
  assertEquals(sleeps, []);
});

Deno.test("Throttle survives numbers that are too large for it", () => {
  const { view, handle } = setUp({ shouldStop: () => true, bytesPerSecond: 1 });
  for (let i = 0; i < 100; i++) view().pay(Number.MAX_SAFE_INTEGER);
  assert(Atomics.load(handle.cells, 0) > 0n);
});

Deno.test("Throttle limits workers together", async () => {
  const workers = [0, 1].map(() =>
    new Worker(import.meta.resolve("./throttle_worker.ts"), { type: "module" })
  );
  try {
    const bytesPerSecond = 10_000_000;
    const handle = createThrottle(bytesPerSecond);
    const startMs = performance.now();
    await Promise.all(workers.map((worker) =>
      new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
        worker.postMessage(
          { handle, payments: 25, bytes: 100_000 } satisfies ThrottleJob,
        );
      })
    ));
    const elapsedMs = performance.now() - startMs;
    // 5 MB take 500 ms, less a burst of 100 ms and 20 ms by which clocks differ.
    assert(elapsedMs >= 500 - 100 - 20, `${elapsedMs} ms`);
  } finally {
    for (const worker of workers) worker.terminate();
  }
});
