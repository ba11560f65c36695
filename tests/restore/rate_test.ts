import { assert, assertEquals } from "../assert.ts";
import type { PoolProgress } from "../../lib/work/pool.ts";
import { check } from "../../lib/check/check.ts";
import { assertBytes } from "../support/bytes.ts";
import { CHUNK_BYTES, Scene } from "./scene.ts";

/** Time that is made up for, see `lib/work/throttle.ts`, and differences of clocks. */
const TOLERANCE_MS = 130;

Deno.test("restore() and check() read chunk files no faster than they are told", async () => {
  using scene = new Scene();
  const { path, image } = scene.store.add("Revision", "abcab");
  const output = scene.file();
  const { report: unlimited } = await scene.restore({ revision: path, output });
  const readBytesPerSecond = Math.ceil(unlimited.readBytes * 2.5);
  for (const how of [{ output }, { output, update: true }, {}]) {
    if (how.output !== undefined) Deno.removeSync(output);
    const { report } = await scene.restore({ revision: path, readBytesPerSecond, ...how });
    const neededMs = report.readBytes / readBytesPerSecond * 1000 - TOLERANCE_MS;
    assert(report.elapsedMs >= neededMs, `${report.elapsedMs} ms, not ${neededMs}`);
    if (how.output !== undefined) assertBytes(Deno.readFileSync(output), image);
  }
  const report = await check({ revisions: [path], threads: 2, readBytesPerSecond });
  assertEquals(report.readBytes, unlimited.readBytes);
  assert(report.elapsedMs >= 400 - TOLERANCE_MS, `${report.elapsedMs} ms`);
});

Deno.test("Progress is never ahead of the rate at which chunk files are read", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "abcd");
  const { report } = await scene.restore({ revision: path, output: scene.file() });
  const readBytesPerSecond = Math.ceil(report.readBytes * 2);
  let progress: (() => PoolProgress) | undefined;
  let startMs = 0, most = 0;
  const timer = setInterval(() => {
    if (!progress) return;
    const { readBytes } = progress();
    const allowedBytes = (performance.now() - startMs + TOLERANCE_MS) / 1000 * readBytesPerSecond;
    most = Math.max(most, readBytes / allowedBytes);
  }, 5);
  const options = { revision: path, output: scene.file(), readBytesPerSecond, threads: 4 };
  await scene.restore({
    ...options,
    onEvent(event) {
      if (event.type !== "restoring") return;
      progress = event.progress;
      startMs = performance.now();
    },
  });
  clearInterval(timer);
  assert(most > 0 && most <= 1, `${most}`);
});

Deno.test("Holes that an update finds in place of zeros are told apart from work", async () => {
  using scene = new Scene();
  const { path } = scene.store.add("Revision", "a....b");
  const output = scene.file();
  await scene.restore({ revision: path, output });
  let progress: (() => PoolProgress) | undefined;
  await scene.restore({
    revision: path,
    output,
    update: true,
    onEvent(event) {
      if (event.type === "restoring") progress = event.progress;
    },
  });
  const { imageBytes, freeBytes } = progress!();
  assertEquals([imageBytes, freeBytes], [6 * CHUNK_BYTES, 4 * CHUNK_BYTES]);
});
