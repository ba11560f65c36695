/**
 * Releases: what is in the archive, and that the same input gives the same bytes.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };
import { renderCompletions } from "../../release/completions.ts";
import { renderTar } from "../../release/tar.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const NAME = `backy-extract-${config.version}-x86_64-linux`;

/** Stands for a folder with executables. */
function standIns(scratch: Scratch, name: string): string {
  const folder = scratch.file(name);
  Deno.mkdirSync(`${folder}/licenses`, { recursive: true });
  const tools = ["backy-extract", "backy-fuse"];
  // Neither the order nor the time in which files were made may matter.
  for (const tool of name < "m" ? tools : tools.reverse()) {
    Deno.writeTextFileSync(`${folder}/${tool}`, `#!/bin/sh\necho ${tool}\n`);
  }
  Deno.writeTextFileSync(`${folder}/licenses/yaml.txt`, "ISC\n");
  Deno.utimeSync(`${folder}/backy-fuse`, name.length, name.length);
  return folder;
}

function pack(binaries: string, output: string, time = "1700000000"): string {
  const { success, stderr } = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", `${ROOT}release/dist.ts`, "--target", "x86_64-unknown-linux-gnu"],
      ...["--binaries", binaries, "--output", output],
    ],
    env: { SOURCE_DATE_EPOCH: time },
  }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
  return `${output}/${NAME}.tar.gz`;
}

const problem = programProblem("tar", "sha256sum");

testUnless(problem, "A release is the same bytes, whenever and from wherever it is packed", () => {
  using scratch = new Scratch();
  const first = pack(standIns(scratch, "a"), scratch.file("out"));
  const second = pack(standIns(scratch, "z z"), scratch.file("elsewhere"));
  assertEquals(
    runSync("sha256sum", first).split(" ")[0],
    runSync("sha256sum", second).split(" ")[0],
  );
});

testUnless(problem, "A release has all files, with their modes, of root, at one time", () => {
  using scratch = new Scratch();
  const archive = pack(standIns(scratch, "a"), scratch.file("out"));
  const lines = runSync("tar", "--utc", "--full-time", "-tvzf", archive).split("\n");
  for (const line of lines) assertMatch(line, / root\/root .* 2023-11-14 22:13:20 /);
  const files = lines.map((line) => `${line.slice(0, 10)} ${line.split(`${NAME}/`)[1]}`);
  const plain = (path: string) => `-rw-r--r-- ${path}`;
  const inFolder = (folder: string) =>
    [...Deno.readDirSync(ROOT + folder)].map(({ name }) => plain(`${folder}/${name}`));
  assertEquals(
    files.toSorted(),
    [
      ...["-rwxr-xr-x backy-extract", "-rwxr-xr-x backy-fuse"],
      ...["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"].map(plain),
      ...[
        "SHA256SUMS",
        "lib/README.md",
        "lib/deno_fuse/README.md",
        "packaging/default.nix",
        "wasm/README.md",
      ].map(plain),
      ...["docs", "man"].flatMap(inFolder),
      ...[...renderCompletions().keys()].map((name) => plain(`completions/${name}`)),
      ...["deno", "libraries", "LGPL-2.1", "GPL-2", "GPL-3", "yaml"].map((name) =>
        plain(`licenses/${name}.txt`)
      ),
    ].toSorted(),
  );
  assertEquals(
    inFolder("man").toSorted(),
    ["backy-extract.1", "backy-fuse.1"].map((page) => plain(`man/${page}`)),
  );
});

testUnless(problem, "What the documents of a release link to is in it", () => {
  using scratch = new Scratch();
  runSync("tar", "-C", scratch.path, "-xzf", pack(standIns(scratch, "a"), scratch.file("out")));
  const root = `${scratch.file(NAME)}/`;
  // Those in lib and wasm are about the sources, and link to them.
  const documents = runSync("sh", "-c", `cd '${root}' && ls *.md docs/*.md`).split("\n");
  let links = 0;
  for (const document of documents) {
    const text = Deno.readTextFileSync(root + document);
    for (const [, link] of text.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
      if (/^https?:/.test(link!)) continue;
      Deno.statSync(new URL(link!, `file://${root}${document}`));
      links++;
    }
  }
  assert(links > 10, `${links} links`);
});

testUnless(problem, "A release's checksums are right, inside and beside the archive", () => {
  using scratch = new Scratch();
  const archive = pack(standIns(scratch, "a"), scratch.file("out"));
  runSync("sh", "-c", `cd '${scratch.file("out")}' && sha256sum -c ${NAME}.tar.gz.sha256`);
  runSync("tar", "-C", scratch.path, "-xzf", archive);
  const checked = runSync("sh", "-c", `cd '${scratch.file(NAME)}' && sha256sum -c SHA256SUMS`);
  const files = runSync("sh", "-c", `cd '${scratch.file(NAME)}' && find . -type f`).split("\n");
  assertEquals(checked.split("\n").length, files.length - 1);
  assertEquals(runSync(`${scratch.file(NAME)}/backy-fuse`), "backy-fuse");
});

testUnless(
  problem,
  "The README's commands install all of a release where no folder is there yet",
  () => {
    using scratch = new Scratch();
    runSync("tar", "-C", scratch.path, "-xzf", pack(standIns(scratch, "a"), scratch.file("out")));
    const root = scratch.file("root");
    const readme = Deno.readTextFileSync(`${ROOT}README.md`);
    const commands = [...readme.matchAll(/^# (install .*)$/gm)].map(([, command]) => command!);
    assert(commands.length > 0);
    const script = commands.join("\n").replaceAll(/ \/(?=usr|etc)/g, ' "$1"/');
    runSync("sh", "-ec", `cd "$2"; ${script}`, "sh", root, scratch.file(NAME));
    const installed = runSync(
      "sh",
      "-c",
      'cd "$1" && find . -type f -printf "%m %P\n"',
      "sh",
      root,
    );
    const expected = ["backy-extract", "backy-fuse"].flatMap((tool) => [
      `644 usr/share/bash-completion/completions/${tool}`,
      `644 usr/local/share/zsh/site-functions/_${tool}`,
      `644 etc/fish/completions/${tool}.fish`,
      `644 usr/local/share/man/man1/${tool}.1`,
      `755 usr/local/bin/${tool}`,
    ]);
    assertEquals(installed.split("\n").toSorted(), expected.toSorted());
    runSync(
      "cmp",
      `${root}/usr/share/bash-completion/completions/backy-fuse`,
      `${scratch.file(NAME)}/completions/backy-fuse.bash`,
    );
  },
);

Deno.test("renderTar() refuses names that ustar cannot hold, and two of a kind", () => {
  const entry = (name: string) => ({ name, mode: 0o644, content: new Uint8Array() });
  assertThrows(() => [...renderTar([entry("x".repeat(101))], 0)], RangeError);
  assertThrows(() => [...renderTar([entry("a"), entry("b"), entry("a")], 0)], RangeError);
});

Deno.test("The changelog tells of this version", () => {
  const changelog = Deno.readTextFileSync(`${ROOT}CHANGELOG.md`);
  const newest = /^## \[(.*?)\](?: - \d{4}-\d\d-\d\d)?$/m.exec(changelog)?.[1];
  assert(newest === "Unreleased" || newest === config.version, newest);
  assertStringIncludes(changelog, config.version);
});

// Without one, Deno downloads a runtime.
const denortProblem = Deno.env.has("DENORT_BIN") ? null : "no DENORT_BIN";

testUnless(denortProblem, "build.ts makes the same executables in another folder and cache", () => {
  using scratch = new Scratch();
  const copy = scratch.file("another folder");
  Deno.mkdirSync(copy);
  runSync(
    "sh",
    "-c",
    `cd '${ROOT}' && cp -r deno.json import_map.json deno.lock *.ts lib wasm release '${copy}'`,
  );
  const cache: string = JSON.parse(runSync(Deno.execPath(), "info", "--json")).denoDir;
  Deno.mkdirSync(scratch.file("cache"));
  runSync("cp", "-r", `${cache}/npm`, scratch.file("cache/npm"));
  const builds = [[ROOT, cache, "here"], [copy, scratch.file("cache"), "there"]] as const;
  for (const [folder, cache, output] of builds) {
    runSync(
      ...["env", `DENO_DIR=${cache}`, Deno.execPath(), "run", "-A"] as const,
      ...[`${folder}/release/build.ts`, "--output", scratch.file(output)],
    );
  }
  for (const tool of ["backy-extract", "backy-fuse"]) {
    runSync("cmp", scratch.file(`here/${tool}`), scratch.file(`there/${tool}`));
    // What it was made from and where is nobody's business.
    for (const path of [ROOT, cache]) {
      runSync("sh", "-c", '! grep -qaF "$1" "$2"', "sh", path, scratch.file(`here/${tool}`));
    }
  }
});
