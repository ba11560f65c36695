/** How a mount ends: by signals, by others, while it is used, by force. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../assert.ts";
import { assertBytes, assertContent, dropPageCache, errnoOf, readFrom } from "../support/bytes.ts";
import { run, sh, tryRun } from "../support/programs.ts";
import { chunkFile, sampleBytes } from "../support/store_builder.ts";
import { assertNoInternals } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import {
  assertRefused,
  FuseMount,
  fuseTest,
  messagesOf,
  mountsAt,
  type Site,
} from "./fuse_harness.ts";

const EIO = 5, ENOTCONN = 107;

/** A revision of four chunks. */
function addSample(site: Site): Uint8Array<ArrayBuffer> {
  return site.add("Sample", [1, 2, 3, 4].map((seed) => sampleBytes(seed))).image;
}

/** Whether the purge lock is free. */
async function canPurge(site: Site): Promise<boolean> {
  return (await tryRun("flock", "-n", "-x", `${site.basedir}/.purge`, "true")).code === 0;
}

/** Starts a process that uses something until the test is over or `end` is called. */
function startHolder(
  site: Site,
  options: { cwd?: string; script: string; args?: string[] },
): { pid: number; end: () => Promise<void> } {
  const child = new Deno.Command("bash", {
    args: ["-c", options.script, "bash", ...options.args ?? []],
    ...options.cwd === undefined ? {} : { cwd: options.cwd },
    stdin: "null",
  }).spawn();
  let hasEnded = false;
  const end = async () => {
    if (hasEnded) return;
    hasEnded = true;
    child.kill("SIGKILL");
    await child.status;
  };
  site.use({ [Symbol.asyncDispose]: end });
  return { pid: child.pid, end };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  fuseTest(`${signal} unmounts: exit 0, nothing is left, the purge lock is free`, async (site) => {
    const image = addSample(site);
    const mount = await site.mount();
    await assertContent(mount.file("last"), image);
    assert(!await canPurge(site));
    const { stderr } = await mount.end(signal);
    assertEquals(messagesOf(stderr), []);
    assert(await canPurge(site));
    assertEquals([...Deno.readDirSync(mount.path)], []);
  }, { programs: ["flock"] });
}

fuseTest("A mount under nohup stays when its terminal ends; SIGUSR1 does nothing", async (site) => {
  const image = addSample(site);
  const mount = await site.mount([], { shell: 'exec nohup "$@"' });
  for (const signal of ["SIGHUP", "SIGUSR1", "SIGHUP"] as const) mount.tool.signal(signal);
  await assertContent(mount.file("last"), image);
  const { stderr } = await mount.end("SIGTERM");
  assertEquals(messagesOf(stderr), []);
}, { programs: ["nohup"] });

fuseTest("A mount that another one covers says so, and ends when that has gone", async (site) => {
  const image = addSample(site);
  const mount = await site.mount();
  await sh('mount -t tmpfs none "$1"', mount.path);
  try {
    mount.tool.signal("SIGTERM");
    await mount.tool.untilSaid("a second signal");
  } finally {
    await sh('umount "$1"', mount.path);
  }
  assertStringIncludes(mount.messages[0]!, "the mount is in use by another mount over it;");
  await assertContent(mount.file("last"), image);
  await mount.end();
});

fuseTest("Two SIGHUPs, from the kernel and a shell, do not detach a mount in use", async (site) => {
  addSample(site);
  const mount = await site.mount();
  const user = startHolder(site, { cwd: mount.path, script: "exec sleep 60" });
  const hasBegun = () => Deno.readTextFileSync(`/proc/${user.pid}/cmdline`).startsWith("sleep\0");
  await until(hasBegun, `process ${user.pid}`);
  mount.tool.signal("SIGHUP");
  await mount.tool.untilSaid("a second signal");
  mount.tool.signal("SIGHUP");
  // Signals are handled in order: when the last request to the mount is answered, the second signal
  // has been handled.
  assertEquals((await run("ls", mount.path)).trim(), "Sample\nby-date\nlast\nlast.parts");
  assertEquals(mount.messages.length, 1, mount.tool.said);
  await user.end();
  await mount.end("SIGTERM");
});

fuseTest("fusermount3 -u from outside ends it: exit 0, the purge lock is free", async (site) => {
  const image = addSample(site);
  const mount = await site.mount();
  assertStringIncludes(mount.tool.said, `To unmount: umount "${mount.path}", or Ctrl-C\n`);
  await assertContent(mount.file("Sample"), image);
  await run("fusermount3", "-u", mount.path);
  const { stderr } = await mount.ended();
  assertEquals(messagesOf(stderr), []);
  assert(await canPurge(site));
}, { programs: ["flock"] });

fuseTest("umount from outside ends it: exit 0", async (site) => {
  addSample(site);
  const mount = await site.mount();
  await run("umount", mount.path);
  await mount.ended();
});

fuseTest(
  "In use, the first signal names the user; once that has ended, the next one unmounts",
  async (site) => {
    addSample(site);
    const mount = await site.mount();
    const inside = startHolder(site, { cwd: mount.path, script: "exec sleep 60" });
    const reader = startHolder(site, {
      script: 'exec sleep 61 <"$1"',
      args: [mount.file("Sample")],
    });
    for (const { pid } of [inside, reader]) {
      // Until then it is bash, which has not opened the file.
      const hasBegun = () => Deno.readTextFileSync(`/proc/${pid}/cmdline`).startsWith("sleep\0");
      await until(hasBegun, `process ${pid}`);
    }
    mount.tool.signal("SIGTERM");
    await mount.tool.untilSaid("a second signal");
    assertEquals(mount.messages.length, 1, mount.tool.said);
    assertMatch(
      mount.messages[0]!,
      /^warning: the mount is in use by .*; a second signal ends it all the same$/,
    );
    for (const user of [`pid ${inside.pid} (sleep 60)`, `pid ${reader.pid} (sleep 61)`]) {
      assertStringIncludes(mount.messages[0]!, user);
    }
    assert(!mount.tool.hasEnded);
    assertEquals((await run("ls", mount.path)).trim(), "Sample\nby-date\nlast\nlast.parts");
    await inside.end();
    await reader.end();
    await mount.end("SIGINT");
  },
);

fuseTest(
  "In use by a loop device, the first signal names the device and its mount point",
  async (site) => {
    const image = site.file("ext4.img");
    await run("truncate", "-s", "16M", image);
    await run("mkfs.ext4", "-q", "-F", image);
    site.addImage("Ext4", image);
    const mount = await site.mount();
    const files = await site.mountDevice("-o", "ro,loop", mount.file("Ext4"));
    mount.tool.signal("SIGTERM");
    await mount.tool.untilSaid("a second signal");
    assertMatch(mount.messages[0]!, /in use by \/dev\/loop\d+ \(mounted at "[^"]+"\)/);
    assertStringIncludes(mount.messages[0]!, `(mounted at "${files}")`);
    await run("umount", files);
    await mount.end();
  },
  { programs: ["mkfs.ext4"] },
);

fuseTest("Users who start programs all the time do not make the mount hang", async (site) => {
  addSample(site);
  const mount = await site.mount();
  // exec(2) closes the file, for which it asks the mount, and nobody may look at the process then.
  const again = 'open F, "<", $ARGV[0]; exec $^X, "-e", $ARGV[1], @ARGV';
  const options = { script: 'exec perl -e "$2" "$@"', args: [mount.file("Sample"), again] };
  const users = [1, 2, 3, 4].map(() => startHolder(site, options));
  for (const { pid } of users) {
    const hasBegun = () => Deno.readTextFileSync(`/proc/${pid}/comm`) === "perl\n";
    await until(hasBegun, `process ${pid}`);
  }
  mount.tool.signal("SIGTERM");
  await mount.tool.untilSaid("a second signal");
  assertMatch(mount.messages[0]!, /the mount is in use by pid \d+ \(/);
  for (const user of users) await user.end();
  await mount.end("SIGINT");
}, { programs: ["perl"] });

fuseTest("A second signal always ends it: exit 143, users get ENOTCONN", async (site) => {
  addSample(site);
  const mount = await site.mount();
  using file = await Deno.open(mount.file("Sample"));
  mount.tool.signal("SIGTERM");
  await mount.tool.untilSaid("a second signal");
  assertStringIncludes(mount.messages[0]!, `pid ${Deno.pid} `);
  mount.tool.signal("SIGTERM");
  const { code, stderr } = await mount.tool.outcome();
  assertEquals([code, messagesOf(stderr)[1]], [
    143,
    "warning: detached while in use: whoever still uses it gets errors from now on",
  ]);
  assertEquals(await errnoOf(readFrom(file, 0, 1000)), ENOTCONN);
  assertEquals(mountsAt(mount.path).length, 0);
  assert(await canPurge(site));
}, { programs: ["flock"] });

fuseTest("Many signals at once leave no dead mount behind, in use or not", async (site) => {
  addSample(site);
  for (const isUsed of [false, true]) {
    const mount = await site.mount();
    using file = isUsed ? await Deno.open(mount.file("Sample")) : null;
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGINT"] as const) {
      mount.tool.signal(signal);
    }
    const { code, stderr } = await mount.tool.outcome();
    assert([0, 129, 130, 143].includes(code), stderr);
    assertEquals(mountsAt(mount.path).length, 0, stderr);
    if (file !== null) assertEquals(await errnoOf(readFrom(file, 0, 1000)), ENOTCONN);
  }
  assert(await canPurge(site));
}, { programs: ["flock"] });

/** Starts a process in its own mount namespace, like a container. */
async function startNamespace(site: Site): Promise<{ pid: number; end: () => Promise<void> }> {
  const holder = startHolder(site, {
    script: "exec unshare -m --propagation private sleep 60",
  });
  const hasBegun = () => Deno.readTextFileSync(`/proc/${holder.pid}/cmdline`).startsWith("sleep\0");
  await until(hasBegun, `process ${holder.pid}`);
  return holder;
}

const NAMESPACE = { programs: ["flock", "unshare"], hasNamespaces: true };

fuseTest(
  "A mount kept alive by another mount namespace is reported, and ends with it",
  async (site) => {
    addSample(site);
    const mount = await site.mount();
    const holder = await startNamespace(site);
    await run("fusermount3", "-u", mount.path);
    await mount.tool.untilSaid("a signal ends it");
    assertEquals(mount.messages, [
      "warning: unmounted here, but still in use by " +
      `pid ${holder.pid} (sleep 60) in another mount namespace: it is served, and the purge lock ` +
      "is held, until they end; a signal ends it all the same",
    ]);
    assert(!await canPurge(site));
    await holder.end();
    await mount.ended();
    assert(await canPurge(site));
  },
  NAMESPACE,
);

fuseTest("Signals end a mount that another mount namespace keeps alive: exit 143", async (site) => {
  addSample(site);
  const mount = await site.mount();
  await startNamespace(site);
  mount.tool.signal("SIGTERM");
  await mount.tool.untilSaid("a signal ends it");
  mount.tool.signal("SIGTERM");
  assertEquals((await mount.tool.outcome()).code, 143);
  assert(await canPurge(site));
}, NAMESPACE);

fuseTest("A mount that was detached from outside says who has files open", async (site) => {
  const image = addSample(site);
  const mount = await site.mount();
  const file = await Deno.open(mount.file("Sample"));
  try {
    await run("umount", "-l", mount.path);
    await mount.tool.untilSaid("a signal ends it");
    assertMatch(mount.messages[0]!, RegExp(`still in use by pid ${Deno.pid} `));
    assertBytes(await readFrom(file, 0, image.length), image);
  } finally {
    file.close();
  }
  await mount.ended();
});

fuseTest("A mount that is bound to another place is reported with that place", async (site) => {
  addSample(site);
  const mount = await site.mount();
  const place = await site.mountDevice("--bind", mount.path);
  await run("umount", mount.path);
  await mount.tool.untilSaid("a signal ends it");
  assertStringIncludes(mount.messages[0]!, `still in use by the mount at "${place}": `);
  await run("umount", place);
  await mount.ended();
});

fuseTest("Signals while reads are in flight: all are answered, exit 0", async (site) => {
  const chunks = Array.from({ length: 12 }, (_, seed) => sampleBytes(seed));
  const { image } = site.add("Sample", chunks);
  const mount = await site.mount(["-c", "16", "-t", "1"]);
  await dropPageCache();
  const readers = [0, 1, 2, 3].map(async (number) => {
    using file = await Deno.open(mount.file("Sample"));
    for (let round = 0; round < 12; round++) {
      const at = ((round * 5 + number * 3) % 12) * 4_194_304;
      assertBytes(await readFrom(file, at, 4_194_304), image.subarray(at, at + 4_194_304));
      if (round === 1 && number === 0) mount.tool.signal("SIGTERM");
    }
  });
  await Promise.all(readers);
  // It first looks for the mount's users, which may take longer than the read.
  await mount.tool.untilSaid("warning: ");
  assertEquals(mount.messages.length, 1, mount.tool.said);
  assertMatch(mount.messages[0]!, /^warning: the mount is in use by /);
  mount.tool.signal("SIGTERM");
  await mount.ended();
});

fuseTest("A mount goes on when nobody reads its standard error any more: exit 0", async (site) => {
  const image = addSample(site);
  const { ids } = site.add("Bad", [sampleBytes(9)]);
  Deno.removeSync(chunkFile(site.basedir, ids[0]!));
  const at = site.folder();
  // The pipe's reader ends after the first line; descriptor 3 shows the harness that the tool runs.
  const shell = 'exec 3>&2; exec "$@" 2> >(exec head -n 1 >/dev/null 2>&1 3>&-)';
  const tool = site.start([at], { shell });
  const mount = site.use(new FuseMount(at, tool));
  await until(() => Promise.resolve(mountsAt(at).length > 0), "the mount");
  for (let round = 0; round < 3; round++) {
    assertEquals(await errnoOf(Deno.readFile(mount.file("Bad"))), EIO);
    await assertContent(mount.file("Sample"), image);
  }
  assertEquals(mountsAt(at).length, 1);
  tool.signal("SIGTERM");
  assertEquals((await tool.outcome()).code, 0);
  assertEquals(mountsAt(at).length, 0);
});

fuseTest("Directory listings do not get in the way of SIGTERM", async (site) => {
  addSample(site);
  const mount = await site.mount();
  const lister = sh(
    'while ls -l "$1/Sample" "$1" 2>/dev/null | grep -q Sample; do :; done',
    mount.path,
  );
  await pause(300);
  // A listing at that very moment makes the mount busy: the tool says so, and the next signal ends
  // it.
  mount.tool.signal("SIGTERM");
  await until(() => mount.tool.hasEnded || mount.messages.length > 0, "an answer to the signal");
  mount.tool.signal("SIGTERM");
  const { code, stderr } = await mount.tool.outcome();
  await lister;
  assert(code === 0 || code === 143, stderr);
  assertNoInternals(stderr);
  assertEquals(mountsAt(mount.path).length, 0);
});

fuseTest(
  "A user for a moment who cannot be found does not keep a mount from ending",
  async (site) => {
    addSample(site);
    const mount = await site.mount();
    // A descriptor on its way through a socket stands nowhere in /proc.
    const script = `
import os, socket, sys, time
a, b = socket.socketpair()
fd = os.open(sys.argv[1], os.O_RDONLY)
socket.send_fds(a, [b"x"], [fd])
os.close(fd)
os.write(1, b"held\\n")
time.sleep(0.2)`;
    const holder = new Deno.Command("timeout", {
      args: ["60", "python3", "-c", script, mount.path],
      stdout: "piped",
    }).spawn();
    const reader = holder.stdout.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "held\n");
    const { stderr } = await mount.end();
    assert(!stderr.includes("in use"), stderr);
    await reader.cancel();
    await holder.status;
  },
  { programs: ["python3"] },
);

fuseTest(
  "kill -9 leaves a stale mount: mounting there is refused with the remedy, which works",
  async (site) => {
    const image = addSample(site);
    const mount = await site.mount();
    await writeTo(mount.file("Sample"));
    mount.tool.signal("SIGKILL");
    assertEquals((await mount.tool.outcome()).signal, "SIGKILL");
    assertEquals(mountsAt(mount.path).length, 1);
    assertEquals(await errnoOf(Deno.stat(mount.file("Sample"))), ENOTCONN);
    assert(await canPurge(site));

    const remedy = `umount -l '${mount.path}'`;
    await assertRefused(site.start([mount.path]), {
      code: 1,
      says: `Cannot mount at "${mount.path}": a file system that has died is still mounted there ` +
        `(Transport endpoint is not connected); clear it away (${remedy})`,
    });
    await sh(remedy);
    assertEquals(mountsAt(mount.path).length, 0);
    const again = await site.mount([], { at: mount.path });
    await assertContent(again.file("Sample"), image);
    await again.end();
  },
  { programs: ["flock"] },
);

async function writeTo(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true });
  await file.write(new Uint8Array(1000));
}
