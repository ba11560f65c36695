import { radosFunctions, rbdFunctions } from "../../lib/linux/librbd.ts";
import { statOrNull } from "../../lib/linux/file_status.ts";
import { assert, assertEquals } from "../assert.ts";
import { testUnless } from "../support/machine.ts";
import { compilerProblem, runC } from "./c_program.ts";
import { ADDRESS_TYPES, declarationsIn, isPassedAs, typeOf } from "./declarations.ts";

const known = declarationsIn("lib/linux/librbd.ts");
const table = Object.entries({ ...radosFunctions, ...rbdFunctions });
const noHeaders = compilerProblem ??
  (statOrNull("/usr/include/rbd/librbd.h") === null ? "no rbd/librbd.h" : null);

Deno.test("Every row of the tables of librados and librbd has its C declaration", () => {
  for (const [row] of table) assertEquals(known.get(row)?.name, row);
});

testUnless(noHeaders, "The tables of librados and librbd say what the headers say", () => {
  const all = [...known.values()];
  const scalars = new Set(
    all.flatMap(({ result, parameters }) => [result, ...parameters.map(typeOf)])
      .filter((type) => !type.endsWith("*") && ![...ADDRESS_TYPES, "void"].includes(type)),
  );
  // A declaration that differs from the header's does not compile.
  const output = runC(`
      #include <stdio.h>
      #include <rbd/librbd.h>
      ${all.map(({ text }) => text).join("\n")}
      #define SHOW(type) \\
        printf("%s=%c%zu\\n", #type, (type)-1 < (type)1 ? 'i' : 'u', 8 * sizeof(type))
      int main(void) { ${[...scalars].map((type) => `SHOW(${type});`).join(" ")} }
    `);
  const sizes = new Map(output.split("\n").map((line) => line.split("=") as [string, string]));
  for (const [row, definition] of table) {
    const { result, parameters } = known.get(row)!;
    assertEquals(definition.parameters.length, parameters.length, row);
    assert(isPassedAs(result, definition.result, sizes), `${row}: ${result}`);
    definition.parameters.forEach((type, index) => {
      const cType = typeOf(parameters[index]!);
      assert(isPassedAs(cType, type, sizes), `${row}: ${cType} is not ${type}`);
    });
  }
});
