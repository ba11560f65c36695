/**
 * Splits a command line into options and positional arguments, in their order, by an option table.
 *
 * The syntax is GNU's: `--opt=value`, `--opt value`, `-t4`, `-t 4`, `-qf`, `-qt4`; `--` ends the
 * options, `-` alone is a positional argument, and options may follow positional arguments. Long
 * names are not abbreviated. Stricter than GNU: a value that is an argument of its own must not
 * look like an option (`--opt=-value` passes one that does).
 *
 * Not `parseArgs` of `node:util` (Deno 2.6.8): it lets "-q-" end the options without a word,
 * reports the first kind of mistake rather than the first mistake, on several lines, and splits
 * surrogate pairs. Not `@std/cli/parse-args`: it eats "true" and "false" after a flag and accepts
 * repeated or missing values.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import type { OptionSpec } from "./option_table.ts";

/** A piece of a command line; `value` is "" for a flag. */
export type Argument<Name extends string> =
  | { readonly kind: "option"; readonly name: Name; readonly value: string }
  | { readonly kind: "positional"; readonly value: string };

/**
 * Yields the arguments one by one, so that a caller who stops at one never learns of later
 * mistakes.
 *
 * @param args The command line without the program's name.
 * @param options The options there are; `Name` becomes the union of their long names.
 * @throws {UsageError} for an unknown option, a missing or ambiguous value, a value given to a
 *   flag.
 */
export function* readArguments<const Spec extends OptionSpec>(
  args: readonly string[],
  options: readonly Spec[],
): Generator<Argument<Spec["long"]>, void, undefined> {
  const byFlag = new Map<string, Spec>();
  for (const spec of options) {
    byFlag.set(`--${spec.long}`, spec);
    if (spec.short !== undefined) byFlag.set(`-${spec.short}`, spec);
  }

  const queue = args.values();
  for (const arg of queue) {
    if (arg === "--") {
      for (const value of queue) yield { kind: "positional", value };
    } else if (arg.startsWith("--")) {
      const [flag, inline] = splitOnce(arg);
      const spec = lookUp(flag);
      if (spec.value === undefined && inline !== undefined) {
        throw new UsageError(`Cannot use option ${quote(flag)}: it takes no value`);
      }
      yield { kind: "option", name: spec.long, value: inline ?? nextValue(spec, flag) };
    } else if (arg.startsWith("-") && arg !== "-") {
      const letters = [...arg.slice(1)];
      for (let at = 0; at < letters.length; at++) {
        const flag = `-${letters[at]}`;
        const spec = lookUp(flag);
        const attached = letters.slice(at + 1).join("");
        if (spec.value !== undefined && attached !== "") {
          yield { kind: "option", name: spec.long, value: attached };
          break;
        }
        yield { kind: "option", name: spec.long, value: nextValue(spec, flag) };
      }
    } else {
      yield { kind: "positional", value: arg };
    }
  }

  function lookUp(flag: string): Spec {
    const spec = byFlag.get(flag);
    if (spec === undefined) {
      throw new UsageError(`Cannot use option ${quote(flag)}: no such option (see --help)`);
    }
    return spec;
  }

  /** Takes the value that stands as an argument of its own; a flag has none. */
  function nextValue(spec: Spec, flag: string): string {
    if (spec.value === undefined) return "";
    const { value, done } = queue.next();
    if (done) throw new UsageError(`Cannot use option ${quote(flag)}: ${spec.value} is missing`);
    if (value.startsWith("-") && value !== "-") {
      const inline = quote(`--${spec.long}=${value}`);
      throw new UsageError(
        `Cannot use option ${quote(flag)}: ${spec.value} is missing (or write ${inline})`,
      );
    }
    return value;
  }
}

function splitOnce(arg: string): [flag: string, inline: string | undefined] {
  const equals = arg.indexOf("=");
  return equals < 0 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)];
}
