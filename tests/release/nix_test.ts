/**
 * `packaging/default.nix` is understood by Nix and packs this version. Without nixpkgs nothing is
 * built.
 */

import config from "../../deno.json" with { type: "json" };
import { assertEquals } from "../assert.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { testUnless } from "../support/machine.ts";

const PACKAGE = new URL("../../packaging/default.nix", import.meta.url).pathname;

/** Of nixpkgs, what the package uses. */
const EVALUATE = `
  let package = import ${PACKAGE} {
    lib = { licenses.bsd3 = 1; sourceTypes.binaryNativeCode = 2; };
    stdenvNoCC.mkDerivation = attributes: attributes;
    installShellFiles = 3;
    src = 4;
  };
  in [ package.pname package.version package.dontStrip package.dontPatchELF ]
`;

testUnless(
  programProblem("nix-instantiate"),
  "The Nix package installs the files as they are",
  () => {
    const result = runSync(
      "nix-instantiate",
      ...["--eval", "--strict", "--json", "--store", "dummy://", "--expr", EVALUATE],
    );
    assertEquals(JSON.parse(result), ["backy-extract", config.version, true, true]);
  },
);
