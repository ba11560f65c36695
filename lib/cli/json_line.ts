/**
 * Objects as JSON, one per line, for programs that read the tools' output. Pure.
 *
 * @module
 */

import { UNPRINTABLE } from "../linux/printable.ts";

/** The fields of a line's object, by names in camelCase; see {@linkcode renderJsonLine}. */
export type JsonFields = Readonly<object>;

/**
 * Renders an object as one line of JSON that ends in a newline, with unprintable characters as
 * `\uXXXX`. JSON requires that only below U+0020, but people read such lines on terminals, which
 * also act on others.
 *
 * NaN and the infinities become `null`, because JSON has no such numbers. `undefined`, functions
 * and typed arrays (shared memory in this project) are left out.
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
