/**
 * Whether the tools under test are portable executables, which bring their C library.
 *
 * @module
 */

import { ProgramHeaderType, readElf } from "../../release/portable/elf.ts";
import { EXTRACT, FUSE } from "./tool.ts";

/** Why a tool is not a portable executable; `null` if it is. */
export const extractPortableProblem: string | null = findProblem(EXTRACT);
export const fusePortableProblem: string | null = findProblem(FUSE);

function findProblem(command: readonly string[]): string | null {
  const [path] = command;
  if (command.length > 1) return "run from source";
  const { headers } = readElf(Deno.readFileSync(path!), path!);
  const isPlain = headers.some(({ type }) => type === ProgramHeaderType.PT_INTERP);
  return isPlain ? "a plain executable" : null;
}
