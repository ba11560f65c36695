/**
 * Links in a store lead to files that only root may read. Whatever the tool says of them, it never
 * shows their text.
 *
 * @module
 */

import { assertEquals } from "../assert.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { TestStore } from "../support/test_store.ts";
import { extract } from "./harness.ts";

const SECRET = "correcthorse";

/** Texts like those of files on hosts, with the secret wherever a message might quote. */
const PLAIN = [SECRET, `${SECRET}\n`, `root:$y$j9T$${SECRET}$x:19000:0:99999:7:::\n`];
const YAML = [
  `password: ${SECRET}\n`,
  `server: ${SECRET}\nbackend_type: ${SECRET}\ntags: [${SECRET}]\ntrust: ${SECRET}\n`,
  `- ${SECRET}\n`,
  `a: *${SECRET}\n`,
  `"${SECRET}": [\n`,
  `uuid: ${SECRET}\nserver: ${SECRET}, two\ntags: [${SECRET}]\n`,
];
const JSON_TEXTS = [
  `{"mapping": {"${SECRET}": "x"}, "size": 4194304}`,
  `{"mapping": {"0": "${SECRET}"}, "size": 4194304}`,
  `{"${SECRET}": "${SECRET}"}`,
];

/** Where a link may be, its kind, and what its file may hold. */
const LINKS: readonly [path: string, link: "hard" | "symbolic", texts: readonly string[]][] = [
  ["chunks/store", "symbolic", PLAIN],
  ["chunks/store", "hard", PLAIN],
  ["Other.rev", "symbolic", YAML.slice(0, 2)],
  ["Other.rev", "hard", [...YAML, PLAIN[2]!]],
  ["Other", "symbolic", [...JSON_TEXTS, PLAIN[2]!]],
  ["Other", "hard", JSON_TEXTS.slice(0, 1)],
  ["last.rev", "symbolic", YAML.slice(0, 2)],
  ["OnlyMetadata.rev", "symbolic", YAML.slice(0, 2)],
  ["OnlyMetadata.rev", "hard", YAML.slice(0, 2)],
  ["config", "symbolic", [SECRET]],
  [".purge", "symbolic", [SECRET]],
];

const COMMANDS: readonly (readonly string[])[] = [
  ["list", "DIR"],
  ["list", "--json", "DIR"],
  ["--json", "DIR/Other", "TARGET"],
  ["-r", "tag:daily", "DIR"],
  ["--dry-run", "DIR/OnlyMetadata"],
  ["check", "DIR"],
];

Deno.test("No text of a file that a link in the store leads to is shown", async (t) => {
  using store = new TestStore();
  store.add("SampleRevision", [sampleBytes(1, 1000)]);
  store.add("Other", [sampleBytes(7, 1000)]);
  Deno.symlinkSync("SampleRevision", `${store.basedir}/last`);
  Deno.symlinkSync("SampleRevision.rev", `${store.basedir}/last.rev`);
  for (const [path, link, texts] of LINKS) {
    await t.step(`${path}, a ${link} link`, async () => {
      const place = `${store.basedir}/${path}`;
      const before = readOrNull(place);
      try {
        for (const text of texts) {
          const secret = store.file("secret", text);
          removeIfThere(place);
          if (link === "hard") Deno.linkSync(secret, place);
          else Deno.symlinkSync(secret, place);
          const command = (args: readonly string[]) =>
            args.map((arg) => arg.replace("DIR", store.basedir).replace("TARGET", store.file("x")));
          const outcomes = await Promise.all(COMMANDS.map((args) => extract(command(args))));
          outcomes.forEach(({ stdout, stderr }, index) => {
            const shown = new TextDecoder("latin1").decode(stdout) + stderr;
            const where = `${JSON.stringify(text)} by ${COMMANDS[index]!.join(" ")}: ${shown}`;
            assertEquals(shown.includes(SECRET), false, where);
          });
          Deno.removeSync(secret);
        }
      } finally {
        removeIfThere(place);
        if (before !== null) Deno.writeFileSync(place, before);
      }
    });
  }
});

function readOrNull(path: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
