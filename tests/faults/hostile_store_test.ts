/**
 * Stores made by an attacker: nothing is written outside the target, nothing hangs or exhausts
 * memory, and no control character reaches a terminal.
 */

import { CHUNK_BYTES, chunkRelativePath } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { fuseProblem } from "../cli/fuse_harness.ts";
import { isFilled } from "../support/bytes.ts";
import { writeMap } from "../support/store_builder.ts";
import { makeFifo, Mount, mountProblem, testUnless } from "../support/machine.ts";
import { HostileStore } from "./hostile_store.ts";
import { IS_FULL } from "./fault_store.ts";

const CORRUPT = 3, TARGET = 4, STORE = 10, LOCK = 11;
const ID = "4db6e194fd398e8edb76e11054d73eb0";

/**
 * Characters that a terminal acts on, or that make text look like another: C0, DEL, C1, overrides,
 * separators.
 */
const CONTROLS = "\x1b[2J\x1b]0;owned\x07\r\x7f\u009b31m\u202e\u2028\u200b\ufeff";
/** The same in a YAML string. */
const ESCAPED = '"' +
  [...CONTROLS].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("") +
  'x"';

/** Runs the commands that only read. */
async function look(store: HostileStore, options: { mostMib?: number } = {}): Promise<void> {
  const last = ["-r", "last", store.basedir, store.file("never made")];
  await store.extract(["list", "--json", store.basedir], options);
  await store.extract(["check", "-t", "2", store.basedir], options);
  await store.extract(["--dry-run", ...last], options);
}

const LOOK_AT_ALL =
  'ls -la "$1"; for f in "$1"/*; do timeout 5 head -c 100000 "$f" >/dev/null; done; true';

Deno.test("Control characters in tags, names, servers and states reach no terminal", async () => {
  using store = new HostileStore();
  const names = [CONTROLS.replace("\r", "").slice(0, 20), "a\nb", "\u009b2J", "\u202egpj", "-rf"];
  for (const [index, name] of names.entries()) {
    const quoted = JSON.stringify(name).replaceAll("\u009b", "\\u009b");
    store.addFile(
      `${name}.rev`,
      `uuid: ${quoted}\ntags: [${ESCAPED}]\nstats: {duration: ${index}}\n`,
    );
    writeMap(store.basedir, name, { ids: [store.goodId], size: 5000 });
  }
  const fields = ["trust", "server", "backend_type", "parent", "uuid", "timestamp"];
  for (const field of fields) store.addFile(`${field}.rev`, `${field}: ${ESCAPED}\n`);
  store.addFile("yaml.rev", `${CONTROLS}: [`);
  store.addFile("map", `{"mapping": {"${CONTROLS}": "${CONTROLS}"}, "size": 1}`);
  await look(store);
  await store.extract(["list", store.basedir]);
  await store.extract(["check", "--json", store.basedir]);
  for (const name of [...names, "map", "server", CONTROLS]) {
    await store.extract([`${store.basedir}/${name}`, store.file("image")]);
    await store.extract(["-r", name, store.basedir, store.file("image")]);
  }
  await store.requireGood();
});

testUnless(
  fuseProblem,
  "A mount's messages contain no control characters of the store",
  async () => {
    using store = new HostileStore();
    const name = "\u009b2J\u202e";
    store.addFile(
      `${name}.rev`,
      `uuid: "\\u009b2J\\u202e"\ntags: [${ESCAPED}]\nstats: {duration: 1}\n`,
    );
    writeMap(store.basedir, name, { ids: [ID], size: CHUNK_BYTES });
    store.addFile("server.rev", `server: ${ESCAPED}\n`);
    store.addFile("a\nb.rev", "uuid: x\n");
    const { tool } = await store.mount(LOOK_AT_ALL);
    assertEquals(tool.code, 0, tool.stderr);
    assert(tool.stderr.includes("\\x9b2J"), tool.stderr);
  },
);

/** Texts that are not chunk ids. */
const IDS = [
  "../../../../../../../../../etc/pw",
  "/etc/passwd",
  "..",
  "",
  "4d/../../outside/secret",
  ID.toUpperCase(),
  ID.slice(1),
  `${ID}0`,
  `${ID.slice(2)}\\n`,
  "4db6e194fd398e8edb76e11054d73eb\\u0030",
  "%s%s%s%n",
  "0".repeat(32),
];

Deno.test("Paths and other texts instead of ids in a map are refused, and no such file is opened", async () => {
  using store = new HostileStore();
  for (const id of IDS) {
    store.addFile("Evil", `{"mapping": {"0": "${id}"}, "size": ${CHUNK_BYTES}}`);
    const image = store.file("image", "old");
    const outcome = await store.extract([`${store.basedir}/Evil`, image]);
    assertEquals(outcome.code, STORE, outcome.stderr);
    assertEquals(Deno.readTextFileSync(image), "old");
  }
});

Deno.test("A uuid that is a path is not taken for a revision's name", async () => {
  using store = new HostileStore();
  for (const [index, uuid] of ["../outside/secret", "/etc/passwd", "..", ".", "a/b"].entries()) {
    store.addFile(`r${index}.rev`, `uuid: ${uuid}\nstats: {duration: 1}\n`);
  }
  await look(store);
  await store.extract(["-r", "last", store.basedir, store.file("image")]);
});

/**
 * A directory with `trace_pipe`, which looks like an empty regular file, but reading it waits for
 * events that never come; `null` where it cannot be mounted.
 */
const tracing = mountTracing();
// deno-lint-ignore no-console
if (!tracing) console.log("ignored: links to a file that waits: tracefs cannot be mounted");
Deno.test.afterAll(() => tracing?.[Symbol.dispose]());

function mountTracing(): Mount | null {
  if (mountProblem() !== null) return null;
  try {
    return new Mount("-t", "tracefs", "tracefs");
  } catch {
    return null;
  }
}

/** Where links in a store may lead. */
function linkTargets(store: HostileStore): Record<string, string> {
  return {
    "/dev/zero": "/dev/zero",
    "/dev/null": "/dev/null",
    "/dev/tty": "/dev/tty",
    "/dev/full": "/dev/full",
    "/proc/self/mem": "/proc/self/mem",
    "/proc/self/fd/0": "/proc/self/fd/0",
    "/proc/kcore": "/proc/kcore",
    "a FIFO": makeFifo(store.file("fifo")),
    "a directory": store.outside,
    "nothing": store.file("nothing"),
    "itself": "itself",
    "a file that is no chunk": `${store.outside}/secret`,
    ...(tracing ? { "a file that waits": `${tracing.path}/trace_pipe` } : {}),
  };
}

/** Adds a revision "Evil" whose chunks' names lead to all these places. */
function addLinkedChunks(store: HostileStore): { what: string; id: string }[] {
  const chunks = Object.entries(linkTargets(store)).map(([what, target], index) => {
    const id = `4d${index.toString(16).padStart(30, "0")}`;
    return { what, id, target };
  });
  Deno.mkdirSync(`${store.basedir}/chunks/4d`);
  for (const { id, target } of chunks) {
    const name = chunkRelativePath(id);
    store.link(name, target === "itself" ? `${store.basedir}/${name}` : target);
  }
  const ids = chunks.map(({ id }) => id);
  store.addFile("Evil.rev", "uuid: Evil\nstats: {duration: 1}\n");
  writeMap(store.basedir, "Evil", { ids, size: ids.length * CHUNK_BYTES });
  return chunks;
}

Deno.test("A chunk's name that leads to a device, a FIFO or anything else is a bad chunk, with --no-verify too", async () => {
  using store = new HostileStore();
  const chunks = addLinkedChunks(store);
  const image = store.file("image"), report = store.file("report");
  for (const options of [[], ["--no-verify"]]) {
    const args = [...options, "--on-error=zero", `--report=${report}`, `${store.basedir}/Evil`];
    const outcome = await store.extract([...args, image]);
    assertEquals(outcome.code, CORRUPT, outcome.stderr);
    const listed = Deno.readTextFileSync(report);
    for (const { what, id } of chunks) assert(listed.includes(id), what);
    assert(isFilled(Deno.readFileSync(image), 0));
    await Deno.remove(report);
  }
  const { code, stdout } = await store.extract(["check", "--json", `${store.basedir}/Evil`]);
  assertEquals(code, CORRUPT);
  const said = new TextDecoder().decode(stdout);
  for (const { what, id } of chunks) assert(said.includes(id), what);
  await store.extract(["--dry-run", `${store.basedir}/Evil`, store.file("x")]);
});

testUnless(
  fuseProblem,
  "A chunk's name that leads to a device, a FIFO or anything else is EIO in a mount",
  async () => {
    using store = new HostileStore();
    const chunks = addLinkedChunks(store);
    const script = `for seq in $(seq 0 ${chunks.length - 1}); do
    dd if="$1/Evil" bs=${CHUNK_BYTES} skip=$seq count=1 2>/dev/null | cmp -s -n 1 - /dev/zero && exit 3
  done; timeout 5 cat "$1/Good"`;
    const { code, tool } = await store.mount(script);
    assertEquals([code, tool.code], [0, 0], tool.stderr);
  },
);

Deno.test("A chunk's name that leads to a good chunk elsewhere is as good as that", async () => {
  using store = new HostileStore();
  const path = `${store.basedir}/${chunkRelativePath(store.goodId)}`;
  const elsewhere = store.file("elsewhere");
  Deno.renameSync(path, elsewhere);
  Deno.symlinkSync(elsewhere, path);
  await store.requireGood();
});

Deno.test("Maps and metadata that lead to devices, FIFOs or anything else hang nobody", async () => {
  using store = new HostileStore();
  const targets = Object.entries(linkTargets(store));
  const add = (name: string, target: string) =>
    store.link(name, target === "itself" ? `${store.basedir}/${name}` : target);
  for (const [index, [, target]] of targets.entries()) {
    add(`Map${index}`, target);
    store.addFile(`Map${index}.rev`, `uuid: Map${index}\nstats: {duration: 1}\n`);
    add(`Rev${index}.rev`, target);
    writeMap(store.basedir, `Rev${index}`, { ids: [store.goodId], size: 5000 });
  }
  await look(store);
  for (const [index, [what]] of targets.entries()) {
    const byMap = await store.extract([`${store.basedir}/Map${index}`, store.file("image")]);
    assertEquals(byMap.code, STORE, `${what}: ${byMap.stderr}`);
    const byRev = await store.extract([`${store.basedir}/Rev${index}`, store.file("image")]);
    assertEquals(byRev.code, 0, `${what}: ${byRev.stderr}`);
  }
});

for (const [name, codes] of [[".purge", [0, LOCK]], ["chunks/store", [STORE]]] as const) {
  Deno.test(`${name} that leads to a device, a FIFO or anything else hangs nobody`, async () => {
    using store = new HostileStore();
    const path = `${store.basedir}/${name}`;
    for (const [what, target] of Object.entries(linkTargets(store))) {
      await Deno.remove(path);
      Deno.symlinkSync(target === "itself" ? path : target, path);
      const outcome = await store.extract([`${store.basedir}/Good`, store.file("image")]);
      assert((codes as readonly number[]).includes(outcome.code), `${what}: ${outcome.stderr}`);
    }
    await look(store);
  });
}

for (const name of ["Evil", "Evil.rev", ".purge", "chunks/store"]) {
  Deno.test(`${name} that is a FIFO or a directory hangs nobody`, async () => {
    using store = new HostileStore();
    const path = `${store.basedir}/${name}`;
    for (const make of [() => makeFifo(path), () => Deno.mkdirSync(path)]) {
      await Deno.remove(path, { recursive: true }).catch(() => {});
      make();
      await look(store);
      await store.extract([`${store.basedir}/Evil`, store.file("image")]);
    }
  });
}

Deno.test("A lock file that is a link to nothing makes no file elsewhere", async () => {
  using store = new HostileStore();
  Deno.removeSync(`${store.basedir}/.purge`);
  store.link(".purge", `${store.outside}/made`);
  const outcome = await store.extract([`${store.basedir}/Good`, store.file("image")]);
  assertEquals(outcome.code, LOCK, outcome.stderr);
});

/** Sizes of images, and whether a map may have them. */
const SIZES: readonly [size: string, isPossible: boolean][] = [
  [`${256 * 2 ** 40}`, true],
  [`${256 * 2 ** 40 + 1}`, false],
  ["9007199254740993", false],
  ["1".repeat(10_000), false],
  ["-1", false],
  ["1e300", false],
  ["0.5", false],
];

Deno.test("A huge size is refused, or costs memory only in proportion to the chunks in the map", async () => {
  using store = new HostileStore();
  store.addFile("Evil.rev", "uuid: Evil\nstats: {duration: 1}\ntimestamp: 2026-05-05\n");
  for (const [size, isPossible] of SIZES) {
    store.addFile("Evil", `{"mapping": {"0": "${store.goodId}"}, "size": ${size}}`);
    const target = store.file("image");
    const outcome = await store.extract([`${store.basedir}/Evil`, target]);
    // The good chunk is too short for its seq, and not every file system has files of 256 TiB.
    assert((isPossible ? [CORRUPT, TARGET] : [STORE]).includes(outcome.code), outcome.stderr);
    await Deno.remove(target).catch(() => {});
    if (isPossible && IS_FULL) await look(store);
    if (isPossible) await store.extract(["check", store.basedir]);
  }
});

testUnless(fuseProblem, "A mounted image of a huge size can be read at its end", async () => {
  using store = new HostileStore();
  store.addFile("Evil.rev", "uuid: Evil\nstats: {duration: 1}\n");
  const size = 256 * 2 ** 40;
  store.addFile("Evil", `{"mapping": {}, "size": ${size}}`);
  const script =
    `tail -c 10 "$1/Evil" | cmp -n 10 - /dev/zero && stat -c %s "$1/Evil" | grep -qx ${size}`;
  const { code, tool } = await store.mount(script, { mostMib: 600 });
  assertEquals([code, tool.code], [0, 0], tool.stderr);
});

const KEYS = IS_FULL ? 4_000_000 : 400_000;

Deno.test(`A map of ${KEYS} keys costs memory in proportion, also where its one chunk is missing everywhere`, async () => {
  using store = new HostileStore();
  store.addFile("Evil.rev", "uuid: Evil\nstats: {duration: 1}\ntimestamp: 2026-05-05\n");
  const parts: string[] = ['{"mapping": {'];
  for (let seq = 0; seq < KEYS; seq++) parts.push(`${seq === 0 ? "" : ","}"${seq}":"${ID}"`);
  parts.push(`}, "size": ${KEYS * CHUNK_BYTES}}`);
  store.addFile("Evil", parts.join(""));
  await look(store, { mostMib: 350 + KEYS / 2500 });
});

/** JSON and other texts that are expensive for a careless parser. */
const HEAVY_MAPS: readonly [name: string, text: () => string][] = [
  ["nested a million deep", () => `{"a": ${"[".repeat(1_000_000)}`],
  ["objects nested a million deep", () => '{"a":'.repeat(1_000_000)],
  ["a key of 50 MB", () => `{"${"k".repeat(50_000_000)}": 1, "mapping": {}, "size": 0}`],
  ["a string of 50 MB", () => `{"a": "${"\\u0041".repeat(8_000_000)}", "mapping": {}, "size": 0}`],
  ["a million unknown keys", () => {
    const keys = Array.from({ length: 1_000_000 }, (_, key) => `"k${key}": [${key}],`);
    return `{${keys.join("")} "mapping": {}, "size": 0}`;
  }],
  ["a number of 50 MB", () => `{"a": ${"9".repeat(50_000_000)}, "mapping": {}, "size": 0}`],
  ["50 MB of white space", () => `{${" ".repeat(50_000_000)}"mapping": {}, "size": 0}`],
  ["50 MB of zeros", () => "\0".repeat(50_000_000)],
];

Deno.test("Maps that are expensive for a careless parser are read or refused quickly and in little memory", async () => {
  for (const [name, text] of HEAVY_MAPS) {
    using store = new HostileStore();
    store.addFile("Evil", text());
    const outcome = await store.extract(["--dry-run", `${store.basedir}/Evil`, store.file("x")]);
    assert([0, STORE].includes(outcome.code), `${name}: ${outcome.stderr}`);
  }
});

/** Metadata that is expensive for a careless parser. */
const HEAVY_METADATA: readonly [name: string, text: () => string][] = [
  ["nested deep", () => "[".repeat(250_000)],
  ["mappings nested deep", () => "{a: ".repeat(60_000)],
  ["blocks nested deep", () => {
    return Array.from({ length: 700 }, (_, depth) => `${" ".repeat(depth)}a:\n`).join("");
  }],
  ["sequences in a line", () => "- ".repeat(120_000)],
  ["an alias bomb", () => {
    const names = [..."abcdefghijklmnop"];
    return names.map((name, level) => {
      const content = level === 0 ? "x" : `*${names[level - 1]}`;
      return `${name}: &${name} [${Array(9).fill(content).join(", ")}]`;
    }).join("\n");
  }],
  ["a merge bomb", () => {
    const lines = Array.from(
      { length: 3000 },
      (_, i) => `m${i}: &m${i} {<<: *m${Math.max(0, i - 1)}}`,
    );
    return `m: &m0 {}\n${lines.join("\n")}`;
  }],
  ["anchors only", () => "&a ".repeat(80_000)],
  ["many aliases", () => `a: &a x\nb: [${"*a,".repeat(80_000)}]`],
  ["many keys", () => Array.from({ length: 26_000 }, (_, i) => `k${i}: v`).join("\n")],
  ["many documents", () => "---\na: b\n".repeat(25_000)],
  ["many errors", () => "%\n".repeat(120_000)],
  ["many tags", () => `tags: [${"t,".repeat(120_000)}]`],
  ["one long tag", () => `tags: [${"t".repeat(250_000)}]`],
  ["an alias of itself", () => "tags: &a [*a]\nuuid: Evil\nstats: {duration: *a}\n"],
  ["a huge file", () => "- a\n".repeat(5_000_000)],
];

Deno.test("Metadata that is expensive for a careless parser is read or refused quickly and in little memory", async () => {
  for (const [name, text] of HEAVY_METADATA) {
    using store = new HostileStore();
    store.addFile("Evil.rev", `${text()}\n`);
    writeMap(store.basedir, "Evil", { ids: [store.goodId], size: 5000 });
    const options = { mostMib: 500 };
    const list = await store.extract(["list", "--json", store.basedir], options);
    assertEquals(list.code, 0, `${name}: ${list.stderr}`);
    const args = [`${store.basedir}/Evil`, store.file("image")];
    const outcome = await store.extract(args, options);
    assertEquals(outcome.code, 0, `${name}: ${outcome.stderr}`);
  }
});

testUnless(
  fuseProblem,
  "A mount stores no changes through a store's links to other folders",
  async () => {
    using store = new HostileStore();
    for (let byte = 0; byte < 256; byte++) {
      const path = `chunks/${byte.toString(16).padStart(2, "0")}`;
      if (!store.goodId.startsWith(path.slice(-2))) store.link(path, store.outside);
    }
    store.addFile("Evil.rev", "uuid: Evil\nstats: {duration: 1}\n");
    store.addFile("Evil", `{"mapping": {}, "size": ${16 * CHUNK_BYTES}}`);
    // More than fits in memory.
    const script = 'dd if=/dev/urandom of="$1/Evil" bs=1M count=48 conv=notrunc,fsync';
    const { code, tool } = await store.mount(script, { args: ["-c", "16"], mostMib: 500 });
    assertEquals([code, tool.code], [1, 0], tool.stderr);
    assert(tool.stderr.includes("(ELOOP)"), tool.stderr);
  },
);
