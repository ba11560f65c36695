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
import { ARCHIVE, makeStandIns, pack, renderStandIn, tryPack } from "./stand_ins.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const problem = programProblem("tar", "sha256sum");

/** Packs stand-ins into `out`, and unpacks the archive, both in a scratch directory. */
function packAndUnpack(scratch: Scratch): void {
  const archive = pack(makeStandIns(scratch.file("a")), scratch.file("out"));
  runSync("tar", "-C", scratch.path, "-xzf", archive);
}

testUnless(problem, "A release is the same bytes, whenever and from wherever it is packed", () => {
  using scratch = new Scratch();
  const first = pack(makeStandIns(scratch.file("a")), scratch.file("out"));
  // Neither the order nor the time in which files were made may matter.
  const made = makeStandIns(scratch.file("z z"));
  const { mode } = Deno.statSync(`${made}/backy-extract`);
  runSync("sh", "-c", `cd "$1" && cp backy-extract x && mv x backy-extract`, "sh", made);
  Deno.chmodSync(`${made}/backy-extract`, mode!);
  Deno.utimeSync(`${made}/backy-fuse`, 3, 3);
  const second = pack(made, scratch.file("elsewhere"));
  assertEquals(
    runSync("sha256sum", first).split(" ")[0],
    runSync("sha256sum", second).split(" ")[0],
  );
});

testUnless(problem, "A release has all files, with their modes, of root, at one time", () => {
  using scratch = new Scratch();
  const archive = pack(makeStandIns(scratch.file("a")), scratch.file("out"));
  const lines = runSync("tar", "--utc", "--full-time", "-tvzf", archive).split("\n");
  for (const line of lines) assertMatch(line, / root\/root .* 2023-11-14 22:13:20 /);
  const files = lines.map((line) => `${line.slice(0, 10)} ${line.split(`${ARCHIVE}/`)[1]}`);
  const plain = (path: string) => `-rw-r--r-- ${path}`;
  const inFolder = (folder: string) =>
    [...Deno.readDirSync(ROOT + folder)].map(({ name }) => plain(`${folder}/${name}`));
  assertEquals(
    files.toSorted(),
    [
      ...["backy-extract", "backy-fuse", "examples/instant-recovery.sh"].map((path) =>
        `-rwxr-xr-x ${path}`
      ),
      ...inFolder("examples").filter((line) => !/\.(ts|sh)$/.test(line)),
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
      ...["deno", "libraries", "LGPL-2.1", "GPL-2", "GPL-3", "packed-libraries", "yaml"].map((
        name,
      ) => plain(`licenses/${name}.txt`)),
    ].toSorted(),
  );
  assertEquals(
    inFolder("man").toSorted(),
    ["backy-extract.1", "backy-fuse.1"].map((page) => plain(`man/${page}`)),
  );
});

Deno.test("dist.ts refuses executables that are not portable, unless --plain says so", () => {
  using scratch = new Scratch();
  const made = makeStandIns(scratch.file("a"), { isPlain: true });
  const output = scratch.file("out");
  assertEquals(
    tryPack(made, output),
    `Cannot release "${made}/backy-extract": it is not portable; build it where the libraries ` +
      "can be downloaded (docs/building.md), or say --plain\n",
  );
  assertEquals(tryPack(made, output, { args: ["--plain"] }), "");
  Deno.writeFileSync(`${made}/backy-extract`, renderStandIn("x"));
  assertStringIncludes(tryPack(made, output), `"${made}/backy-fuse": it is not portable`);
  Deno.writeFileSync(`${made}/backy-fuse`, renderStandIn("x"));
  assertStringIncludes(tryPack(made, output), "it has no licenses/packed-libraries.txt");
  Deno.writeTextFileSync(`${made}/backy-fuse`, "#!/bin/sh\n");
  assertStringIncludes(tryPack(made, output), "not a position-independent executable");
});

Deno.test("dist.ts packs executables for aarch64 as it does those for x86_64", () => {
  using scratch = new Scratch();
  const target = "aarch64-unknown-linux-gnu";
  const made = makeStandIns(scratch.file("a"), { target });
  const output = scratch.file("out");
  assertEquals(
    tryPack(made, output),
    `Cannot release "${made}/backy-extract" for "x86_64-unknown-linux-gnu": ` +
      "it is for ELF machine 183\n",
  );
  assertEquals(tryPack(made, output, { target }), "");
  const [here, there] = [
    pack(makeStandIns(scratch.file("x")), output),
    `${output}/backy-extract-${config.version}-aarch64-linux.tar.gz`,
  ].map((archive) => runSync("sh", "-c", `tar -tzf "$1" | sed 's|^[^/]*/||'`, "sh", archive));
  assertEquals(here, there);
});

testUnless(problem, "What the documents of a release link to is in it", () => {
  using scratch = new Scratch();
  packAndUnpack(scratch);
  const root = `${scratch.file(ARCHIVE)}/`;
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
  packAndUnpack(scratch);
  runSync("sh", "-c", `cd '${scratch.file("out")}' && sha256sum -c ${ARCHIVE}.tar.gz.sha256`);
  const checked = runSync("sh", "-c", `cd '${scratch.file(ARCHIVE)}' && sha256sum -c SHA256SUMS`);
  const files = runSync("sh", "-c", `cd '${scratch.file(ARCHIVE)}' && find . -type f`).split("\n");
  assertEquals(checked.split("\n").length, files.length - 1);
  assertEquals(runSync(`${scratch.file(ARCHIVE)}/backy-fuse`), "backy-fuse");
});

testUnless(
  problem,
  "The README's commands install all of a release where no folder is there yet",
  () => {
    using scratch = new Scratch();
    packAndUnpack(scratch);
    const root = scratch.file("root");
    const readme = Deno.readTextFileSync(`${ROOT}README.md`);
    const commands = [...readme.matchAll(/^# (install .*)$/gm)].map(([, command]) => command!);
    assert(commands.length > 0);
    const script = commands.join("\n").replaceAll(/ \/(?=usr|etc)/g, ' "$1"/');
    runSync("sh", "-ec", `cd "$2"; ${script}`, "sh", root, scratch.file(ARCHIVE));
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
      `${scratch.file(ARCHIVE)}/completions/backy-fuse.bash`,
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
