/**
 * How text that comes from elsewhere is put into messages.
 *
 * Everything in a store is untrusted, and so are file names and other processes' command lines: a
 * message must stay one line of bounded length and must not carry a terminal's control sequences.
 * Nor may it show the text of a file that is not metadata of a backup: a link in a store that many
 * can write to leads root's tool to a secret. Pure.
 *
 * @module
 */

export { printable, quote } from "./linux/printable.ts";

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
