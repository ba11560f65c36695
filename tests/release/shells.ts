/**
 * Asks the shells what they would complete, with the project's completions and nothing else.
 *
 * @module
 */

import { writeCompletions } from "../../release/completions.ts";
import { assert } from "../assert.ts";
import { Scratch } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";

/** A folder with the completions as they are released. */
export const COMPLETIONS = `${Deno.makeTempDirSync({ prefix: "backy_extract_completions_" })}/`;
writeCompletions(COMPLETIONS);
addEventListener("unload", () => Deno.removeSync(COMPLETIONS, { recursive: true }));

const ZSH_SCRIPT = new URL("complete.zsh", import.meta.url).pathname;
/** No shell takes a tenth of this. */
const TIME_LIMIT_SECONDS = "30";

/** A shell with completions. */
export interface Shell {
  readonly name: string;
  /** Why it cannot be asked; `null` if it can. */
  readonly problem: string | null;
  /** Arguments that make it read a file without running it. */
  readonly syntaxCheck: readonly string[];
  /** Names of the files with the completions of a tool. */
  readonly fileOf: (tool: string) => string;
  /**
   * What stands behind the last blank of a line, or would. Sorted, each once, without quotes and
   * descriptions.
   *
   * @param line Command line up to the cursor.
   * @param cwd Current directory.
   */
  readonly complete: (line: string, cwd: string) => string[];
}

// Prints the options that were set for readline first.
const BASH_SCRIPT = `
  compopt() { asked+=" $*"; }
  tool=\${2%% *}
  . "$1$tool.bash"
  IFS=' ' read -ra COMP_WORDS <<<"\${2//=/ = }"
  [[ $2 == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=\${#2}
  _\${tool//-/_}
  [[ $asked == *dirnames* || $asked == *plusdirs* ]] && mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "\${2##*[ =]}")
  printf '%s\\n' "\${COMPREPLY[@]}"
`;

/** The shells. */
export const SHELLS: readonly Shell[] = [
  {
    name: "bash",
    problem: programProblem("bash"),
    syntaxCheck: ["-n"],
    fileOf: (tool) => `${tool}.bash`,
    complete: (line, cwd) => {
      return tidy(ask(["bash", "--norc", "-c", BASH_SCRIPT, "bash", COMPLETIONS, line], cwd));
    },
  },
  {
    name: "zsh",
    problem: programProblem("zsh"),
    syntaxCheck: ["-n"],
    fileOf: (tool) => `_${tool}`,
    complete: (line, cwd) => {
      // It shows names as they are typed.
      const unquote = (text: string) => text.replaceAll(/\\(.)/g, "$1");
      return tidy(ask(["zsh", "-f", ZSH_SCRIPT, COMPLETIONS, line], cwd).map(unquote));
    },
  },
  {
    name: "fish",
    problem: programProblem("fish"),
    syntaxCheck: ["-n"],
    fileOf: (tool) => `${tool}.fish`,
    complete: (line, cwd) => {
      const script = "source $argv[1]$argv[2].fish; complete -C $argv[3]";
      const [tool = ""] = line.split(" ");
      const answer = ask(["fish", "--no-config", "-c", script, COMPLETIONS, tool, line], cwd);
      return tidy(answer.map((text) => text.replace(/\t.*/, "").replace(/\/$/, "")));
    },
  },
];

function ask(command: readonly string[], cwd: string): string[] {
  // fish makes itself at home.
  using home = new Scratch();
  const { code, stdout, stderr } = new Deno.Command("timeout", {
    args: [TIME_LIMIT_SECONDS, ...command],
    cwd,
    stdin: "null",
    env: { TERM: "xterm", LC_ALL: "C.UTF-8", HOME: home.path },
  }).outputSync();
  const decoder = new TextDecoder();
  assert(
    code === 0 && stderr.length === 0,
    `${command.at(-1)}: ${code}, ${decoder.decode(stderr)}`,
  );
  return decoder.decode(stdout).split("\n");
}

/**
 * What stands before the value of a long option belongs to some shells' answers and not to others'.
 */
function tidy(answers: readonly string[]): string[] {
  const values = answers.filter((text) => text !== "").map((text) =>
    text.replace(/^--[a-z-]+=(?=.)/, "")
  );
  return [...new Set(values.map((text) => text.replace(/=$/, "")))].sort();
}
