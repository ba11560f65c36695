/**
 * The workflows are valid YAML, and they and the documents name only what there is. The workflows
 * run elsewhere.
 *
 * @module
 */

import { parse } from "yaml";
import config from "../../deno.json" with { type: "json" };
import { TARGETS } from "../../release/targets.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const WORKFLOWS = `${ROOT}.github/workflows/`;

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
}

interface Workflow {
  readonly name: string;
  readonly on: object;
  readonly jobs: Readonly<
    Record<string, {
      readonly "runs-on": string;
      readonly strategy?: { readonly matrix: { readonly deno: readonly string[] } };
      readonly steps: readonly Step[];
    }>
  >;
}

function readWorkflow(name: string): Workflow {
  return parse(Deno.readTextFileSync(WORKFLOWS + name), { strict: true });
}

function tasksIn(text: string): string[] {
  return [...text.matchAll(/\bdeno(?:@[0-9.]+)? task ([a-z][a-z-]*)/g)].map(([, task]) => task!);
}

for (const { name } of Deno.readDirSync(WORKFLOWS)) {
  Deno.test(`${name} is a workflow whose steps name what there is`, () => {
    const workflow = readWorkflow(name);
    assert(workflow.name !== "" && Object.keys(workflow.on).length > 0);
    for (const job of Object.values(workflow.jobs)) {
      assertMatch(job["runs-on"], /^ubuntu-[0-9.]+$/);
      for (const { uses, run } of job.steps) {
        assert((uses === undefined) !== (run === undefined));
        if (uses !== undefined) assertMatch(uses, /^[\w-]+\/[\w-]+@v\d+$/);
        for (const task of tasksIn(run ?? "")) assert(task in config.tasks, task);
        for (const [target] of (run ?? "").matchAll(/\b\w+-unknown-linux-\w+/g)) {
          assert(TARGETS.has(target), target);
        }
      }
    }
  });
}

Deno.test("ci.yml runs the tasks of .ci/run, on the oldest Deno and on the newest", () => {
  const script = Deno.readTextFileSync(`${ROOT}.ci/run`);
  const { test } = readWorkflow("ci.yml").jobs;
  const tasks = tasksIn(test!.steps.map(({ run }) => run).join("\n"));
  const expected = [...script.matchAll(/(?:"\$DENO"|deno@[0-9.]+) task ([a-z-]+)/g)];
  assert(expected.length >= 5);
  for (const [, task] of expected) assert(tasks.includes(task!), task);
  assert(tasks.includes("test-executables"));
  const oldest = /deno@([0-9.]+)/.exec(script)?.[1];
  assertEquals(test!.strategy!.matrix.deno, [`v${oldest}`, "v2.x"]);
});

Deno.test("ci.yml installs the packages of .ci/run", () => {
  const { test } = readWorkflow("ci.yml").jobs;
  assert(test!.steps.some(({ run }) => run === "sudo bash .ci/run --packages"));
  assertMatch(Deno.readTextFileSync(`${ROOT}.ci/run`), /--packages\) install_packages;/);
});

Deno.test("release.yml builds all targets", () => {
  const text = Deno.readTextFileSync(`${WORKFLOWS}release.yml`);
  for (const target of TARGETS.keys()) assert(text.includes(`--target ${target}`), target);
  for (const [, program] of text.matchAll(/deno run -A (\S+)/g)) Deno.statSync(ROOT + program);
  // What a release needs beside its archives: the sources of the libraries, and hashes for Nix.
  for (const file of ["*.tar.gz", "*.tar", "*.sha256", "release.json"]) {
    assertMatch(text, new RegExp(`gh release create .* dist/${file.replaceAll("*", "\\*")}`));
  }
});

const DOCUMENTS = [
  "README.md",
  "CONTRIBUTING.md",
  "lib/README.md",
  "lib/deno_fuse/README.md",
  "wasm/README.md",
  ...Array.from(Deno.readDirSync(`${ROOT}docs`), ({ name }) => `docs/${name}`).toSorted(),
];
for (const name of DOCUMENTS) {
  Deno.test(`${name} names only tasks that there are`, () => {
    for (const task of tasksIn(Deno.readTextFileSync(ROOT + name))) {
      assert(task in config.tasks, task);
    }
  });
}

for (const name of DOCUMENTS) {
  Deno.test(`${name} links to files and headings that there are`, () => {
    const text = Deno.readTextFileSync(ROOT + name);
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue;
      const [path = "", heading] = link!.split("#");
      const file = path === "" ? ROOT + name : new URL(path, `file://${ROOT}${name}`).pathname;
      Deno.statSync(file);
      if (heading !== undefined) assert(headingsIn(file).includes(heading), link);
    }
  });
}

Deno.test("lib/README.md names only files that there are", () => {
  const paths = [...Deno.readTextFileSync(`${ROOT}lib/README.md`).matchAll(/`([\w/]+\.ts)`/g)]
    .map(([, path]) => path!).filter((path) => path.includes("/"));
  assert(paths.length > 50, `${paths.length} paths`);
  for (const path of paths) {
    assert(isFile(`${ROOT}lib/${path}`) || isFile(ROOT + path), path);
  }
});

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** The headings of a document as links name them. */
function headingsIn(file: string): string[] {
  return [...Deno.readTextFileSync(file).matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text!.toLowerCase().replace(/[^\w\s-]/g, "").replaceAll(" ", "-")
  );
}
