/**
 * Reads what `deno test` prints, and sums up several runs of it.
 *
 * @module
 */

/** How many tests a run had. */
interface Counts {
  readonly passed: number;
  readonly steps: number;
  readonly failed: number;
  readonly ignored: number;
}

/** What one run of `deno test` came to. */
export interface Report extends Counts {
  /** What was printed, without the details of failures and without the closing line. */
  readonly body: string;
  /** The details of failures; empty if there were none. */
  readonly failures: string;
}

const CLOSING =
  /^(?:ok|FAILED) \| (\d+) passed(?: \((\d+) steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored)?.*$/gm;

/**
 * Takes a run's output apart. A run without a closing line has failed, and so has one whose closing
 * line says otherwise than its exit status: a process may die after its last test.
 *
 * @param name What was run, for the message about such a run.
 * @param end Exit status, or the signal that ended the process.
 */
export function parseReport(name: string, output: string, end: number | Deno.Signal): Report {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const match = [...plain.matchAll(CLOSING)].at(-1);
  const [passed = 0, steps = 0, failed = 0, ignored = 0] = match?.slice(1).map((n) => +(n ?? 0)) ??
    [];
  const counts = { passed, steps, failed, ignored };
  if (match !== undefined && (end === 0) === (failed === 0)) {
    const said = plain.slice(0, match.index).trimEnd() + "\n";
    const details = failed === 0 ? said.length : said.search(/^ ERRORS $/m);
    return { body: said.slice(0, details), failures: said.slice(details), ...counts };
  }
  const how = typeof end === "number" ? `exit status ${end}` : `it died by ${end}`;
  const problem = match === undefined ? `no closing line (${how})` : `${how}, but "${match[0]}"`;
  const failures = `\n${name}: ${problem}\n`;
  return { body: plain, failures, ...counts, failed: failed + 1 };
}

/** Sums up runs in a line like that of `deno test`. */
export function closingLine(reports: readonly Counts[], elapsedMs: number): string {
  const sum = (key: keyof Counts) => reports.reduce((total, counts) => total + counts[key], 0);
  const seconds = Math.round(elapsedMs / 1000);
  const time = seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
  const parts = [
    sum("failed") === 0 ? "ok" : "FAILED",
    `${sum("passed")} passed` + (sum("steps") > 0 ? ` (${sum("steps")} steps)` : ""),
    `${sum("failed")} failed`,
    ...(sum("ignored") > 0 ? [`${sum("ignored")} ignored`] : []),
  ];
  return `${parts.join(" | ")} (${time})`;
}
