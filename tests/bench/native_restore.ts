/**
 * Compiles `native_restore.c`, a plain restore in C, and says how to run it.
 *
 * @module
 */

import { programProblem } from "../support/programs.ts";
import { WORKERS } from "./restore.ts";

/** The compiled program, or why there is none. */
export type NativeRestore = { readonly problem: string } | {
  readonly problem: null;
  /** Arguments that restore to `target` or compare it. */
  readonly args: (what: "restore" | "compare", target: string) => string[];
};

/**
 * Compiles the program into `dir`.
 *
 * @param image.ids Chunk id of each seq, `null` for zeros; no chunk is short.
 */
export function compileNativeRestore(
  dir: string,
  image: { basedir: string; ids: readonly (string | null)[] },
): NativeRestore {
  const problem = programProblem("cc");
  if (problem !== null) return { problem };
  const program = `${dir}/native_restore`, plan = `${dir}/plan`;
  const source = new URL("native_restore.c", import.meta.url).pathname;
  const args = ["-O3", "-o", program, source, "-pthread", "-l:liblzo2.so.2"];
  const { success, stderr } = new Deno.Command("cc", { args }).outputSync();
  if (!success) return { problem: new TextDecoder().decode(stderr).trim() };
  Deno.writeTextFileSync(plan, image.ids.map((id) => `${id ?? "-"}\n`).join(""));
  return {
    problem: null,
    args: (what, target) => [program, what, plan, image.basedir, target, String(WORKERS)],
  };
}
