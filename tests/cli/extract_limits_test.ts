/**
 * Limits of the process: whatever they are, the target ends up right or untouched, and what can be
 * said is said.
 */

import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { ControlGroup, groupFolder } from "../support/control_group.ts";
import { OwnDenoDir } from "../support/own_deno_dir.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import type { Outcome } from "../support/tool.ts";
import { extract, messagesOf } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const OLD = "what was there before";
const GIB = 2 ** 30;

let store: SampleStore;
let denoDir: OwnDenoDir;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  denoDir = new OwnDenoDir();
});
Deno.test.afterAll(() => {
  store[Symbol.dispose]();
  denoDir[Symbol.dispose]();
});

const prlimit = programProblem("prlimit");

/** Restores under limits and asserts what holds under all of them. */
async function restoreUnder(limits: string, options: readonly string[]): Promise<Outcome> {
  const output = store.file("image", OLD);
  const outcome = await extract([...options, store.revision.path, output], {
    shell: `ulimit -c 0; exec prlimit ${limits} -- "$@"`,
    env: denoDir.env,
  });
  const { code, stderr } = outcome;
  if (code === 0) assertBytes(Deno.readFileSync(output), store.image);
  else assertEquals(Deno.readTextFileSync(output), OLD, `${limits}: ${stderr}`);
  // Before that the runtime has the say.
  if (hasBegun(outcome)) {
    assert(code <= 1 && !stderr.includes("panicked"), `${limits}: ${code} ${stderr}`);
  }
  return outcome;
}

/** Whether the tool has begun to read the backup. */
function hasBegun({ stderr }: Outcome): boolean {
  return stderr.includes("Obtaining purge lock");
}

/** The number of workers that a restore had; 0 if it had none. */
function workersOf({ stderr }: Outcome): number {
  return Number(/ with (\d+) workers?$/m.exec(stderr)?.[1] ?? 0);
}

/** Restores under ever higher limits, until four workers fit. */
async function raise(limits: Iterable<string>, name: string): Promise<void> {
  const counts = new Set<number>();
  for (const limit of limits) {
    const outcome = await restoreUnder(limit, ["-t", "4"]);
    const workers = workersOf(outcome);
    counts.add(workers);
    const said = messagesOf(outcome.stderr).join("\n") + outcome.stderr;
    if (hasBegun(outcome) && workers === 0) {
      const refusals = [`Cannot start a worker: the limit of ${name}`, "(EMFILE); raise the limit"];
      assert(refusals.some((refusal) => said.includes(refusal)), said);
    }
    if (workers > 0 && workers < 4) {
      const why = `Using ${workers} of 4 workers: the limit of ${name} leaves no room for more`;
      assert(said.includes(why), said);
    }
    if (workers === 4) break;
  }
  assert(counts.has(1) && counts.has(4), `${[...counts]}`);
}

function* steps(from: number, to: number, by: number): Generator<number, void> {
  for (let value = from; value <= to; value += by) yield value;
}

testUnless(prlimit, "Few descriptors: fewer workers, down to one, then a refusal", async () => {
  const limits = [...steps(4, 80, 4)].map((count) => `--nofile=${count}:${count}`);
  await raise(limits, "open files (ulimit -n, fs.file-max)");
});

testUnless(prlimit, "The soft limit of descriptors is raised to the hard one", async () => {
  const outcome = await restoreUnder("--nofile=30:1000", ["-t", "16"]);
  assertEquals(outcome.code, 0, outcome.stderr);
  assertEquals(workersOf(outcome), 16);
});

testUnless(prlimit, "Little address space: fewer workers", async () => {
  // Below some 40 GiB the runtime may fail to start.
  for (const gib of [1, 30, 36, 40, 44, 60, 100]) {
    await restoreUnder(`--as=${gib * GIB}`, ["-t", "8"]);
  }
  const outcome = await restoreUnder(`--as=${100 * GIB}`, ["-t", "32"]);
  assertEquals(outcome.code, 0, outcome.stderr);
  const workers = workersOf(outcome);
  assert(workers >= 8 && workers < 32, `${workers}`);
});

testUnless(prlimit, "Small and large stacks", async () => {
  for (const kib of [32, 128, 256, 1024, 65_536]) {
    await restoreUnder(`--stack=${kib * 1024}`, ["-t", "2"]);
  }
  assertEquals((await restoreUnder("--stack=unlimited", ["-t", "2"])).code, 0);
});

/** Restores in a new control group. */
async function restoreInGroup(folder: string, limits: Record<string, number>): Promise<Outcome> {
  using group = new ControlGroup(folder, limits);
  const output = store.file("image", OLD);
  const outcome = await extract(["-t", "4", store.revision.path, output], {
    shell: `ulimit -c 0; ${group.enter}; exec "$@"`,
    env: denoDir.env,
  });
  if (outcome.code === 0) assertBytes(Deno.readFileSync(output), store.image);
  else assertEquals(Deno.readTextFileSync(output), OLD, `${outcome.code} ${outcome.stderr}`);
  return outcome;
}

const memory = groupFolder("memory"), pids = groupFolder("pids");

testUnless(
  "problem" in memory ? memory.problem : null,
  "Little memory in a control group: fewer workers, a refusal, or killed before the target is touched",
  async () => {
    assert("folder" in memory);
    const mib = 1_048_576;
    const restore = (amount: number) =>
      restoreInGroup(memory.folder, {
        "memory.limit_in_bytes": amount * mib,
        "memory.max": amount * mib,
        "memory.swap.max": 0,
      });
    const little = await restore(16);
    assert(little.code !== 0, little.stderr);
    const enough = await restore(1024);
    assertEquals([enough.code, workersOf(enough)], [0, 4], enough.stderr);
  },
);

testUnless(
  "problem" in pids ? pids.problem : null,
  "Few threads in a control group: fewer workers, or a refusal",
  async () => {
    assert("folder" in pids);
    const counts = new Set<number>();
    for (let count = 1; count <= 64 && !counts.has(4); count += 2) {
      const outcome = await restoreInGroup(pids.folder, { "pids.max": count });
      counts.add(workersOf(outcome));
      if (hasBegun(outcome)) assert(outcome.code <= 1, `${outcome.code} ${outcome.stderr}`);
    }
    // From source the runtime's own start takes more than some workers.
    assert(counts.has(0) && counts.has(4), `${[...counts]}`);
  },
);

testUnless(prlimit, "check and a dry run take fewer workers too, or refuse", async () => {
  const shell = 'exec prlimit --nofile=44:44 -- "$@"';
  const refused = 'exec prlimit --nofile=24:24 -- "$@"';
  for (const args of [["check", store.revision.path], ["-n", store.revision.path, "-"]]) {
    const outcome = await extract([...args, "-t", "16"], { shell, env: denoDir.env });
    assertEquals(outcome.code, 0, outcome.stderr);
    assert(
      /Using [12] of 16 workers: the limit of open files/.test(outcome.stderr),
      outcome.stderr,
    );
    const failed = await extract([...args, "-t", "16"], {
      shell: refused,
      env: denoDir.env,
    });
    assertEquals(failed.code, 1, failed.stderr);
    assert(!failed.stderr.includes("panicked"), failed.stderr);
  }
});
