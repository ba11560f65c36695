/** What the library shows to programs that use it, and that they can use it from anywhere. */

import { assertEquals, assertMatch } from "./assert.ts";
import { SampleStore } from "./cli/sample_store.ts";

const ROOT = new URL("..", import.meta.url);

/** The modules that other programs import. */
const FACES = ["lib/mod.ts", "lib/deno_fuse/mod.ts"];

/** Runs the runtime. */
async function deno(
  args: readonly string[],
  cwd: URL | string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("every published name is documented, and no published type is hidden", async () => {
  const { code, stderr } = await deno(["doc", "--lint", ...FACES], ROOT);
  assertEquals([code, stderr], [0, "Checked 2 files\n"]);
});

Deno.test("the package could be published", async () => {
  const { code, stderr } = await deno(["publish", "--dry-run", "--allow-dirty"], ROOT);
  assertEquals(code, 0, stderr);
  assertMatch(stderr, /wasm\/build\/codec\.wasm/);
  assertEquals(stderr.includes("lib/cli/"), false);
});

Deno.test("a program outside of the project imports the library by its path", async () => {
  using store = new SampleStore();
  const program = store.file(
    "program.ts",
    `import { openImage, restore } from "${new URL("lib/mod.ts", ROOT)}";
     import { Errno } from "${new URL("lib/deno_fuse/mod.ts", ROOT)}";
     const [revision, output] = Deno.args;
     using image = await openImage(revision);
     const { imageBytes } = await restore({ revision, output });
     const end = await image.read(imageBytes - 3, 10);
     console.log(image.size === imageBytes, end.length, Errno.EIO);`,
  );
  const output = store.file("image");
  const outcome = await deno(
    ["run", "-A", "--no-config", "--no-lock", program, store.revision.path, output],
    store.file("."),
  );
  assertEquals([outcome.code, outcome.stdout], [0, "true 3 5\n"], outcome.stderr);
  assertEquals(Deno.readFileSync(output), store.image);
});
