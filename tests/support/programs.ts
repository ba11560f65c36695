/**
 * Runs other programs: at once, under a time limit, or as a line of a shell.
 *
 * @module
 */

import { assert } from "../assert.ts";

/** Far more than any command on a mount needs, even on a busy machine: what takes longer hangs. */
const COMMAND_LIMIT_SECONDS = "120";

/** Runs a program to its end. @throws {Error} If it fails, with what it said. */
export function runSync(program: string, ...args: string[]): string {
  const { success, stdout, stderr } = new Deno.Command(program, { args }).outputSync();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout).trim();
}

/** How a command ended. */
export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in the C locale, under a time limit. */
export async function tryRun(program: string, ...args: string[]): Promise<CommandOutcome> {
  const { code, stdout, stderr } = await new Deno.Command("timeout", {
    args: ["-s", "KILL", COMMAND_LIMIT_SECONDS, program, ...args],
    env: { LC_ALL: "C.UTF-8", LANGUAGE: "C", TZ: "UTC" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs a program. Returns what it printed. @throws {Error} If it fails. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await tryRun(program, ...args);
  assert(code === 0, `${program} ${args.join(" ")}: exit ${code}: ${stdout}${stderr}`);
  return stdout;
}

/** Runs a bash script as {@linkcode tryRun} does, in which `$1` and so on are arguments. */
export function trySh(script: string, ...args: string[]): Promise<CommandOutcome> {
  return tryRun("bash", "-c", script, "bash", ...args);
}

/** Runs a bash script, in which `$1` and so on are arguments. @throws {Error} If it fails. */
export function sh(script: string, ...args: string[]): Promise<string> {
  return run("bash", "-ec", script, "bash", ...args);
}

/** Why a program cannot be run here; `null` if it can. */
export function programProblem(...names: string[]): string | null {
  for (const name of names) {
    const found = new Deno.Command("sh", { args: ["-c", `command -v ${name}`], stdout: "null" });
    if (!found.outputSync().success) return `no ${name}`;
  }
  return null;
}

/**
 * A shell command line that runs TypeScript, in which `lib("target/x.ts")` stands for the URL of a
 * module.
 */
export function scriptCommand(code: string): string {
  const withUrls = code.replace(
    /lib\("([^"]+)"\)/g,
    (_, path) => JSON.stringify(import.meta.resolve(`../../lib/${path}`)),
  );
  return `'${Deno.execPath()}' eval '${withUrls.replaceAll("'", `'\\''`)}'`;
}

/** Runs a shell command line. */
export async function shell(
  commandLine: string,
): Promise<{ code: number; stdout: Uint8Array; stderr: string }> {
  const command = new Deno.Command("bash", { args: ["-c", commandLine], stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  return { code, stdout, stderr: new TextDecoder().decode(stderr) };
}
