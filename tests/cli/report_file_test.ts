import { openReportFile, requireReportFile } from "../../lib/cli/report_file.ts";
import { UsageError } from "../../lib/errors.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { makeStore } from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";

const TARGET = "/nowhere/target";

function exists(path: string): boolean {
  try {
    return Deno.statSync(path) !== null;
  } catch {
    return false;
  }
}

Deno.test("openReportFile() creates the file at once, and removes it unless a report is written", () => {
  using scratch = new Scratch();
  const path = scratch.file("report");
  {
    using _file = openReportFile(path, TARGET);
    assertEquals(Deno.statSync(path).size, 0);
  }
  assertEquals(exists(path), false);
  {
    using file = openReportFile(path, TARGET);
    file.write({ revision: "x\x1b", at: NaN });
  }
  assertEquals(Deno.readTextFileSync(path), '{"revision":"x\\u001b","at":null}\n');
});

Deno.test("openReportFile() takes an empty file, and leaves it where nothing is written", () => {
  using scratch = new Scratch();
  const path = scratch.file("report", "");
  openReportFile(path, TARGET)[Symbol.dispose]();
  assertEquals(exists(path), true);
  using file = openReportFile(path, TARGET);
  file.write({});
  assertEquals(Deno.readTextFileSync(path), "{}\n");
});

Deno.test("openReportFile() and requireReportFile() refuse the same, and change nothing", () => {
  using scratch = new Scratch();
  const full = scratch.file("full", "old");
  const empty = scratch.file("empty", "");
  Deno.linkSync(empty, scratch.file("hard-link"));
  Deno.symlinkSync(scratch.path, scratch.file("folder"));
  Deno.symlinkSync("nothing", scratch.file("dangling"));
  const cases: [path: string, target: string, state: string][] = [
    [full, TARGET, "it exists and is not empty; name another file"],
    [scratch.path, TARGET, "it is not a regular file"],
    ["/dev/null", TARGET, "it is not a regular file"],
    [scratch.file("none/report"), TARGET, "No such file or directory (ENOENT)"],
    [`${full}/report`, TARGET, "Not a directory (ENOTDIR)"],
    [empty, empty, "the image is restored to it"],
    [empty, scratch.file("hard-link"), "the image is restored to it"],
    [scratch.file("new"), scratch.file("folder/new"), "the image is restored to it"],
    [scratch.file("new"), scratch.file("new"), "the image is restored to it"],
  ];
  const store = scratch.file("vm0"), linked = scratch.file("linked", "");
  makeStore(store);
  Deno.linkSync(linked, scratch.file("second name"));
  const inStore = `it lies in the backup directory "${store}"; name another file`;
  cases.push(
    [`${store}/report`, TARGET, inStore],
    [`${store}/.purge`, TARGET, inStore],
    [`${store}/chunks/new`, TARGET, inStore],
    [
      linked,
      TARGET,
      "it has 2 names (hard links), and would change under all of them; name another file",
    ],
  );
  const names = () => [...Deno.readDirSync(scratch.path)].map(({ name }) => name).sort();
  const before = names();
  for (const [path, target, state] of cases) {
    for (const refuse of [openReportFile, requireReportFile]) {
      const { message } = assertThrows(() => refuse(path, target), UsageError);
      assertEquals(message, `Cannot use option "--report": "${path}": ${state}`);
    }
  }
  assertThrows(() => openReportFile(scratch.file("dangling"), TARGET), UsageError);
  assertEquals(names(), before);
});

Deno.test("requireReportFile() accepts what can be written, beside the target and with standard output", () => {
  using scratch = new Scratch();
  requireReportFile(scratch.file("report"), scratch.file("target"));
  requireReportFile(scratch.file("report", ""), "-");
  requireReportFile("./-", "-");
  assertEquals([...Deno.readDirSync(scratch.path)].length, 1);
});
