import { BadChunkWarnings, type Reporter } from "../../lib/cli/reporter.ts";
import { assertEquals } from "../assert.ts";

/** The warnings for this many bad chunks. */
function warningsOf(count: number): string[] {
  const said: string[] = [];
  const reporter: Pick<Reporter, "warn"> = { warn: (text) => void said.push(text) };
  const warnings = new BadChunkWarnings(reporter as Reporter);
  for (let at = 1; at <= count; at++) warnings.tell(`chunk ${at}`);
  warnings.end();
  warnings.end();
  return said;
}

Deno.test("BadChunkWarnings names the first ten chunks, and then how many more there were", () => {
  const ten = Array.from({ length: 10 }, (_, at) => `chunk ${at + 1}`);
  assertEquals(warningsOf(0), []);
  assertEquals(warningsOf(1), ["chunk 1"]);
  assertEquals(warningsOf(10), ten);
  assertEquals(warningsOf(11), [...ten, "1 more chunk missing or corrupt"]);
  assertEquals(warningsOf(1245), [...ten, "1,235 more chunks missing or corrupt"]);
});
