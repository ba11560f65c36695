/**
 * Asks the C compiler what it makes of declarations.
 *
 * @module
 */

import { Scratch } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

/** Why nothing can be compiled here; `null` if it can. */
export const compilerProblem = programProblem("cc");

/** Compiles a C program and runs it. @returns What it prints, without the last newline. */
export function runC(source: string): string {
  using scratch = new Scratch();
  const program = scratch.file("program");
  runSync("cc", "-o", program, scratch.file("program.c", source));
  return runSync(program);
}
