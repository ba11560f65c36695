import { assert, assertEquals } from "../assert.ts";
import { RateEstimator } from "../../lib/cli/rate_estimator.ts";

const MIB = 2 ** 20;

Deno.test("RateEstimator gives no rate before it knows enough", () => {
  const estimator = new RateEstimator();
  assertEquals([estimator.bytesPerSecond, estimator.etaSeconds(1)], [null, null]);
  estimator.add(0, 0);
  for (const ms of [100, 1000, 1999]) {
    estimator.add(ms, 50 * MIB);
    assertEquals([estimator.bytesPerSecond, estimator.etaSeconds(1)], [null, null]);
  }
  estimator.add(2000, 200 * MIB);
  assertEquals([estimator.bytesPerSecond, estimator.etaSeconds(200 * MIB)], [100 * MIB, 2]);
  assertEquals([0, -1, NaN].map((bytes) => estimator.etaSeconds(bytes)), [0, 0, 0]);
});

Deno.test("RateEstimator follows a change of speed within its window", () => {
  const estimator = new RateEstimator();
  for (let second = 0; second <= 60; second++) estimator.add(second * 1000, second * 100 * MIB);
  assertEquals(estimator.bytesPerSecond, 100 * MIB);
  for (let second = 1; second <= 15; second++) {
    estimator.add((60 + second) * 1000, 6000 * MIB + second * 10 * MIB);
  }
  assertEquals(estimator.bytesPerSecond, 10 * MIB);
});

Deno.test("RateEstimator is not taken in by a fast start", () => {
  const estimator = new RateEstimator();
  // A cache takes 3 GiB in 3 s, then the disk takes 100 MiB a second.
  const doneAt = (second: number) => Math.min(second, 3) * 1024 + Math.max(0, second - 3) * 100;
  for (let tenth = 0; tenth <= 80; tenth++) estimator.add(tenth * 100, doneAt(tenth / 10) * MIB);
  const rate = (estimator.bytesPerSecond ?? NaN) / MIB;
  assert(rate > 99 && rate < 101, `${rate}`);
});

Deno.test("RateEstimator looks back far enough where the pieces of work are large", () => {
  const estimator = new RateEstimator();
  // Four workers that begin together, each with 4 MiB every 4 s.
  for (let tenth = 0; tenth <= 140; tenth++) {
    estimator.add(tenth * 100, 16 * MIB * Math.floor(tenth / 40));
    const rate = estimator.bytesPerSecond;
    if (tenth >= 40) assert(rate !== null && rate > 2 * MIB && rate <= 4 * MIB, `${rate}`);
  }
});

Deno.test("RateEstimator lets the ETA grow while work stands still, and recovers", () => {
  const estimator = new RateEstimator();
  const remaining = 1000 * MIB;
  for (let second = 0; second <= 20; second++) estimator.add(second * 1000, second * 100 * MIB);
  let last = estimator.etaSeconds(remaining) ?? NaN;
  assertEquals(last, 10);
  for (let second = 36; second <= 400; second += 4) {
    estimator.add(second * 1000, 2000 * MIB);
    const eta = estimator.etaSeconds(remaining) ?? NaN;
    assertEquals(estimator.bytesPerSecond, 0);
    if (second > 36) assert(eta > last, `${eta} at ${second} s, ${last} before`);
    last = eta;
  }
  for (let second = 401; second <= 420; second++) {
    estimator.add(second * 1000, 2000 * MIB + (second - 400) * 100 * MIB);
  }
  assertEquals(estimator.etaSeconds(remaining), 10);
});

Deno.test("RateEstimator stays finite and not negative whatever it gets", () => {
  const times = [0, 0, -5, 10, NaN, 1e9, Infinity, 1e9 + 1, 1e9 + 2000];
  const bytes = [0, 1, NaN, -1, Infinity, 2 ** 53, 5];
  const estimator = new RateEstimator();
  for (const atMs of times) {
    for (const done of bytes) {
      estimator.add(atMs, done);
      for (
        const value of [
          estimator.bytesPerSecond,
          estimator.etaSeconds(2 ** 53),
          estimator.etaSeconds(1),
        ]
      ) {
        assert(value === null || (Number.isFinite(value) && value >= 0), String(value));
      }
    }
  }
});

Deno.test("RateEstimator gives the same rate however often it is updated", () => {
  const estimator = new RateEstimator();
  for (let ms = 0; ms <= 30_000; ms++) estimator.add(ms, ms * 1000);
  const rate = estimator.bytesPerSecond ?? NaN;
  assert(Math.abs(rate - 1e6) < 1, String(rate));
});

/** What a terminal shows after the given output: its finished lines, and the line of the cursor. */
