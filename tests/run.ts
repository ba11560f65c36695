/**
 * Runs tests in several processes side by side, one per test file, and prints what `deno test`
 * would: the report of each file when it has ended, all failures once more at the end, one closing
 * line.
 *
 *     deno task test                      all tests
 *     deno task test tests/store/ FILE    some of them
 *
 * A process per file, because tests change what belongs to a whole process: its working directory,
 * user, limits and signals. DENO_JOBS says how many run at a time; default: two more than there are
 * processors, as some wait more than they work. Types are left to `deno task check`.
 *
 * @module
 */

import { closingLine, parseReport, type Report } from "./support/test_report.ts";

const ROOT = new URL("..", import.meta.url).pathname;
/** Code in docstrings, which `deno test --doc` runs. */
const DOCUMENTED = ["lib", "wasm/mod.ts"].map((name) => ROOT + name);
/** The folders whose files take longest come first, so that no processor is idle at the end. */
const LONG = ["tests/faults/", "tests/cli/", "tests/restore/", ""];

/** A process of `deno test`. */
interface Run {
  /** What is run, for people. */
  readonly name: string;
  readonly args: readonly string[];
}

function* testFiles(path: string): Generator<string> {
  if (Deno.statSync(path).isFile) {
    yield path;
    return;
  }
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    const inner = `${path.replace(/\/$/, "")}/${name}`;
    if (isDirectory) yield* testFiles(inner);
    else if (name.endsWith("_test.ts")) yield inner;
  }
}

function planRuns(paths: readonly string[]): Run[] {
  const files = (paths.length > 0 ? paths : [`${ROOT}tests`])
    .flatMap((path) => [...testFiles(path)].sort());
  const rank = (file: string) => LONG.findIndex((part) => file.includes(part));
  const runs = files.toSorted((a, b) => rank(a) - rank(b))
    .map((file) => ({ name: file.replace(ROOT, ""), args: ["--no-check", file] }));
  return paths.length > 0
    ? runs
    : [...runs, { name: "docstrings", args: ["--doc", ...DOCUMENTED] }];
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

const running = new Map<Deno.ChildProcess, { name: string; said: string }>();

async function execute({ name, args }: Run): Promise<Report> {
  const options = ["--config", `${ROOT}deno.json`, "--lock", `${ROOT}deno.lock`, "--frozen", "-A"];
  // One pipe for both streams keeps the order.
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$@" 2>&1', "sh", Deno.execPath(), "test", ...options, ...args],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const state = { name, said: "" };
  running.set(child, state);
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) state.said += text;
  const { code, signal } = await child.status;
  running.delete(child);
  const report = parseReport(name, state.said, signal ?? code);
  print(report.body);
  return report;
}

const reports: Report[] = [];

// A run that hangs is ended by whoever waits for it, who then wants to know where, and what failed
// before.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => {
    for (const [child, { name, said }] of running) {
      print(`\n${said}\n${name}: ended by ${signal}\n`);
      child.kill("SIGTERM");
    }
    for (const { failures } of reports) print(failures);
    Deno.exit(1);
  });
}

const start = performance.now();
const queue = planRuns(Deno.args);
const jobs = Number(Deno.env.get("DENO_JOBS")) || navigator.hardwareConcurrency + 2;
await Promise.all(Array.from({ length: jobs }, async () => {
  for (let run = queue.shift(); run !== undefined; run = queue.shift()) {
    reports.push(await execute(run));
  }
}));
for (const { failures } of reports) print(failures);
print(`\n${closingLine(reports, performance.now() - start)}\n`);
if (reports.some(({ failed }) => failed > 0)) Deno.exit(1);
