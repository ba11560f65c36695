/** `backy-fuse nbd`: the tool, and the commands of docs/nbd.md. */

import { assertEquals, assertMatch } from "../assert.ts";
import { SampleStore } from "./sample_store.ts";
import { recipe, shellQuote } from "./recipes.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem, sh, tryRun } from "../support/programs.ts";
import { FUSE, RunningTool } from "../support/tool.ts";
import { until } from "../support/wait.ts";

const DOC = "docs/nbd.md";

function programTest(name: string, programs: readonly string[], body: () => Promise<void>): void {
  testUnless(programProblem(...programs), name, body);
}

/** Runs a block of the document in a folder, with this store in place of the one that it names. */
async function runRecipe(store: SampleStore, heading: string, folder: string): Promise<string> {
  const tool = FUSE.map(shellQuote).join(" ");
  const commands = recipe(DOC, heading).map((command) =>
    command
      .replace(/^backy-fuse/, tool)
      .replaceAll("/srv/backy/vm0", shellQuote(store.basedir))
      .replaceAll("/run/vm0.sock", `${folder}/vm0.sock`)
      // A person types the next command when the server has said that it is ready.
      .replace(/ &$/, ` & until [ -S ${folder}/vm0.sock ]; do sleep 0.05; done`)
      .replace(/^kill %1$/, "kill $!; wait $!")
  );
  return await sh(`set -e; cd "$1" 2>/dev/null\n${commands.join("\n")}`, folder);
}

programTest(
  "docs/nbd.md: images and partitions by a socket",
  ["nbdinfo", "nbdcopy", "qemu-img", "sfdisk"],
  async () => {
    using store = new SampleStore();
    const disk = store.file("disk", new Uint8Array(2 * 4_194_304));
    await sh('printf "start=2048,size=4096\\n" | sfdisk -q "$1"', disk);
    const image = Deno.readFileSync(disk);
    image.fill(7, 1_048_576, 1_048_576 + 4096 * 512);
    store.add("Disk", [image.slice(0, 4_194_304), image.slice(4_194_304)], {
      timestamp: "2027-01-01T00:00:00+00:00",
    });
    for (const name of ["last", "last.rev"]) Deno.removeSync(`${store.basedir}/${name}`);
    const folder = store.file("work");
    Deno.mkdirSync(folder);
    const list = await runRecipe(store, "Start and use it", folder);
    assertMatch(list, /^export="Disk":$/m);
    assertMatch(list, /^export="SampleRevision":$/m);
    assertBytes(Deno.readFileSync(`${folder}/vm0.img`), image);
    await sh('qemu-img convert -O raw "$1" "$2"', `${folder}/vm0.qcow2`, `${folder}/raw`);
    assertBytes(Deno.readFileSync(`${folder}/raw`), image);
    assertBytes(
      Deno.readFileSync(`${folder}/partition1.img`),
      image.subarray(1_048_576, 1_048_576 + 4096 * 512),
    );
  },
);

programTest(
  "nbd warns once that a partition was found by the second copy of its table",
  ["nbdinfo", "sfdisk"],
  async () => {
    using store = new SampleStore();
    const disk = store.file("disk", new Uint8Array(4_194_304));
    await sh('printf "label: gpt\\nstart=2048,size=2048\\n" | sfdisk -q "$1"', disk);
    const image = Deno.readFileSync(disk).fill(0, 512, 1024);
    store.add("Disk", [image], { timestamp: "2027-01-01T00:00:00+00:00" });
    const socket = `${store.file("work")}.sock`;
    await using server = new RunningTool([...FUSE, "nbd", "--socket", socket, store.basedir]);
    await server.untilSaid("Serving");
    for (const name of ["Disk", "Disk/1", "Disk/1"]) {
      assertMatch(await sh('nbdinfo "$1"', `nbd+unix:///${name}?socket=${socket}`), /export-size/);
    }
    server.signal("SIGTERM");
    const { code, stderr } = await server.outcome();
    const warnings = stderr.split("\n").filter((line) => line.includes("warning:"));
    assertEquals([code, warnings.length], [0, 1], stderr);
    assertMatch(warnings[0]!, /partition table of revision "Disk": /);
  },
);

programTest("docs/nbd.md: what is written can be copied out", ["qemu-io"], async () => {
  using store = new SampleStore();
  const folder = store.file("work");
  Deno.mkdirSync(folder);
  await runRecipe(store, "Writing", folder);
  const expected = store.image.slice();
  expected.fill(0, 0, 512);
  const changed = Deno.readFileSync(`${folder}/changed.img`);
  // qemu-img fills up the last sector.
  assertBytes(changed.subarray(0, expected.length), expected);
});

programTest(
  "nbd waits for its clients at the first signal, and cuts them off at the second",
  ["nbdinfo"],
  async () => {
    using store = new SampleStore();
    const path = store.file("socket");
    const args = [...FUSE, "nbd", "--socket", path, store.basedir];
    await using server = new RunningTool(args);
    await server.untilSaid("at nbd+unix:///?socket=");
    const client = await Deno.connect({ transport: "unix", path });
    await client.read(new Uint8Array(18));
    server.signal("SIGTERM");
    await server.untilSaid("1 client connected: waiting for the end; a second signal");
    await until(() => tryRun("test", "-e", path).then(({ code }) => code !== 0), "the socket");
    server.signal("SIGTERM");
    const outcome = await server.outcome();
    assertEquals(outcome.code, 0, outcome.stderr);
    assertEquals(await client.read(new Uint8Array(1)), null);
    client.close();
  },
);

programTest("nbd listens by TCP, and says who can connect", ["nbdinfo"], async () => {
  using store = new SampleStore();
  for (const [host, isOpen] of [["127.0.0.1", false], ["0.0.0.0", true]] as const) {
    await using server = new RunningTool([
      ...FUSE,
      ...["nbd", "--listen", `${host}:0`, store.basedir, "last"],
    ]);
    await server.untilSaid("Serving revision");
    const port = /at nbd:\/\/[0-9.]+:(\d+)/.exec(server.said)![1]!;
    assertMatch(await sh('nbdinfo --size "nbd://127.0.0.1:$1"', port), /^34603785$/m);
    assertEquals(server.said.includes("whoever reaches this port"), isOpen);
    server.signal("SIGINT");
    assertEquals((await server.outcome()).code, 0);
  }
});

Deno.test("nbd says what is wrong with its arguments, its store and its address", async () => {
  using store = new SampleStore();
  const used = store.file("used", "not a socket");
  const cases: [string[], number, RegExp][] = [
    [[], 2, /DIR is missing/],
    [["--listen", "here", store.basedir], 2, /not an address and a port/],
    [["--listen", "127.0.0.1:70000", store.basedir], 2, /not an address and a port/],
    [["--socket", used, "--listen", "127.0.0.1:0", store.basedir], 2, /clients come by one/],
    [["--socket", used, store.basedir], 1, /Cannot listen at .*used.*not a socket.*another path/],
    [
      ["--listen", "192.0.2.1:10809", store.basedir],
      1,
      /Cannot listen at 192\.0\.2\.1, port 10809/,
    ],
    [["--socket", store.file("s"), store.file("none")], 10, /none/],
    [["--socket", store.file("s"), store.basedir, "tag:none"], 10, /tag:none/],
  ];
  for (const [args, code, message] of cases) {
    await using tool = new RunningTool([...FUSE, "nbd", ...args]);
    const outcome = await tool.outcome();
    assertEquals(outcome.code, code, outcome.stderr);
    assertMatch(outcome.stderr, message);
  }
});
