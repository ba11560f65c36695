/**
 * How text that comes from elsewhere is put into messages.
 *
 * Everything in a store is untrusted, and so are file names and other processes' command lines: a
 * message must stay one line of bounded length and must not carry a terminal's control sequences.
 * Nor may it show the text of a file that is not metadata of a backup: a link in a store that many
 * can write to leads root's tool to a secret. Pure; imports nothing.
 *
 * @module
 */

// C: control (which terminals act on), format (bidirectional overrides, UAX #9), surrogate, private
// and unassigned characters; Zl, Zp: line and paragraph separators.
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

/**
 * Escapes whatever is not printable, as "\n", "\x1b" or "\u{202e}".
 *
 * A backslash stays as it is, so the result is for eyes only, and doing it twice changes nothing
 * more.
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
 * What stands for text of a file that does not look like what it should be, and so may be anything.
 */
export const WITHHELD = "?";

/**
 * Returns a text if it looks like a short word, such as the name of a format; else
 * {@linkcode WITHHELD}.
 */
export function shownWord(text: string): string {
  return /^[A-Za-z0-9._-]{1,40}$/.test(text) ? text : WITHHELD;
}

/** Returns a text if it looks like a host's name; else {@linkcode WITHHELD}. */
export function shownHostName(text: string): string {
  return /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/.test(text) ? text : WITHHELD;
}

/**
 * Puts text between quotation marks, {@linkcode printable}; for content of files give `maxChars`.
 */
export function quote(text: string, maxChars = Infinity): string {
  return `"${printable(text, maxChars)}"`;
}
