/**
 * Options and arguments of a command as data, one entry each. From the entries the command line is
 * parsed, the command's type is derived (`command.ts`), help is rendered (`help.ts`) and
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

/** What an option cannot be combined with, or needs. */
export type Conflict =
  & {
    /** The value of the option that this is about; default: any. */
    readonly of?: string;
    /** Why, for the user. */
    readonly reason: string;
  }
  & (
    | {
      /**
       * What it cannot be combined with, any of these: `--other`, `--other=choice`, or what the
       * command's `says` returns.
       */
      readonly with: readonly string[];
      readonly without?: never;
    }
    | {
      /** What it needs. */
      readonly without: string;
      readonly with?: never;
    }
  );

/** Describes a conflict for the user: `"--update" with "--base": one reads ...`. */
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

/** What describes any option. */
interface OptionText {
  /** Name without the leading dashes. */
  readonly long: string;
  /** One ASCII letter, if there is a short form. */
  readonly short?: string;
  /**
   * What the option does: a phrase without capital or period. Completions show it up to its first
   * `,`, `;`, `:` or `(`.
   */
  readonly help: string;
  readonly conflicts?: readonly Conflict[];
}

/** What describes an option with a value. */
interface ValueText extends OptionText {
  /** Placeholder of the value, in capitals. */
  readonly value: string;
  /** What holds when the option is absent, in words. */
  readonly default?: string;
  readonly names?: Named;
  /** The valid values, in lower case, if there is a list of them. */
  readonly choices?: readonly string[];
  /** Words that completions offer for a comma-separated value. */
  readonly words?: readonly string[];
}

/** One option of a command, which fills a field of it. */
export interface Option<Field> extends OptionText, Partial<Omit<ValueText, keyof OptionText>> {
  /** Whether all values count if it is given several times; otherwise the last one does. */
  readonly isRepeated?: boolean;
  /**
   * Turns the given values, in order, into the field; those of a flag are "".
   *
   * @throws {UsageError} If any value is wrong, even one that does not count.
   */
  readonly read: (values: readonly string[]) => Field;
}

/** One positional argument of a command, which fills a field of it. */
export interface Argument<Field> {
  /** Its name, in capitals. */
  readonly name: string;
  readonly help: string;
  readonly isOptional?: boolean;
  /** Whether it may be given several times; only for the last argument. */
  readonly isRepeated?: boolean;
  /** Whether it is what follows `--`, as it is; only for the last argument. */
  readonly isAfterDashes?: boolean;
  readonly names?: Named;
  /** Turns the given texts, none of them empty, into the field. */
  readonly read: (texts: readonly string[]) => Field;
}

/** A wrong value. The message completes `"VALUE" is `, such as `not a number`. */
export class ValueFault extends Error {}

/** An option without a value. @param about.given What the field becomes if it is given. */
export function flag({ given = true, ...about }: OptionText & { given?: boolean }): Option<
  boolean
> {
  return { ...about, read: (values) => values.length > 0 ? given : !given };
}

/**
 * An option with a value; `absent` is its field if it is not given.
 *
 * @param about.parse Parses the value (a choice is in lower case already); throws
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

/** An option whose value is one of some words; `absent` is the default. */
export function choice<const Choice extends string>(
  about: ValueText & { choices: readonly Choice[]; absent: Choice },
): Option<Choice> {
  return valued({ ...about, default: about.absent, parse: (text) => text as Choice });
}

/**
 * An option with a value that may be given several times.
 *
 * @param about.parse Parses a value into items; throws {@linkcode ValueFault}.
 * @param about.absent The items if the option is not given.
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

/** Parses any text that is not empty, as an unset variable would be. */
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

/** An argument that is required. */
export function required(about: { name: string; help: string; names: Named }): Argument<string> {
  return { ...about, read: ([text]) => text! };
}

/** An argument that may be missing; then its field is `absent`. */
export function optional<Absent = undefined>(
  { absent, ...about }: { name: string; help: string; names: Named; absent?: Absent },
): Argument<string | Absent> {
  return { ...about, isOptional: true, read: ([text]) => text ?? absent as Absent };
}

/** An argument that is given once or more. */
export function atLeastOne(
  about: { name: string; help: string; names: Named },
): Argument<readonly string[]> {
  return { ...about, isRepeated: true, read: (texts) => texts };
}

/** A program to run, with its arguments: all that follows `--`; empty if there is none. */
export function program(
  about: { name: string; help: string },
): Argument<readonly string[]> {
  return {
    ...about,
    isOptional: true,
    isRepeated: true,
    isAfterDashes: true,
    read: (texts) => texts,
  };
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
