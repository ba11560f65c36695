/**
 * Splits a command line into options and arguments: a strict check, then `parseArgs` of `@std/cli`.
 *
 * The syntax is GNU's: `--opt=value`, `--opt value`, `-t4`, `-t 4`, `-qf`, `-qt4`; `--` ends the
 * options, `-` alone is an argument, and options may follow arguments. Long names are not
 * abbreviated. Stricter than GNU: a value that is an argument of its own must not look like an
 * option (`--opt=-value` passes one that does).
 *
 * `parseArgs` alone lets wrong lines through: it takes "true" after a flag for the flag's value,
 * guesses at letters and values in `-qt4`, puts "" where a value is missing, and accepts
 * `--quiet=maybe`. So {@linkcode spellOut} refuses what is wrong and writes the rest in the form
 * that cannot be misread: `--flag`, which no argument follows, and `--name=value`. (Only flags may
 * have a name that begins with "no-": `--no-name=value` would be read as `--name=value`.)
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import type { Option } from "./option.ts";

/** What follows these is not read. */
const ENDS: ReadonlySet<string> = new Set(["--help", "--version"]);

/** A command line in parts. */
export interface SplitLine {
  /** The values given for an option, in order; "" for a flag that was given. */
  readonly valuesOf: (option: Pick<Option<unknown>, "long">) => readonly string[];
  /** The positional arguments. */
  readonly texts: readonly string[];
}

/**
 * Splits a command line, up to the first `--help` or `--version`.
 *
 * @param args The command line without the program's name.
 * @param options The options there are.
 * @throws {UsageError} for the first option that is unknown, lacks its value, or has one although
 *   it is a flag.
 */
export function splitLine(
  args: readonly string[],
  options: readonly Option<unknown>[],
): SplitLine {
  const named: string[] = [];
  const texts: string[] = [];
  for (const token of spellOut(args, options)) {
    (token.kind === "option" ? named : texts).push(token.text);
    if (token.kind === "option" && ENDS.has(token.text)) break;
  }
  const namesOf = (isFlag: boolean) =>
    options.filter(({ value }) => (value === undefined) === isFlag).map(({ long }) => long);
  const given: Readonly<Record<string, unknown>> = parseArgs(named, {
    boolean: namesOf(true),
    string: namesOf(false),
    collect: namesOf(false),
  });
  return {
    valuesOf({ long }) {
      const value = given[long];
      return Array.isArray(value) ? value : value === true ? [""] : [];
    },
    texts,
  };
}

/** A piece of a command line. */
export interface Token {
  readonly kind: "option" | "positional";
  /** An option as `--flag` or `--name=value`. */
  readonly text: string;
}

/**
 * Yields a command line with its options spelled out, lazily, so that a caller who stops early
 * never sees later mistakes.
 *
 * @throws {UsageError} As {@linkcode splitLine}.
 */
export function* spellOut(
  args: readonly string[],
  options: readonly Option<unknown>[],
): Generator<Token, void, undefined> {
  const byFlag = new Map<string, Option<unknown>>();
  for (const option of options) {
    byFlag.set(`--${option.long}`, option);
    if (option.short !== undefined) byFlag.set(`-${option.short}`, option);
  }

  const queue = args.values();
  for (const arg of queue) {
    if (arg === "--") {
      for (const text of queue) yield { kind: "positional", text };
    } else if (arg.startsWith("--")) {
      const equals = arg.indexOf("=");
      const flag = equals < 0 ? arg : arg.slice(0, equals);
      const option = lookUp(flag);
      if (equals >= 0 && option.value === undefined) {
        throw new UsageError(`Cannot use option ${quote(flag)}: it takes no value`);
      }
      yield { kind: "option", text: equals < 0 ? withNext(option, flag) : arg };
    } else if (arg.startsWith("-") && arg !== "-") {
      const letters = [...arg.slice(1)];
      for (let at = 0; at < letters.length; at++) {
        const flag = `-${letters[at]}`;
        const option = lookUp(flag);
        const attached = letters.slice(at + 1).join("");
        if (option.value !== undefined && attached !== "") {
          yield { kind: "option", text: `--${option.long}=${attached}` };
          break;
        }
        yield { kind: "option", text: withNext(option, flag) };
      }
    } else {
      yield { kind: "positional", text: arg };
    }
  }

  function lookUp(flag: string): Option<unknown> {
    const option = byFlag.get(flag);
    if (option === undefined) {
      throw new UsageError(`Cannot use option ${quote(flag)}: no such option (see --help)`);
    }
    return option;
  }

  /** Spells out an option; its value, if it takes one, is the next argument. */
  function withNext({ long, value: placeholder }: Option<unknown>, flag: string): string {
    if (placeholder === undefined) return `--${long}`;
    const { value, done } = queue.next();
    const missing = `Cannot use option ${quote(flag)}: ${placeholder} is missing`;
    if (done) throw new UsageError(missing);
    const text = `--${long}=${value}`;
    if (value.startsWith("-") && value !== "-") {
      throw new UsageError(`${missing} (or write ${quote(text)})`);
    }
    return text;
  }
}
