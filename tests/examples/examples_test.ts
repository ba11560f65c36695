/** The programs in `examples/` run as they say. */

import { assertEquals, assertMatch } from "../assert.ts";
import { SampleStore } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";

async function runExample(
  name: string,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const path = new URL(`../../examples/${name}`, import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", "--config", config, path, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("examples/restore.ts restores a revision, and says what is wrong with one", async () => {
  using store = new SampleStore();
  const output = store.file("image");
  const good = await runExample("restore.ts", store.revision.path, output);
  assertEquals([good.code, good.stdout], [0, `restored ${store.image.length} bytes\n`]);
  assertBytes(Deno.readFileSync(output), store.image);

  const refused = await runExample("restore.ts", store.revision.path, store.basedir);
  assertEquals(refused.code, 1);
  assertMatch(
    refused.stderr,
    /^the target failed or was refused: Cannot restore to .*directory\n$/,
  );
});

Deno.test("examples/newest.ts names the newest revision of each machine", async () => {
  using store = new SampleStore();
  const folder = store.basedir.slice(0, store.basedir.lastIndexOf("/"));
  const { code, stdout } = await runExample("newest.ts", folder);
  assertEquals(code, 0);
  assertMatch(stdout, /^vm0: SampleRevision, \d+ hours old\n$/);
});
