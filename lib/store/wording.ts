/**
 * How text that comes from a store, and failures of the system, are put into messages.
 *
 * Everything in a store is untrusted, file names and other processes' command lines included: a message
 * must stay one line of bounded length, and must not carry a terminal's control sequences.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { errnoName, errnoText } from "../ffi/errno.ts";

// C: control, format (bidirectional overrides), surrogate, private and unassigned; Zl, Zp: line separators.
const unsafe = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Escapes whatever is not printable.
 *
 * @param maxChars Length, in UTF-16 units, at which the text is cut and "…" put after it.
 */
export function printable(text: string, maxChars = Infinity): string {
  const kept = text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
  return kept.replace(unsafe, (char) => {
    if (char === "\n") return "\\n";
    if (char === "\t") return "\\t";
    return `\\u{${char.codePointAt(0)!.toString(16)}}`;
  });
}

/** Puts text between quotation marks, {@linkcode printable}; for content of files give `maxChars`. */
export function quote(text: string, maxChars = Infinity): string {
  return `"${printable(text, maxChars)}"`;
}

/**
 * Says why the system refused something, without the path (the message around it names that).
 *
 * @param error An error of `Deno.*` or of lib/ffi.
 * @returns Such as "Permission denied (EACCES)".
 */
export function reasonOf(error: unknown): string {
  if (error instanceof OsError) return `${errnoText(error.errno)} (${error.errnoName})`;
  const message = error instanceof Error ? error.message : String(error);
  // Deno writes "No such file or directory (os error 2): stat '/x'".
  const match = /^(.*?) \(os error (\d+)\)/s.exec(message);
  return match ? `${match[1]} (${errnoName(Number(match[2]))})` : printable(message, 200);
}
