/**
 * The words of messages, from where they live now.
 *
 * @module
 */

export { reasonOf } from "../ffi/errno.ts";
export { printable, quote } from "../wording.ts";
