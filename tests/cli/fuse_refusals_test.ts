/** Refusals: one line, an exit code, nothing mounted. And waiting for a purge. */

import { optionsOf } from "../../lib/cli/command.ts";
import { MOUNT } from "../../lib/cli/mount_command.ts";
import { EXIT_CODE_TABLE } from "../../lib/cli/exit_code.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { run, tryRun } from "../support/programs.ts";
import { addRevision, makeStore, sampleBytes } from "../support/store_builder.ts";
import { FUSE, RunningTool } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { assertRefused, fuseTest, messagesOf, mountsAt, type Site } from "./fuse_harness.ts";

const FAILURE = 1, USAGE = 2, STORE = 10, LOCK = 11;
const FLOCK = { programs: ["flock"] };

const MISTAKES: readonly [args: readonly string[], message: string][] = [
  [[], "Cannot mount: the argument MOUNTPOINT is missing (see --help)"],
  [[""], "Cannot mount: the argument MOUNTPOINT is empty"],
  [
    ["a", "b", "c"],
    'Cannot use argument "c": only DIR and MOUNTPOINT are expected (see --help)',
  ],
  [["-x", "a"], 'Cannot use option "-x": no such option (see --help)'],
  [["-d"], 'Cannot use option "-d": DIR is missing'],
  [["-d", "", "a"], 'Cannot use option "--basedir": "" is empty'],
  [["--spill=", "a"], 'Cannot use option "--spill": "" is empty'],
  [["-c16M", "a"], 'Cannot use option "--cache": "16M" is not a whole number from 0 to 1048576'],
  [["-t256", "a"], 'Cannot use option "--threads": "256" is not a whole number from 0 to 255'],
  [["--no-verify=1", "a"], 'Cannot use option "--no-verify": it takes no value'],
];

Deno.test("backy-fuse: a usage error is one line on standard error and exit 2", async () => {
  for (const [args, message] of MISTAKES) {
    await using tool = new RunningTool([...FUSE, ...args]);
    const { code, stdout, stderr } = await tool.outcome();
    assertEquals(stderr, `backy-fuse: ${message}\n`);
    assertEquals([code, stdout.length], [USAGE, 0]);
  }
});

Deno.test("backy-fuse starts where PATH is unset", async () => {
  await using tool = new RunningTool([...FUSE, "--version"], { shell: 'unset PATH; exec "$@"' });
  const { code, stderr } = await tool.outcome();
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("backy-fuse: --help shows every option and exit code, --version name and version", async () => {
  await using help = new RunningTool([...FUSE, "--help"]);
  const shown = await help.outcome();
  assertEquals([shown.code, shown.stderr], [0, ""]);
  const text = new TextDecoder().decode(shown.stdout);
  assertStringIncludes(text, "Usage: backy-fuse [OPTIONS] [DIR] MOUNTPOINT\n");
  for (const { long } of optionsOf(MOUNT)) assertStringIncludes(text, `--${long}`);
  for (const { code, meaning } of EXIT_CODE_TABLE) {
    assert(new RegExp(`^ +${code}  +${meaning}`, "m").test(text), `${code}: ${text}`);
  }
  await using version = new RunningTool([...FUSE, "-V"]);
  const { code, stdout } = await version.outcome();
  assertEquals(code, 0);
  assert(/^backy-fuse \d+\.\d+\.\d+\n$/.test(new TextDecoder().decode(stdout)));
});

fuseTest(
  "A mount point in, above or at the backup directory is refused, also by another name",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const { basedir } = site;
    const parent = basedir.slice(0, basedir.lastIndexOf("/"));
    Deno.mkdirSync(`${basedir}/mnt`);
    Deno.symlinkSync(`${basedir}/mnt`, site.file("link"));
    const advice = "use an empty directory elsewhere";
    const places = [
      [basedir, `it lies in "${basedir}"; ${advice}`],
      [`${basedir}/mnt`, `it lies in "${basedir}"; ${advice}`],
      [`${basedir}/missing/mnt`, `it lies in "${basedir}"; ${advice}`],
      [`${basedir}/mnt/../chunks/`, `it lies in "${basedir}"; ${advice}`],
      [site.file("link"), `it lies in "${basedir}"; ${advice}`],
      [parent, `it would hide "${basedir}"; ${advice}`],
      ["/", `it would hide "${basedir}"; ${advice}`],
    ] as const;
    for (const [at, reason] of places) {
      const says = `Cannot mount at "${at}": ${reason}`;
      await assertRefused(site.start([at]), { code: FAILURE, says });
    }
    assertEquals(mountsAt(basedir).length, 0);
    // The same holds for the spill directory, and for relative paths.
    const spill = site.folder("spill");
    await assertRefused(site.start(["--spill", spill, spill]), {
      code: FAILURE,
      says: `Cannot mount at "${spill}": it lies in "${spill}"; ${advice}`,
    });
    await assertRefused(site.start(["-d", ".", "mnt"], { cwd: basedir }), {
      code: FAILURE,
      says: `Cannot mount at "mnt": it lies in "."; ${advice}`,
    });
  },
);

fuseTest(
  "A mount point that is missing or not a directory is refused with the remedy",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const missing = `${site.folder("mnt")}/missing`;
    await assertRefused(site.start([missing]), {
      code: FAILURE,
      says: `Cannot mount at "${missing}": no such directory; create it (mkdir -p ${missing})`,
      at: missing,
    });
    const file = site.file("file", "content");
    await assertRefused(site.start([file]), {
      code: FAILURE,
      says: `Cannot mount at "${file}": it is not a directory`,
    });
    assertEquals(Deno.readTextFileSync(file), "content");
  },
);

fuseTest(
  "A second mount at the same place is refused, one over another file system is not",
  async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const mount = await site.mount();
    const link = site.file("link");
    Deno.symlinkSync(mount.path, link);
    for (const at of [mount.path, link]) {
      const tool = site.start([at]);
      const { code, stderr } = await tool.outcome();
      const reason = `"${site.basedir}" is mounted there already; use it, or unmount it first`;
      assertEquals(code, FAILURE);
      assertStringIncludes(stderr, `Cannot mount at "${at}": ${reason}`);
    }
    assertEquals(mountsAt(mount.path).length, 1);
    await assertContent(mount.file("last"), image);
    await mount.end();
    const other = await site.mountDevice("-t", "tmpfs", "tmpfs");
    const over = site.start([other]);
    await over.untilSaid("To unmount: ");
    await assertContent(`${other}/last`, image);
    over.signal("SIGTERM");
    assertEquals((await over.outcome()).code, 0);
  },
);

fuseTest("A second mount over one whose server is stopped is refused, too", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const mount = await site.mount();
  mount.tool.signal("SIGSTOP");
  try {
    const { code, stderr } = await site.start([mount.path]).outcome();
    assertEquals(code, FAILURE);
    assertStringIncludes(stderr, `"${site.basedir}" is mounted there already; `);
  } finally {
    mount.tool.signal("SIGCONT");
  }
  await mount.end();
});

fuseTest("A path that is not a backup directory is refused: exit 10", async (site) => {
  const at = site.folder("mnt");
  const empty = site.folder("empty");
  for (
    const [dir, reason] of [
      [empty, 'there is no "chunks/store" in it'],
      [
        site.file("missing"),
        `there is no such directory; there is a backup directory beside it: "${site.basedir}"`,
      ],
    ] as const
  ) {
    await assertRefused(site.start(["-d", dir, at]), {
      code: STORE,
      says: `Cannot open backup directory "${dir}": ${reason}`,
      at,
    });
  }
  Deno.writeTextFileSync(`${site.basedir}/chunks/store`, "v3");
  await assertRefused(site.start([at]), { code: STORE, says: /"v3"/, at });
});

fuseTest("Unknown mount options and a missing spill directory are refused", async (site) => {
  const at = site.folder("mnt");
  await assertRefused(site.start(["-o", "bogus", at]), {
    code: FAILURE,
    says: `Cannot mount at "${at}": unknown option(s): \`-o bogus'`,
    at,
  });
  const spill = site.file("missing");
  await assertRefused(site.start(["--spill", spill, at]), {
    code: FAILURE,
    says: `Cannot mount at "${at}": spill directory "${spill}": No such file or directory (ENOENT)`,
    at,
  });
});

fuseTest("-o is what mount shows; ro makes writing impossible", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const mount = await site.mount(["-o", "ro,allow_other", "-o", "noexec"]);
  const line = (await Deno.readTextFile("/proc/self/mounts")).split("\n")
    .find((line) => line.split(" ")[1] === mount.path.replaceAll(" ", "\\040"))!;
  for (const option of ["ro", "allow_other", "noexec"]) {
    assert(line.split(" ")[3]!.split(",").includes(option), line);
  }
  assertEquals(line.split(" ")[2], "fuse.backy-fuse");
  assertEquals((await tryRun("touch", mount.file("new"))).stderr.includes("Read-only"), true);
  await assertContent(mount.file("Sample"), image);
  await mount.end();
});

/** Another process that holds `.purge` until it is disposed. */
async function holdLock(
  site: Site,
  mode: "-x" | "-s",
): Promise<{ pid: number; end: () => Promise<void> }> {
  const child = new Deno.Command("flock", {
    // A single process, so that killing it releases the lock.
    args: ["--no-fork", mode, `${site.basedir}/.purge`, "sh", "-c", "echo held; exec sleep 60"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  let hasEnded = false;
  const end = async () => {
    if (hasEnded) return;
    hasEnded = true;
    child.kill("SIGKILL");
    await reader.cancel();
    await child.status;
  };
  site.use({ [Symbol.asyncDispose]: end });
  return { pid: child.pid, end };
}

const canPurge = async (site: Site): Promise<boolean> =>
  (await tryRun("flock", "-n", "-x", `${site.basedir}/.purge`, "true")).code === 0;

fuseTest("A mount that waits for a purge says so, and goes on afterwards", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const purge = await holdLock(site, "-x");
  const at = site.folder("mnt");
  const tool = site.start([at]);
  await tool.untilSaid("waiting");
  const said = [
    `warning: waiting for the purge lock, which is held by pid ${purge.pid} (sleep 60)`,
  ];
  assertEquals(messagesOf(tool.said), said);
  assertEquals(mountsAt(at).length, 0);
  await purge.end();
  await tool.untilSaid("To unmount");
  await assertContent(`${at}/Sample`, image);
  assert(!await canPurge(site));
  tool.signal("SIGTERM");
  assertEquals((await tool.outcome()).code, 0);
  assertEquals(messagesOf(tool.said), said);
}, FLOCK);

fuseTest("What was mounted while a mount waited for a purge is not hidden by it", async (site) => {
  const purge = await holdLock(site, "-x");
  const at = site.folder("mnt");
  const tool = site.start([at]);
  await tool.untilSaid("waiting");
  const other = site.folder("other");
  makeStore(other);
  addRevision(other, "First", [sampleBytes(1)]);
  const first = site.start(["-d", other, at]);
  await first.untilSaid("To unmount");
  await purge.end();
  const { code, stderr } = await tool.outcome();
  assertEquals(code, FAILURE);
  assertStringIncludes(stderr, `Cannot mount at "${at}": "${other}" is mounted there already; `);
  assertEquals(mountsAt(at).length, 1);
  assert(await canPurge(site));
  first.signal("SIGTERM");
  assertEquals((await first.outcome()).code, 0);
}, FLOCK);

fuseTest("--lock-timeout gives up at once or after its time: exit 11", async (site) => {
  const purge = await holdLock(site, "-x");
  const at = site.folder("mnt");
  const holder = `pid ${purge.pid} (sleep 60); --lock-timeout says how long to wait`;
  const start = `Cannot lock "${site.basedir}/.purge": it`;
  await assertRefused(site.start(["--lock-timeout", "0", at]), {
    code: LOCK,
    says: `${start} is held by ${holder}`,
    at,
  });
  const tool = site.start(["--lock-timeout=0.5", at]);
  assertEquals((await tool.outcome()).code, LOCK);
  assertEquals(messagesOf(tool.said)[1], `${start} has been held for 0.5 s by ${holder}`);
}, FLOCK);

fuseTest("Without a terminal the wait for the purge lock is short: exit 11", async (site) => {
  const purge = await holdLock(site, "-x");
  const at = site.folder("mnt");
  const tool = site.start([at]);
  assertEquals((await tool.outcome()).code, LOCK);
  assertEquals(
    messagesOf(tool.said)[1],
    `Cannot lock "${site.basedir}/.purge": it has been held for 10 s by pid ${purge.pid} (sleep 60); ` +
      "--lock-timeout says how long to wait",
  );
  assertEquals(mountsAt(at).length, 0);
}, FLOCK);

fuseTest(
  "A mount that waits gives up when its parent has gone: nothing is mounted",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const purge = await holdLock(site, "-x");
    const at = site.folder("mnt");
    const waits = "until grep -q waiting err; do sleep 0.05; done";
    const tool = site.start(["--lock-timeout=30", at], {
      shell: `"$@" 2>err & echo $! >pid; ${waits}; exec cat`,
      cwd: site.folder("cwd"),
    });
    const file = (name: string) => Deno.readTextFileSync(site.file(`cwd/${name}`));
    // The parent, bash, has become cat, which ends because its input has ended.
    await tool.outcome();
    await until(() => file("err").includes("Cannot mount"), "the end of the wait");
    assertMatch(
      messagesOf(file("err"))[1]!,
      /^Cannot mount at ".*": the process that started this \(pid \d+\) ended while it waited/,
    );
    await purge.end();
    assertEquals(mountsAt(at).length, 0);
  },
  FLOCK,
);

fuseTest("A mount that was started as a daemon waits and mounts", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const purge = await holdLock(site, "-x");
  const at = site.folder("mnt");
  const tool = site.start(["--lock-timeout=30", at], { shell: '("$@" &); exec sleep 60' });
  await tool.untilSaid("waiting");
  await purge.end();
  await tool.untilSaid("To unmount");
  await assertContent(`${at}/Sample`, image);
  await run("fusermount3", "-u", at);
  await tool.untilSaid("Unmounted");
}, FLOCK);

for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  fuseTest(`${signal} ends the wait for the purge lock: exit ${exitCode}`, async (site) => {
    await holdLock(site, "-x");
    const at = site.folder("mnt");
    const tool = site.start([at]);
    await tool.untilSaid("waiting");
    tool.signal(signal);
    assertEquals((await tool.outcome()).code, exitCode, tool.said);
    assertEquals(mountsAt(at).length, 0);
  }, FLOCK);
}

fuseTest("Two mounts share the purge lock, and it is held until both are gone", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const first = await site.mount(["--lock-timeout=0"]);
  const second = await site.mount(["--lock-timeout=0"]);
  await assertContent(first.file("Sample"), image);
  await first.end();
  assert(!await canPurge(site));
  await assertContent(second.file("Sample"), image);
  await second.end();
  assert(await canPurge(site));
}, FLOCK);

fuseTest("No text of a file that a link in the store leads to is shown", async (site) => {
  const secret = site.file("secret", "server: hunter2\ntags: [hunter2]\na: *hunter2\n");
  site.add("Good", [sampleBytes(1, 1000)]);
  site.add("Map", [sampleBytes(1, 1000)]);
  Deno.linkSync(secret, `${site.basedir}/Hard.rev`);
  Deno.symlinkSync(secret, `${site.basedir}/Symbolic.rev`);
  Deno.removeSync(`${site.basedir}/Map`);
  Deno.symlinkSync(secret, `${site.basedir}/Map`);
  const mount = await site.mount();
  await tryRun("ls", "-l", mount.path);
  await tryRun("cat", mount.file("Map"));
  await tryRun("getfattr", "-d", mount.file("Map"));
  assertStringIncludes(mount.tool.said, '"Hard"');
  assert(!mount.tool.said.includes("hunter2"), mount.tool.said);
  await mount.end();
  Deno.removeSync(`${site.basedir}/chunks/store`);
  Deno.symlinkSync(secret, `${site.basedir}/chunks/store`);
  const refused = await site.start([site.folder()]).outcome();
  assertEquals(refused.code, STORE);
  assert(!refused.stderr.includes("hunter2"), refused.stderr);
});
