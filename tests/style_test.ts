/**
 * What the formatter and the linter do not look at.
 *
 * @module
 */

import { assertEquals } from "./assert.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const MAX_COLUMNS = 100;

/** All TypeScript of the project but what is compiled to WebAssembly. */
function* sources(folder = ROOT): Generator<{ path: string; lines: string[] }> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (name.startsWith(".") || ["assembly", "dist", "node_modules"].includes(name)) continue;
    const path = `${folder}${name}`;
    if (isDirectory) yield* sources(`${path}/`);
    else if (name.endsWith(".ts")) {
      yield { path: path.slice(ROOT.length), lines: Deno.readTextFileSync(path).split("\n") };
    }
  }
}

/** Places of lines, as `lib/errors.ts:12`. */
function find(test: (line: string) => boolean): string[] {
  return [...sources()].flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => test(line) ? [`${path}:${index + 1}`] : [])
  );
}

const isComment = (line: string): boolean => /^\s*(\/\/|\/\*|\*)/.test(line);

// `{ ...{ onErorr: "abort" } }` compiles: the check for misspelt fields looks at plain literals
// only.
Deno.test("No literal is spread to group fields", () => {
  const spread = "..." + "{";
  assertEquals(find((line) => !isComment(line) && line.includes(spread)), []);
});

Deno.test("Lines of comments are no longer than lines of code, but for tables", () => {
  const isTable = (line: string) => /^\s*\* \|/.test(line);
  const isLong = (line: string) => line.length > MAX_COLUMNS && !isTable(line);
  assertEquals(find((line) => isComment(line) && isLong(line)), []);
});
