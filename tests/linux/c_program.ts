/**
 * Asks the C compiler what it makes of declarations.
 *
 * @module
 */

import { programProblem, run, Scratch } from "../support/machine.ts";

/** Why nothing can be compiled here; `null` if it can. */
export const compilerProblem = programProblem("cc");

/** Compiles a C program and runs it. @returns What it prints, without the last newline. */
export function runC(source: string): string {
  using scratch = new Scratch();
  const program = scratch.file("program");
  run("cc", "-o", program, scratch.file("program.c", source));
  return run(program);
}
