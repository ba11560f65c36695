/**
 * Takes the commands out of the documents, so that tests can run what users will type.
 *
 * @module
 */

import { assert } from "../assert.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The blocks of code in a language, such as "console", below a heading of the second level. */
export function codeBlocks(file: string, heading: string, language: string): string[] {
  const section = Deno.readTextFileSync(ROOT + file).split(/^## /m)
    .find((part) => part.startsWith(`${heading}\n`));
  assert(section !== undefined, `${file} has no section "${heading}"`);
  return [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, name]) => name === language).map(([, , text]) => text!);
}

/**
 * The commands of a console block below a heading of the second level. Comments stay; output is
 * left out.
 *
 * @param file Relative to the project.
 * @param block Number of the block among those of the section, from 0 on.
 */
export function recipe(file: string, heading: string, block = 0): string[] {
  const blocks = codeBlocks(file, heading, "console");
  const text = blocks[block];
  assert(text !== undefined, `${file}, "${heading}" has ${blocks.length} blocks`);
  const commands = [...text.matchAll(/^[#$] ((?:.*\\\n)*.*)$/gm)].map(([, command]) => command!);
  assert(commands.length > 0);
  return commands;
}

/** Quotes a word for a shell. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
