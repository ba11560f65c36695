/**
 * Options and arguments of a command as data: each stands in one entry, from which the command line
 * is read (`command_line.ts`), the command's type is derived, help is rendered (`help.ts`) and
 * completions are made (`release/completions.ts`). The manual pages are tested against them.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";

/**
 * What a value or argument names, for completions and for finding relative paths: "revision": a
 * revision as a path, or a backup directory; "base": likewise, or a name beside the revision;
 * "spec": a specification of revisions, which is no path.
 */
export type Named = "file" | "directory" | "revision" | "base" | "spec";

/** What an option does not go together with, or not without. */
export type Conflict =
  & {
    /** The value of the option that is meant; default: any. */
    readonly of?: string;
    /** Why, as the user is told. */
    readonly reason: string;
  }
  & (
    | {
      /**
       * What must not be said beside the option, any of these: `--other`, `--other=choice`, or what
       * the command's `says` returns.
       */
      readonly with: readonly string[];
      readonly without?: never;
    }
    | {
      /** What must be said beside it. */
      readonly without: string;
      readonly with?: never;
    }
  );

/** Words a conflict as the user is told: `"--update" with "--base": one reads ...`. */
export function describeConflict(long: string, conflict: Conflict): string {
  const own = conflict.of === undefined ? `"--${long}"` : `"--${long}=${conflict.of}"`;
  const others = conflict.without === undefined
    ? `with ${conflict.with.map(quoteOption).join(" or ")}`
    : `without ${quoteOption(conflict.without)}`;
  return `${own} ${others}: ${conflict.reason}`;
}

function quoteOption(said: string): string {
  return said.startsWith("--") ? `"${said}"` : said;
}

/** What is said about an option, whatever its kind. */
interface OptionText {
  /** Name without the leading dashes. */
  readonly long: string;
  /** One ASCII letter, for options that have a short form. */
  readonly short?: string;
  /**
   * What the option does: a phrase without capital or period. Completions show it up to its first
   * `,`, `;`, `:` or `(`.
   */
  readonly help: string;
  readonly conflicts?: readonly Conflict[];
}

/** What is said about an option that takes a value. */
interface ValueText extends OptionText {
  /** Placeholder of the value, in capitals. */
  readonly value: string;
  /** What holds when the option is absent, in words. */
  readonly default?: string;
  readonly names?: Named;
  /** The only values there are, in lower case, for options that choose from a list. */
  readonly choices?: readonly string[];
  /** Words that completions offer for a list separated by commas. */
  readonly words?: readonly string[];
}

/** One option of a command, which fills a field of it. */
export interface Option<Field> extends OptionText, Partial<Omit<ValueText, keyof OptionText>> {
  /** Whether all values count if it is given several times; else the last one does. */
  readonly isRepeated?: boolean;
  /**
   * Makes the field of the values that were given, in their order; of a flag each is "".
   *
   * @throws {UsageError} If a value is wrong, also one that does not count.
   */
  readonly read: (values: readonly string[]) => Field;
}

/** One positional argument of a command, which fills a field of it. */
export interface Argument<Field> {
  /** Its name, in capitals. */
  readonly name: string;
  readonly help: string;
  readonly isOptional?: boolean;
  /** Whether it may stand several times; only the last one may. */
  readonly isRepeated?: boolean;
  readonly names?: Named;
  /** Makes the field of the texts that were given, none of which is empty. */
  readonly read: (texts: readonly string[]) => Field;
}

/** A value that an option does not take; the message ends `"VALUE" is `: `not a number`. */
export class ValueFault extends Error {}

/** An option without value. @param about.given What the field becomes if it is given. */
export function flag({ given = true, ...about }: OptionText & { given?: boolean }): Option<
  boolean
> {
  return { ...about, read: (values) => values.length > 0 ? given : !given };
}

/**
 * An option with a value; its field is `absent` without it.
 *
 * @param about.parse Gets the value, one of `choices` in lower case; throws
 *   {@linkcode ValueFault}.
 */
export function valued<Field, Absent = undefined>(
  { parse, absent, ...about }: ValueText & { parse: (text: string) => Field; absent?: Absent },
): Option<Field | Absent> {
  return {
    ...about,
    read: (values) => values.length > 0 ? parseAll(about, values, parse).at(-1)! : absent as Absent,
  };
}

/** An option whose value is one of some words; `absent` is the one that holds without it. */
export function choice<const Choice extends string>(
  about: ValueText & { choices: readonly Choice[]; absent: Choice },
): Option<Choice> {
  return valued({ ...about, default: about.absent, parse: (text) => text as Choice });
}

/**
 * An option with a value that may be given several times.
 *
 * @param about.parse Makes items of a value; throws {@linkcode ValueFault}.
 * @param about.absent The items where the option is absent.
 */
export function repeated<Item>(
  { parse, absent = [], ...about }: ValueText & {
    parse: (text: string) => readonly Item[];
    absent?: readonly Item[];
  },
): Option<readonly Item[]> {
  return {
    ...about,
    isRepeated: true,
    read: (values) => values.length > 0 ? parseAll(about, values, parse).flat() : absent,
  };
}

/** Parses a value that is any text but an empty one, as of an unset variable. */
export function parseText(text: string): string {
  if (text === "") throw new ValueFault("empty");
  return text;
}

/** Parses a whole decimal number in a range. @throws {ValueFault} */
export function parseWhole(text: string, { min, max }: { min: number; max: number }): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (!(value >= min && value <= max)) {
    throw new ValueFault(`not a whole number from ${min} to ${max}`);
  }
  return value;
}

/** An argument that must be there. */
export function required(about: { name: string; help: string; names: Named }): Argument<string> {
  return { ...about, read: ([text]) => text! };
}

/** An argument that may be missing; its field is `absent` then. */
export function optional<Absent = undefined>(
  { absent, ...about }: { name: string; help: string; names: Named; absent?: Absent },
): Argument<string | Absent> {
  return { ...about, isOptional: true, read: ([text]) => text ?? absent as Absent };
}

/** An argument that stands at least once. */
export function atLeastOne(
  about: { name: string; help: string; names: Named },
): Argument<readonly string[]> {
  return { ...about, isRepeated: true, read: (texts) => texts };
}

function parseAll<Field>(
  { long, choices }: ValueText,
  values: readonly string[],
  parse: (text: string) => Field,
): Field[] {
  return values.map((text) => {
    try {
      if (choices === undefined) return parse(text);
      const chosen = text.toLowerCase();
      if (choices.includes(chosen)) return parse(chosen);
      throw new ValueFault(`not one of ${choices.join(", ")}`);
    } catch (error) {
      if (!(error instanceof ValueFault)) throw error;
      throw new UsageError(`Cannot use option "--${long}": ${quote(text)} is ${error.message}`);
    }
  });
}
