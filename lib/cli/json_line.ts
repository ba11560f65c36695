/**
 * Objects as lines of JSON, one a line, for programs that read the tools' output. Pure.
 *
 * @module
 */

/**
 * The members of a line's object, by names in camelCase. Any object will do, see
 * {@linkcode renderJsonLine}.
 */
export type JsonFields = Readonly<object>;

// As in `wording.ts`. JSON needs the escapes below U+0020 only, but such lines are also read on
// terminals, which act on U+0080 to U+009F and on overrides of the writing direction as well.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Writes an object as one line of JSON, all unprintable characters as `\uXXXX`; it ends in a
 * newline.
 *
 * NaN and the infinities become `null`, as JSON has no such numbers. Left out is what is no data
 * for a reader: `undefined`, functions, and typed arrays, which in this project are shared memory.
 */
export function renderJsonLine(fields: JsonFields): string {
  return `${JSON.stringify(fields, plainValue).replace(UNPRINTABLE, escapeUnits)}\n`;
}

function plainValue(_name: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  return ArrayBuffer.isView(value) ? undefined : value;
}

function escapeUnits(character: string): string {
  let escaped = "";
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return escaped;
}
