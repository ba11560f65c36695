import { namedTypes, partitionTypeName } from "../../lib/image/partition_types.ts";
import { assertEquals } from "../assert.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

testUnless(programProblem("sfdisk"), "partitionTypeName() names types as sfdisk does", () => {
  for (const [kind, label] of [["mbr", "dos"], ["gpt", "gpt"]] as const) {
    const listed = new Map(
      runSync("sfdisk", "--list-types", "--label", label).split("\n")
        .map((line) => /^ *(\S+)  +(.+?) *$/.exec(line))
        .map((match) => [match?.[1], match?.[2]] as const),
    );
    for (const [type, name] of namedTypes(kind)) {
      assertEquals([type, listed.get(type)], [type, name]);
    }
  }
});

Deno.test("partitionTypeName() has none for a rare type", () => {
  assertEquals(partitionTypeName("99"), null);
  assertEquals(partitionTypeName("constructor"), null);
});
