/** What the library shows to programs that use it. */

import { assertEquals } from "./assert.ts";

/** The modules that other programs import. */
const FACES = ["lib/mod.ts", "lib/deno_fuse/mod.ts"];

Deno.test("every published name is documented, and no published type is hidden", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--lint", ...FACES],
    cwd: new URL("..", import.meta.url),
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, "Checked 2 files\n"]);
});
