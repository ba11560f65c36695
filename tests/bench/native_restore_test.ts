import { assert, assertEquals } from "../assert.ts";
import { assertContent, patched } from "../support/bytes.ts";
import { liblzo2 } from "../support/liblzo2.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, tryRun } from "../support/programs.ts";
import { addRevision, imageOf, makeStore, sampleBytes } from "../support/store_builder.ts";
import { compileNativeRestore } from "./native_restore.ts";

const problem = programProblem("cc") ?? (liblzo2 === null ? "no liblzo2" : null);

testUnless(
  problem,
  "The restore in C writes the image, and tells a target that differs",
  async () => {
    using scratch = new Scratch();
    const basedir = scratch.file("vm0"), target = scratch.file("target");
    makeStore(basedir);
    const chunks = [sampleBytes(1), "absent", sampleBytes(2).fill(0, 65_536, 262_144)] as const;
    const { ids } = addRevision(basedir, "sample", chunks);
    const native = compileNativeRestore(scratch.path, { basedir, ids });
    assert(native.problem === null, native.problem ?? "");
    const run = async (what: "restore" | "compare") => {
      const [program = "", ...args] = native.args(what, target);
      return (await tryRun(program, ...args)).code;
    };
    const image = imageOf(chunks);
    assertEquals(await run("restore"), 0);
    await assertContent(target, image);
    assertEquals(await run("compare"), 0);
    for (const offset of [0, 4_194_304]) {
      Deno.writeFileSync(target, patched(image, offset, Uint8Array.of(image[offset]! ^ 1)));
      assertEquals(await run("compare"), 1);
    }
  },
);
