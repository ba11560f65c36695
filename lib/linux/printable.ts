/**
 * Makes text from elsewhere fit for messages.
 *
 * File names, other processes' command lines and the content of files are untrusted: a message must
 * stay one line of bounded length, and must not carry control sequences that a terminal would obey.
 * Pure; imports nothing.
 *
 * @module
 */

/**
 * C: control (which terminals act on), format (bidirectional overrides, UAX #9), surrogate, private
 * and unassigned characters; Zl, Zp: line and paragraph separators.
 */
export const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/**
 * Escapes whatever is not printable, as "\n", "\x1b" or "\u{202e}".
 *
 * A backslash stays as it is: the result is for reading only, and escaping it again changes
 * nothing.
 *
 * @param maxChars Length, in UTF-16 units, at which the text is cut and "…" put after it.
 */
export function printable(text: string, maxChars = Infinity): string {
  const kept = text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
  return kept.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0)!;
    const hex = code.toString(16);
    const escape = code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`;
    return SHORT_ESCAPES.get(character) ?? escape;
  });
}

/**
 * Puts text between quotation marks, {@linkcode printable}; for content of files give `maxChars`.
 */
export function quote(text: string, maxChars = Infinity): string {
  return `"${printable(text, maxChars)}"`;
}

/** Writes an argument for a command to copy: a shell takes it for one word. */
export function shellWord(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
