/**
 * Commands as data, and how a command line becomes one. Each has a file with its options, help and
 * run: `restore_command.ts`, `list_command.ts`, `check_command.ts`, `mount_command.ts`. Next:
 * `tool.ts`.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { type SplitLine, splitLine } from "./command_line.ts";
import { type Argument, describeConflict, flag, type Option } from "./option.ts";
import type { Sink } from "./terminal.ts";

/** Arguments by the field of the command that each fills, in their order. */
export type Arguments = Readonly<Record<string, Argument<unknown>>>;

/** Options by the field of the command that each fills, in the order in which help shows them. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The type of a command, derived from its options and arguments. */
export type CommandOf<Kind extends string, Opts extends Options, Args extends Arguments> =
  & { readonly kind: Kind }
  & { readonly [Field in keyof Opts]: ReturnType<Opts[Field]["read"]> }
  & { readonly [Field in keyof Args]: ReturnType<Args[Field]["read"]> };

/** Everything about a tool, or about one of its commands. */
export interface CommandSpec<Command extends AnyCommand = AnyCommand> {
  /** The word that chooses the command where there are several. */
  readonly kind: Command["kind"];
  /** The verb of messages; default: `kind`. */
  readonly verb?: string;
  /** The tool's name, with that of the command. */
  readonly name: string;
  /** What it is for, in sentences. */
  readonly summary: string;
  /** The same as a phrase, where commands are listed. */
  readonly brief?: string;
  /** An argument may fill the same field as an option; then at most one of the two is given. */
  readonly arguments: Arguments;
  readonly options: Options;
  /** How many revisions a specification may mean, for completions; default: several. */
  readonly revisions?: "one";
  /** Whether `--json` changes what is written to standard error. */
  readonly reportsJson?: true;
  /** Other commands of the tool, chosen by its first argument. */
  readonly commands?: readonly CommandSpec[];
  /** What a command's arguments mean, in the words that conflicts use. */
  says?(command: Command): readonly string[];
  /**
   * Runs the command.
   *
   * @param tool The tool's name, for messages.
   * @param write Prints to standard error.
   * @returns The exit code, one of `ExitCode` or that of a program that was run;
   *   everything there is to say was printed.
   */
  run(command: Command, tool: string, write: Sink): Promise<number>;
}

/** The command that a specification describes. */
export type CommandMadeBy<Spec> = Spec extends CommandSpec<infer Command> ? Command : never;

/** What all commands have. */
export interface AnyCommand {
  readonly kind: string;
}

/** Checks that the run of a command takes what its options and arguments produce. */
export function defineCommand<
  const Kind extends string,
  Opts extends Options,
  Args extends Arguments,
>(
  spec: CommandSpec<CommandOf<Kind, Opts, Args>> & {
    readonly kind: Kind;
    readonly options: Opts;
    readonly arguments: Args;
  },
): CommandSpec<CommandOf<Kind, Opts, Args>> {
  return spec;
}

/** What every command can be asked for instead of a run. */
export type Answer =
  | { readonly kind: "help"; readonly tool: CommandSpec }
  | { readonly kind: "version" };

const ANSWER_OPTIONS = [
  flag({ long: "help", short: "h", help: "show this help and exit" }),
  flag({ long: "version", short: "V", help: "show the version and exit" }),
];

/** All options of a command, with those that every command has at the end. */
export function optionsOf({ options }: Pick<CommandSpec, "options">): readonly Option<unknown>[] {
  return [...Object.values(options), ...ANSWER_OPTIONS];
}

/**
 * Reads a command line.
 *
 * As in GNU tools, order matters: the first `--help` or `--version` wins over all that follows, and
 * a mistake before it wins over it. If an option is given twice, the last one counts, unless it may
 * be repeated. Conflicts and missing or surplus arguments are reported last.
 *
 * @param args Without the tool's name and the word that chose the command.
 * @throws {UsageError} with a one-line message, for whatever is wrong.
 */
export function parseCommand<Command extends AnyCommand>(
  spec: CommandSpec<Command>,
  args: readonly string[],
): Answer | Command {
  const { own, trailing } = cutAtDashes(spec, args);
  const line = splitLine(own, optionsOf(spec));
  const fields: Record<string, unknown> = {};
  for (const [field, option] of Object.entries(spec.options)) {
    fields[field] = option.read(line.valuesOf(option));
  }
  if (line.valuesOf({ long: "help" }).length > 0) return { kind: "help", tool: spec };
  if (line.valuesOf({ long: "version" }).length > 0) return { kind: "version" };

  for (const [field, texts] of assignArguments(spec, line)) {
    const isOptionAlone = field in spec.options && texts.length === 0;
    if (!isOptionAlone) fields[field] = spec.arguments[field]!.read(texts);
  }
  for (const [field, argument] of Object.entries(spec.arguments)) {
    if (argument.isAfterDashes) fields[field] = argument.read(trailing);
  }
  requireNoCommandWord(spec, own, line);
  const command = { kind: spec.kind, ...fields } as unknown as Command;
  requireNoConflict(spec, line, spec.says?.(command) ?? []);
  return command;
}

/** Takes off what follows `--`, if the command has an argument for that. */
function cutAtDashes(
  spec: CommandSpec,
  args: readonly string[],
): { readonly own: readonly string[]; readonly trailing: readonly string[] } {
  const argument = Object.values(spec.arguments).find(({ isAfterDashes }) => isAfterDashes);
  // No option takes a value that looks like this.
  const at = args.indexOf("--");
  if (argument === undefined || at < 0) return { own: args, trailing: [] };
  const trailing = args.slice(at + 1);
  if (!trailing[0]) {
    throw new UsageError(`Cannot ${verbOf(spec)}: ${argument.name} is missing after "--"`);
  }
  return { own: args.slice(0, at), trailing };
}

function verbOf({ verb, kind }: CommandSpec): string {
  return verb ?? kind;
}

/**
 * Assigns texts to the arguments of the command: one to each that is required, the rest from left
 * to right. None may be empty: an unset variable must not become a directory.
 */
function assignArguments(
  spec: CommandSpec,
  { texts, valuesOf }: SplitLine,
): [field: string, texts: readonly string[]][] {
  const entries = Object.entries(spec.arguments).filter(([, { isAfterDashes }]) => !isAfterDashes);
  const needed = entries.filter(([, { isOptional }]) => !isOptional);
  let spare = texts.length - needed.length;
  let at = 0;
  const assigned = entries.map(([field, argument]): [string, readonly string[]] => {
    const { isOptional = false, isRepeated = false } = argument;
    const more = Math.max(0, isRepeated ? spare : Math.min(spare, isOptional ? 1 : 0));
    spare -= more;
    const start = at;
    at += more + (isOptional ? 0 : 1);
    return [field, texts.slice(start, at)];
  });
  for (const [field, [text]] of assigned) {
    const { name, isOptional } = spec.arguments[field]!;
    if (text === undefined && !isOptional) {
      throw new UsageError(
        `Cannot ${verbOf(spec)}: the argument ${name} is missing (see --help)`,
      );
    }
    const option = spec.options[field];
    if (text !== undefined && option !== undefined && valuesOf(option).length > 0) {
      throw new UsageError(
        `Cannot use argument ${quote(text)}: --${option.long} names the ${option.help} ` +
          "(see --help)",
      );
    }
  }
  if (spare > 0) {
    const names = entries.map(([, { name }]) => name).join(" and ");
    throw new UsageError(
      `Cannot use argument ${quote(texts[at]!)}: only ${names} are expected (see --help)`,
    );
  }
  const empty = assigned.find(([, texts]) => texts.includes(""));
  if (empty !== undefined) {
    const { name } = spec.arguments[empty[0]]!;
    throw new UsageError(`Cannot ${verbOf(spec)}: the argument ${name} is empty`);
  }
  return assigned;
}

/** What the first argument of a command names. */
export function nounOf({ arguments: named }: Pick<CommandSpec, "arguments">): string {
  return Object.values(named)[0]?.names ?? "argument";
}

/** Refuses a command's word that is not the first argument. */
function requireNoCommandWord(
  spec: CommandSpec,
  args: readonly string[],
  { texts: [word] }: SplitLine,
): void {
  if (!spec.commands?.some(({ kind }) => kind === word) || args.includes("--")) return;
  const noun = nounOf(spec);
  throw new UsageError(
    `Cannot ${verbOf(spec)} ${noun} ${quote(word!)}: the command ${word} must be the first ` +
      `argument; a ${noun} of that name is "./${word}"`,
  );
}

/** Refuses options that contradict each other or the arguments. */
function requireNoConflict(
  spec: CommandSpec,
  { valuesOf }: SplitLine,
  says: readonly string[],
): void {
  const options = Object.values(spec.options);
  const said = new Set(says);
  for (const option of options) {
    const value = valuesOf(option).at(-1);
    if (value === undefined) continue;
    said.add(`--${option.long}`);
    if (option.choices) said.add(`--${option.long}=${value.toLowerCase()}`);
  }
  for (const { long, conflicts = [] } of options) {
    for (const conflict of conflicts) {
      const own = conflict.of === undefined ? `--${long}` : `--${long}=${conflict.of}`;
      const isMet = conflict.without === undefined
        ? conflict.with.some((other) => said.has(other))
        : !said.has(conflict.without);
      if (said.has(own) && isMet) {
        throw new UsageError(`Cannot use ${describeConflict(long, conflict)}`);
      }
    }
  }
}
