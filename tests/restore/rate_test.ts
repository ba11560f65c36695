import { assert, assertEquals } from "../assert.ts";
import { check } from "../../lib/check/check.ts";
import { assertImage } from "../cli/harness.ts";
import { Scene } from "./scene.ts";

/** Time that is made up for, see `lib/restore/throttle.ts`, and differences of clocks. */
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
    if (how.output !== undefined) assertImage(Deno.readFileSync(output), image);
  }
  const report = await check({ revisions: [path], threads: 2, readBytesPerSecond });
  assertEquals(report.readBytes, unlimited.readBytes);
  assert(report.elapsedMs >= 400 - TOLERANCE_MS, `${report.elapsedMs} ms`);
});
