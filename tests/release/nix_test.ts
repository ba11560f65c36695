/**
 * The packages for Nix, built by Nix from an archive: `packaging/default.nix` and `flake.nix`, with
 * a stand-in for nixpkgs (`nixpkgs/`), as there may be no network.
 */

import config from "../../deno.json" with { type: "json" };
import { renderNixRelease } from "../../release/nix_release.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { ARCHIVE, makeStandIns, pack } from "./stand_ins.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const NIXPKGS = new URL("nixpkgs", import.meta.url).pathname;

/** A Nix store for one test. */
class NixStore implements Disposable {
  readonly scratch = new Scratch();
  readonly #env: readonly string[];

  constructor() {
    const { path } = this.scratch;
    this.#env = [
      ...["STORE", "STATE", "LOG", "CONF"].map((name) => `NIX_${name}_DIR=${path}/nix/${name}`),
      `HOME=${path}`,
      `NIX_CONFIG=${
        [
          "experimental-features = nix-command flakes",
          "sandbox = false", // the builder is the host's shell
          "build-users-group =",
          "substitute = false",
          "flake-registry =",
        ].join("\n")
      }`,
    ];
  }

  run(program: string, ...args: string[]): string {
    return runSync("env", ...this.#env, program, ...args);
  }

  [Symbol.dispose](): void {
    // Stores are read-only.
    runSync("chmod", "-R", "u+w", this.scratch.path);
    this.scratch[Symbol.dispose]();
  }
}

/** What a package has, its manual pages uncompressed. */
function describe(result: string): string[] {
  return runSync("sh", "-ec", 'cd "$1"; find . -type f -printf "%m %P\\n"', "sh", result)
    .split("\n").toSorted();
}

const EXPECTED = [
  ...["backy-extract", "backy-fuse"].flatMap((tool) => [
    `555 bin/${tool}`,
    `444 share/bash-completion/completions/${tool}`,
    `444 share/fish/vendor_completions.d/${tool}.fish`,
    `444 share/man/man1/${tool}.1.gz`,
    `444 share/zsh/site-functions/_${tool}`,
  ]),
  ...["deno.txt", "GPL-2.txt", "GPL-3.txt", "LGPL-2.1.txt", "libraries.txt", "LICENSE"].map((
    name,
  ) => `444 share/licenses/backy-extract/${name}`),
  ...["packed-libraries.txt", "yaml.txt"].map((name) => `444 share/licenses/backy-extract/${name}`),
].toSorted();

const problem = programProblem("nix-build", "tar", "gzip") ??
  (Deno.build.arch === "x86_64" ? null : "the stand-ins are for x86_64");

testUnless(problem, "Nix builds a package that installs an archive's files as they are", () => {
  using store = new NixStore();
  const { scratch } = store;
  const archive = pack(makeStandIns(scratch.file("made")), scratch.path);
  const file = scratch.file(
    "package.nix",
    `(import ${NIXPKGS}).callPackage ${ROOT}packaging/default.nix { src = ${archive}; }`,
  );
  const result = store.run("nix-build", "--no-out-link", file);
  assertEquals(describe(result), EXPECTED);
  for (const tool of ["backy-extract", "backy-fuse"]) {
    runSync("cmp", `${result}/bin/${tool}`, scratch.file(`made/${tool}`));
  }
  const attribute = (name: string) =>
    JSON.parse(store.run("nix-instantiate", "--eval", "--strict", "--json", file, "-A", name));
  assertEquals(attribute("version"), config.version);
  assertEquals(attribute("meta.mainProgram"), "backy-extract");
  assertEquals(attribute("meta.sourceProvenance")[0].shortName, "binaryNativeCode");
  assertEquals(
    attribute("meta.license").map(({ spdxId }: { spdxId: string }) => spdxId),
    [
      ...["bsd3", "mit", "isc", "lgpl21Plus", "lgpl21Only"],
      "GPL-3.0-or-later WITH GCC-exception-3.1",
    ],
  );
});

testUnless(
  problem ?? programProblem("nix"),
  "The flake builds and runs the release that release.json names, if its hash is right",
  () => {
    using store = new NixStore();
    const { scratch } = store;
    const archive = pack(makeStandIns(scratch.file("made")), scratch.path);
    // Without the rest of the project, which Nix would copy.
    const flake = scratch.file("flake");
    runSync("sh", "-ec", 'mkdir "$2"; cd "$1"; cp -r flake.nix packaging "$2"', "sh", ROOT, flake);
    const options = [
      ...[`path:${flake}`, "--no-write-lock-file"],
      ...["--override-input", "nixpkgs", `path:${NIXPKGS}`],
    ];
    const release = renderNixRelease(`file://${scratch.path}/`, [archive]);
    Deno.writeTextFileSync(`${flake}/packaging/release.json`, release);
    store.run("nix", "flake", "check", ...options);
    store.run("nix", "build", ...options, "--out-link", scratch.file("result"));
    assertEquals(describe(`${Deno.realPathSync(scratch.file("result"))}`), EXPECTED);
    assertEquals(store.run("nix", "run", ...options, "--", "--version"), "backy-extract");

    const [sha256] = /[0-9a-f]{64}/.exec(release)!;
    Deno.writeTextFileSync(
      `${flake}/packaging/release.json`,
      release.replace(sha256, "0".repeat(64)),
    );
    const error = assertThrows(() => store.run("nix", "build", ...options, "--no-link"), Error);
    assertStringIncludes(error.message, "hash mismatch");
  },
);

Deno.test("packaging/release.json names this version or an earlier one", () => {
  const { version, archives } = JSON.parse(
    Deno.readTextFileSync(`${ROOT}packaging/release.json`),
  ) as { version: string; archives: Record<string, { url: string; sha256: string }> };
  assertStringIncludes(Deno.readTextFileSync(`${ROOT}CHANGELOG.md`), version);
  for (const { url } of Object.values(archives)) assertStringIncludes(url, version);
});

Deno.test("renderNixRelease() takes the archives of this version only", () => {
  using scratch = new Scratch();
  const archive = scratch.file(`${ARCHIVE}.tar.gz`, "x");
  const { archives } = JSON.parse(renderNixRelease("https://example.org/v1", [archive]));
  assertEquals(archives["x86_64-linux"].url, `https://example.org/v1/${ARCHIVE}.tar.gz`);
  const other = scratch.file("backy-extract-0.0.1-x86_64-linux.tar.gz", "x");
  assertThrows(() => renderNixRelease("https://example.org", [other]), Error, "not this version");
});
