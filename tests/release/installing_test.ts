/**
 * What docs/installing.md says is done here as far as one machine can: its commands for an archive,
 * its expressions for Nix, its script for initramfs-tools.
 */

import { assertEquals, assertStringIncludes } from "../assert.ts";
import { codeBlocks, recipe } from "../cli/recipes.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { ARCHIVE, makeStandIns, pack } from "./stand_ins.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const NIXPKGS = new URL("nixpkgs", import.meta.url).pathname;
const DOCUMENT = "docs/installing.md";

testUnless(
  programProblem("tar", "sha256sum"),
  "The commands for a release's archive check and unpack it",
  () => {
    using scratch = new Scratch();
    pack(makeStandIns(scratch.file("made")), scratch.path);
    const commands = recipe(DOCUMENT, "From a release's archive");
    const script = ['cd "$1"', ...commands, "ls"].join("\n");
    const output = runSync("sh", "-ec", script, "sh", scratch.path);
    assertStringIncludes(output, `${ARCHIVE}.tar.gz: OK\n`);
    assertStringIncludes(output, "\nbacky-extract\n");
  },
);

testUnless(
  programProblem("nix-instantiate"),
  "The NixOS module has the package, and fusermount3 for users",
  () => {
    using scratch = new Scratch();
    const [module, ...others] = codeBlocks(DOCUMENT, "NixOS and Nix", "nix");
    assertEquals(others, []);
    // The module names a release by a path beside itself.
    scratch.file(`${ARCHIVE}.tar.gz`, "");
    scratch.file("module.nix", module!);
    runSync("cp", "-r", `${ROOT}packaging`, scratch.path);
    const expression = `
      let module = import ${scratch.path}/module.nix { pkgs = import ${NIXPKGS}; };
      in [ (map (package: package.pname) module.environment.systemPackages)
           module.programs.fuse.enable ]`;
    const result = runSync(
      ...["env", "HOME=/", "nix-instantiate", "--eval", "--strict", "--json"] as const,
      ...["--store", "dummy://", "--expr", expression],
    );
    assertEquals(JSON.parse(result), [["backy-extract"], true]);
  },
);

Deno.test("The hook for initramfs-tools copies both tools", () => {
  using scratch = new Scratch();
  const [hook] = codeBlocks(DOCUMENT, "An initramfs or rescue shell", "sh");
  const functions = scratch.file(
    "hook-functions",
    'copy_exec() { echo "$1 to $2"; }\nmanual_add_modules() { echo "modules $*"; }\n',
  );
  const script = scratch.file(
    "hook",
    hook!.replace("/usr/share/initramfs-tools/hook-functions", functions),
  );
  assertEquals(runSync("sh", script, "prereqs"), "");
  assertEquals(
    runSync("sh", "-e", script),
    "/usr/local/bin/backy-extract to /usr/bin\n/usr/local/bin/backy-fuse to /usr/bin\n" +
      "modules fuse loop",
  );
});

testUnless(
  programProblem("cpio", "gzip"),
  "The commands for any initramfs put both tools behind it",
  () => {
    using scratch = new Scratch();
    makeStandIns(scratch.path);
    scratch.file("initrd.img", "");
    const commands = recipe(DOCUMENT, "An initramfs or rescue shell");
    runSync("sh", "-ec", ['cd "$1"', ...commands].join("\n"), "sh", scratch.path);
    const list = runSync("sh", "-c", 'gzip -d <"$1" | cpio -it', "sh", scratch.file("extra.gz"));
    assertStringIncludes(list, "usr/bin/backy-fuse");
    runSync("cmp", scratch.file("extra.gz"), scratch.file("initrd-backy.img"));
  },
);
