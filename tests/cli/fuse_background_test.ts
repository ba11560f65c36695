/**
 * Mounts in the background: what the process that was started says and returns, and what the one
 * that serves the mount keeps of it.
 */

import { assert, assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { closeFd, openFd } from "../../lib/linux/files.ts";
import { FlockOperation, tryFlock } from "../../lib/linux/locks.ts";
import { canLockExclusively } from "../support/flock.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { FUSE, RunningTool } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import {
  assertRefused,
  BackgroundMount,
  fuseTest,
  messagesOf,
  mountsAt,
  serversFor,
} from "./fuse_harness.ts";

/** Where the descriptors of a process lead. */
function descriptorsOf(pid: number): Map<number, string> {
  const folder = `/proc/${pid}/fd`;
  return new Map([...Deno.readDirSync(folder)].map(({ name }) => [
    Number(name),
    Deno.readLinkSync(`${folder}/${name}`),
  ]));
}

/** Process id, group, session and terminal. Source: proc_pid_stat(5). */
function sessionOf(pid: number): number[] {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const [, , group, session, terminal] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return [pid, ...[group, session, terminal].map(Number)];
}

fuseTest("--background returns when the mount is ready, and says how it ends", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1), sampleBytes(2)]);
  const at = site.folder();
  const tool = site.start(["--background", at]);
  const { code, stderr, stdout } = await tool.outcome();
  // No waiting: it is there.
  await assertContent(`${at}/last`, image);
  assertEquals(code, 0, stderr);
  assertEquals(stdout.length, 0);
  assertEquals(messagesOf(stderr), []);
  assert(stderr.includes(`1 revision of "${site.basedir}" mounted at "${at}"\n`), stderr);
  assert(stderr.endsWith(`To unmount: umount "${at}"\n`), stderr);
  const [server] = serversFor(at);
  assertEquals(Deno.readTextFileSync(`/proc/${server}/comm`), "backy-fuse\n");
  Deno.kill(server!, "SIGTERM");
  await until(() => serversFor(at).length === 0, "the end of the server");
  assertEquals(mountsAt(at), []);
});

fuseTest(
  "A mount in the background keeps nothing of the terminal it was started on",
  async (site) => {
    const { image } = site.add("Sample", [sampleBytes(1)]);
    const at = site.folder();
    const words = [...FUSE, "-b", site.basedir, at].map((word) => `'${word}'`).join(" ");
    await using mount = new BackgroundMount(at);
    // script(1) ends when its command has; then the terminal is gone.
    await using tool = new RunningTool(["script", "-qefc", `exec ${words} 9>&1`, "/dev/null"], {
      env: { SHELL: "/bin/bash" },
    });
    const { code, stdout } = await tool.outcome();
    const screen = new TextDecoder().decode(stdout);
    assertEquals(code, 0, screen);
    assert(screen.includes("To unmount: "), screen);
    mount.findServer();
    const { server } = mount;
    assertEquals(sessionOf(server), [server, server, server, 0]);
    const descriptors = descriptorsOf(server);
    assertEquals([0, 1, 2].map((fd) => descriptors.get(fd)), Array(3).fill("/dev/null"));
    const targets = [...descriptors.values()];
    assertEquals(targets.filter((target) => /^\/dev\/(pts|tty)/.test(target)), []);
    assertEquals(Deno.readLinkSync(`/proc/${server}/cwd`), "/");
    await assertContent(mount.file("Sample"), image);
  },
  { programs: ["script"] },
);

fuseTest(
  "--background lets pipes go that others wait for the end of, as ssh does",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder();
    await using mount = new BackgroundMount(at);
    // `outcome()` waits for the end of both pipes; 8 is one that only cat's end closes.
    const shell = `"$@" 8>&1 | cat`;
    await using tool = new RunningTool([...FUSE, "--background", site.basedir, at], { shell });
    const { code, stderr } = await tool.outcome();
    assertEquals(code, 0, stderr);
    mount.findServer();
  },
);

fuseTest("--background: relative paths mean what they mean for whoever starts it", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const cwd = site.basedir.replace(/\/[^/]*$/, "");
  const base = site.basedir.slice(cwd.length + 1);
  const at = site.folder("here");
  await using mount = new BackgroundMount(at);
  await using tool = new RunningTool([...FUSE, "-b", "--log=log", base, "here"], { cwd });
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr);
  await assertContent(mount.file("Sample"), image);
  assert(Deno.statSync(`${cwd}/log`).isFile);
});

for (
  const [what, args, code, says] of [
    ["no backup directory", ["-d", "/nowhere"], 10, /^Cannot open backup directory "\/nowhere": /],
    ["a wrong mount option", ["-o", "max_read=x"], 2, /^Cannot use mount option "max_read=x": /],
    ["a log that cannot be", ["--log=/nowhere/log"], 2, /^Cannot use option "--log": /],
  ] as const
) {
  fuseTest(`--background with ${what} fails as in the foreground: exit ${code}`, async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder();
    const tool = site.start(["--background", ...args, at]);
    await assertRefused(tool, { code, says, at });
    assertEquals(serversFor(at), []);
  });
}

fuseTest("--log writes to no block device", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const disk = site.file("disk", new Uint8Array(4096));
  const [at, device] = [site.folder(), await site.loopDevice(disk)];
  await assertRefused(site.start(["--background", `--log=${device}`, at]), {
    code: 2,
    says: `Cannot use option "--log": "${device}": it is a block device; name a file`,
    at,
  });
  assertEquals(Deno.readFileSync(disk), new Uint8Array(4096));
});

fuseTest("--log without --background is refused", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  await assertRefused(site.start(["--log=log", at]), {
    code: 2,
    says: 'Cannot use "--log" without "--background": in the foreground, they go to standard error',
    at,
  });
});

/** Holds the purge lock of a backup directory, as a purge does. */
function holdPurgeLock(basedir: string): Disposable {
  const fd = openFd(`${basedir}/.purge`, 0o102); // O_RDWR | O_CREAT
  assert(tryFlock(fd, FlockOperation.LOCK_EX));
  return { [Symbol.dispose]: () => closeFd(fd) };
}

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  fuseTest(
    `--background: ${signal} while it waits ends both processes: exit ${code}`,
    async (site) => {
      site.add("Sample", [sampleBytes(1)]);
      const at = site.folder();
      using _purge = holdPurgeLock(site.basedir);
      const tool = site.start(["--background", "--lock-timeout=100", at]);
      await tool.untilSaid("waiting for the purge lock");
      tool.signal(signal);
      const outcome = await tool.outcome();
      assertEquals([outcome.code, outcome.signal], [code, null], outcome.stderr);
      assertEquals(messagesOf(outcome.stderr).at(-1), `Interrupted by ${signal}`);
      assertEquals(serversFor(at), []);
      assertEquals(mountsAt(at), []);
    },
  );
}

fuseTest("--background: the end of the process that waits ends the other one", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  {
    using _purge = holdPurgeLock(site.basedir);
    const tool = site.start(["--background", "--lock-timeout=100", at]);
    await tool.untilSaid("waiting for the purge lock");
    assertEquals(serversFor(at).length, 1);
    tool.signal("SIGKILL");
    await until(() => serversFor(at).length === 0, "the end of the server");
  }
  assertEquals(mountsAt(at), []);
  assert(canLockExclusively(`${site.basedir}/.purge`));
});

fuseTest(
  "--background: a server that is killed before the mount is ready is told of",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder();
    using _purge = holdPurgeLock(site.basedir);
    const tool = site.start(["--background", "--lock-timeout=100", at]);
    await tool.untilSaid("waiting for the purge lock");
    const [server] = serversFor(at);
    Deno.kill(server!, "SIGKILL");
    const { code, stderr } = await tool.outcome();
    assertEquals(code, 1, stderr);
    assertEquals(
      messagesOf(stderr).at(-1),
      `Cannot mount: the process that was to serve the mount (pid ${server}) ended by signal 9`,
    );
  },
);

fuseTest("Signals end a mount in the background as one in the foreground", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const log = site.file("log");
  const mount = await site.mountInBackground(["--log", log]);
  const file = await Deno.open(mount.file("Sample"));
  Deno.kill(mount.server, "SIGTERM");
  await until(() => Deno.readTextFileSync(log).includes("a second signal ends it"), "the warning");
  assertEquals(mountsAt(mount.path).length, 1);
  Deno.kill(mount.server, "SIGTERM");
  await mount.ended();
  file.close();
});

fuseTest("--background: SIGINT at any moment leaves a whole mount or nothing", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1)]);
  const at = site.folder();
  const started = performance.now();
  const whole = await site.mountInBackground([], { at });
  const stepMs = (performance.now() - started) / 16;
  Deno.kill(whole.server, "SIGTERM");
  await whole.ended();
  let interruptions = 0;
  for (let moment = 0; moment < 20; moment++) {
    await using mount = new BackgroundMount(at);
    const tool = site.start(["--background", at]);
    await pause(moment * stepMs);
    tool.signal("SIGINT");
    const { code, stderr } = await tool.outcome();
    if (code === 0) {
      mount.findServer();
      await assertContent(mount.file("Sample"), image);
    } else {
      // 130 also if the signal came before anything could listen to it.
      assertEquals(code, 130, stderr);
      assertEquals(serversFor(at), []);
      assertEquals(mountsAt(at), []);
      if (stderr.includes("Interrupted by SIGINT")) interruptions++;
    }
  }
  assert(interruptions > 0);
});

fuseTest("--background: more warnings than pipes take at once are all told", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const count = 1500;
  for (let number = 0; number < count; number++) {
    Deno.writeTextFileSync(`${site.basedir}/${"x".repeat(100)}${number}.rev`, "[]");
  }
  const at = site.folder();
  const mount = site.use(new BackgroundMount(at));
  // Whoever shows them is slow.
  const tool = site.start(["--background", at], {
    shell: `set -o pipefail; "$@" 2>&1 | (sleep 3; cat >&2)`,
  });
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr.slice(-1000));
  assertEquals(messagesOf(stderr).filter((line) => line.includes("is left out")).length, count);
  mount.findServer();
});
