/**
 * What the programs of this folder share.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** Hashes a file. @returns 64 hex digits. */
export function sha256Of(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Prints a line. */
export function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

/**
 * Runs a program to its end.
 *
 * @returns What it wrote to standard output.
 * @throws {Error} If it fails or is absent, in one line.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): string {
  const decoder = new TextDecoder();
  try {
    const command = new Deno.Command(program, { cwd: "/", ...options, args: [...args] });
    const { success, stdout, stderr } = command.outputSync();
    if (success) return decoder.decode(stdout);
    const [line = ""] = decoder.decode(stderr).trim().split("\n").slice(-1);
    throw new Error(`${program} ${args[0]} failed: ${line}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`there is no ${program}`, { cause: error });
  }
}

/** Runs a program; if it fails, prints why in one line. */
export async function runMain(main: () => void | Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    Deno.stderr.writeSync(new TextEncoder().encode(`${reason}\n`));
    Deno.exit(1);
  }
}
