/**
 * Reads the C declarations beside the rows of a table of foreign functions, so that tests can hold
 * both against the headers.
 *
 * @module
 */

import { assert } from "../assert.ts";

/** A C function as a table of functions declares it. */
export interface Declaration {
  /** As the table's comment has it, with one space between words. */
  readonly text: string;
  /** C name of the function. */
  readonly name: string;
  readonly result: string;
  readonly parameters: readonly string[];
}

/**
 * The C declarations in the comments of a table of functions, by the names of the rows below them.
 *
 * @param file Relative to the project.
 */
export function declarationsIn(file: string): Map<string, Declaration> {
  const source = Deno.readTextFileSync(new URL(`../../${file}`, import.meta.url));
  const found = new Map<string, Declaration>();
  for (const [, comment, row] of source.matchAll(/((?:^ {2}\/\/ .*\n)+) {2}(\w+): \{/gm)) {
    const text = comment!.replaceAll(/^ {2}\/\/ +/gm, "").replaceAll("\n", " ");
    const match = /(?:^|\. )([\w ]+[ *])(\w+)\((.*)\);/.exec(text);
    assert(match, `No declaration above "${row}"`);
    const [, result, name, list] = match;
    const parameters = list === "void" ? [] : list!.split(/, (?![^(]*\))/);
    found.set(row!, {
      text: `${result}${name}(${list});`,
      name: name!,
      result: result!.trim(),
      parameters,
    });
  }
  return found;
}

/** The type of a parameter without its name; a pointer to a function as such. */
export function typeOf(parameter: string): string {
  return parameter.includes("(*")
    ? "void *"
    : parameter.replace(/\w+$/, "").trim().replace(/\* ?const$/, "*");
}

/** Names of types that are addresses. Those with `__` are glibc's, for `struct sockaddr *`. */
export const ADDRESS_TYPES = [
  ...["va_list", "sighandler_t", "__SOCKADDR_ARG", "__CONST_SOCKADDR_ARG"],
  ...["rados_t", "rados_ioctx_t", "rbd_image_t", "rbd_image_options_t"],
  ...["rbd_callback_t", "rbd_completion_t"],
];

/** What FFI calls a C type, given the names of the scalar ones. */
export function isPassedAs(
  cType: string,
  ffiType: unknown,
  scalars: ReadonlyMap<string, string>,
): boolean {
  if (cType === "void") return ffiType === "void";
  // A buffer is an address here; usize where the address is only a number.
  const isAddress = cType.endsWith("*") || ADDRESS_TYPES.includes(cType);
  if (isAddress) return ["buffer", "pointer", "function", "usize"].includes(ffiType as string);
  const wanted = scalars.get(cType);
  return ffiType === wanted || ffiType === wanted?.replace("64", "size");
}
