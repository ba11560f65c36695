/**
 * Each fuzzer for a short while, always from the same seed, and every input that once found a
 * fault.
 */

import { assert, assertEquals } from "../assert.ts";
import { type FuzzTarget, inputOf } from "./fuzz_target.ts";
import { fuzz, inputOfRound, tryInput } from "./runner.ts";
import { FUZZ_TARGETS } from "./targets.ts";

const SEED = 20190113;
const MILLISECONDS = 1500;
const LEAST_ROUNDS = 8;

/** Inputs that found a fault, by target; the folder's names are those of the targets. */
function findingsOf(name: string): URL[] {
  const folder = new URL(`findings/${name}/`, import.meta.url);
  try {
    return [...Deno.readDirSync(folder)].map((entry) => new URL(entry.name, folder));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

for (const target of FUZZ_TARGETS) {
  Deno.test(`Fuzzer ${target.name}: ${target.promise} [seed ${SEED}]`, async () => {
    const options = { seed: SEED, milliseconds: MILLISECONDS, leastRounds: LEAST_ROUNDS };
    const { rounds, taken, finding } = await fuzz(target, options);
    assertEquals(finding?.problem, undefined, `round ${finding?.round}`);
    assert(taken >= target.leastTaken * rounds, `${taken} of ${rounds} were taken`);
  });

  const findings = findingsOf(target.name);
  if (findings.length === 0) continue;
  Deno.test(`Fuzzer ${target.name}: findings stay mended`, async () => {
    for (const file of findings) {
      assertEquals(await tryInput(target, Deno.readFileSync(file)), null, file.href);
    }
  });
}

Deno.test("Every folder of findings belongs to a fuzzer", () => {
  const names: readonly string[] = FUZZ_TARGETS.map(({ name }) => name);
  for (const { name, isDirectory } of Deno.readDirSync(new URL("findings/", import.meta.url))) {
    assert(!isDirectory || names.includes(name), name);
  }
});

Deno.test("A fuzzer's rounds can be repeated, and what it throws is a finding", async () => {
  const wrong: FuzzTarget = {
    name: "wrong",
    promise: "",
    leastTaken: 0,
    generate: (random) => inputOf(`${random(1000)}`),
    check: (input) => {
      if (input.length < 3) throw new Error("too short");
      return true;
    },
  };
  const { finding, rounds, taken } = await fuzz(wrong, { seed: 7, milliseconds: 60_000 });
  assert(finding !== null && finding.problem.includes("too short"));
  assertEquals(inputOfRound(wrong, 7, finding.round), finding.input);
  assertEquals([rounds, taken], [finding.round + 1, finding.round]);
});
