/**
 * `deno task fuzz [TARGET...] [--seed=N] [--seconds=S] [--replay=FILE]`: fuzzes all targets or
 * some, for 10 seconds each or S. Findings are kept in `findings/`, and a test replays them.
 *
 * @module
 */

import { FUZZ_TARGETS } from "./targets.ts";
import type { FuzzTarget } from "./fuzz_target.ts";
import type { FuzzOrder } from "./fuzz_worker.ts";
import { type Finding, type FuzzResult, inputOfRound, tryInput } from "./runner.ts";

/** A round that takes this long hangs. */
const HANG_MS = 60_000;

const FINDINGS = new URL("findings/", import.meta.url);

interface Arguments {
  readonly targets: readonly FuzzTarget[];
  readonly seed: number;
  readonly seconds: number;
  readonly replay: string | null;
}

function parseArguments(args: readonly string[]): Arguments {
  const values = new Map<string, string>();
  const names: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const [, name, value] = /^--(seed|seconds|replay)(?:=(.*))?$/.exec(args[at]!) ?? [];
    if (name === undefined) names.push(args[at]!);
    else values.set(name, value ?? args[++at] ?? "");
  }
  const numberOf = (name: string, absent: number) => {
    const number = Number(values.get(name) ?? absent);
    if (!Number.isFinite(number)) throw new TypeError(`Cannot take --${name}: not a number`);
    return number;
  };
  const unknown = names.find((name) => !FUZZ_TARGETS.some((target) => target.name === name));
  if (unknown !== undefined) {
    const all = FUZZ_TARGETS.map(({ name }) => name).join(", ");
    throw new TypeError(`Cannot fuzz "${unknown}": there are ${all}`);
  }
  return {
    targets: FUZZ_TARGETS.filter(({ name }) => names.length === 0 || names.includes(name)),
    seed: numberOf("seed", crypto.getRandomValues(new Int32Array(1))[0]! >>> 1),
    seconds: numberOf("seconds", 10),
    replay: values.get("replay") ?? null,
  };
}

/** Runs a fuzzer in a worker. A round that does not end is a finding too. */
function run(target: FuzzTarget, seed: number, milliseconds: number): Promise<FuzzResult> {
  const round = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("fuzz_worker.ts", import.meta.url), { type: "module" });
  const order: FuzzOrder = { name: target.name, seed, milliseconds, round };
  let seen = { round: -1, since: performance.now() };
  return new Promise<FuzzResult>((resolve) => {
    const end = (result: FuzzResult) => {
      clearInterval(timer);
      worker.terminate();
      resolve(result);
    };
    const endWith = (problem: string) => {
      const number = Atomics.load(round, 0);
      const finding = { round: number, input: inputOfRound(target, seed, number), problem };
      end({ rounds: number + 1, taken: 0, elapsedMs: milliseconds, finding });
    };
    const timer = setInterval(() => {
      const now = Atomics.load(round, 0);
      if (now !== seen.round) seen = { round: now, since: performance.now() };
      else if (performance.now() - seen.since > HANG_MS) endWith(`it runs for ${HANG_MS} ms`);
    }, 500);
    worker.onmessage = ({ data }: MessageEvent<FuzzResult>) => end(data);
    worker.onerror = (event) => {
      event.preventDefault();
      endWith(`the worker ended: ${event.message}`);
    };
    worker.postMessage(order);
  });
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function keep(target: FuzzTarget, seed: number, { round, input }: Finding): URL {
  const folder = new URL(`${target.name}/`, FINDINGS);
  Deno.mkdirSync(folder, { recursive: true });
  const file = new URL(`${seed}-${round}.bin`, folder);
  Deno.writeFileSync(file, input);
  return file;
}

if (import.meta.main) {
  const { targets, seed, seconds, replay } = parseArguments(Deno.args);
  let isClean = true;
  for (const target of targets) {
    if (replay !== null) {
      const problem = await tryInput(target, Deno.readFileSync(replay));
      say(`${target.name}: ${problem ?? "nothing is wrong"}`);
      isClean &&= problem === null;
      continue;
    }
    say(`${target.name}, seed ${seed}: ${target.promise}`);
    const { rounds, taken, elapsedMs, finding } = await run(target, seed, seconds * 1000);
    const rate = Math.round(rounds / (elapsedMs / 1000));
    say(`  ${rounds} rounds, ${rate} a second, ${taken} inputs taken`);
    if (finding === null) continue;
    isClean = false;
    const file = keep(target, seed, finding);
    say(`  FOUND in round ${finding.round}: ${finding.problem}`);
    say(`  kept as ${decodeURIComponent(file.pathname)}; again: --replay FILE`);
  }
  if (!isClean) Deno.exit(1);
}
