/** What `backy-fuse files` leaves behind when things go wrong: nothing. */

import { isFileAt } from "../../lib/linux/file_status.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { run } from "../support/programs.ts";
import { randomFrom } from "../support/random.ts";
import { FUSE, RunningTool } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import { addDirtyDisk } from "./disk_images.ts";
import {
  assertEnded,
  FILES_PROGRAMS,
  leftovers,
  processesWith,
  startFiles,
} from "./files_harness.ts";
import { fuseTest, mountsAt, type Site } from "./fuse_harness.ts";

const PROGRAMS = { programs: FILES_PROGRAMS };

/** A shell that sits in a directory until it is told to end. */
async function sitIn(
  site: Site,
  directory: string,
): Promise<{ pid: number; end(): Promise<void> }> {
  const child = new Deno.Command("sh", {
    args: ["-c", "echo; exec sleep 1000"],
    cwd: directory,
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  const end = async () => {
    try {
      child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await child.status;
  };
  site.use({ [Symbol.asyncDispose]: end });
  return { pid: child.pid, end };
}

fuseTest("A file system in use is named with its user, and waited for", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  const user = await sitIn(site, `${place}/1`);
  tool.signal("SIGTERM");
  await tool.untilSaid("is in use by");
  const says = new RegExp(
    `^warning: the mount at "${place}/1" is in use by pid ${user.pid} \\(sleep 1000\\): ` +
      "waiting for them to end; Ctrl-C or SIGTERM takes it away all the same$",
  );
  assertEquals(mountsAt(`${place}/2`), []);
  assertEquals(mountsAt(`${place}/1`).length, 1);
  await user.end();
  assertEnded(await tool.outcome(), { says: [says] });
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("A second signal takes a file system away that is in use", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  const user = await sitIn(site, `${place}/1/etc`);
  tool.signal("SIGINT");
  await tool.untilSaid("is in use by");
  tool.signal("SIGINT");
  const outcome = await tool.outcome();
  assertEnded(outcome, {
    code: 130,
    says: [/is in use by/, /^warning: taken away while in use: /],
  });
  assertEquals(leftovers(site).filter((what) => !what.startsWith("device ")), []);
  // What is still open goes with its user.
  await user.end();
  await until(() => leftovers(site).length === 0, "the loop device's end");
}, PROGRAMS);

fuseTest(
  "A second signal counts although the user was not told yet why one is needed",
  async (site) => {
    await addDirtyDisk(site);
    const place = site.folder("place");
    const tool = startFiles(site, [site.basedir, place]);
    await tool.untilSaid("To unmount: ");
    const user = await sitIn(site, `${place}/1/etc`);
    tool.signal("SIGINT");
    // Two at once may count as one.
    await until(() => mountsAt(`${place}/2`).length === 0, "the beginning of the end");
    tool.signal("SIGTERM");
    const outcome = await tool.outcome();
    assertEnded(outcome, {
      code: 143,
      says: [/is in use by pid \d+ \(sleep 1000\)/, /^warning: taken away while in use: /],
    });
    await user.end();
    await until(() => leftovers(site).length === 0, "the loop device's end");
  },
  PROGRAMS,
);

/** Runs a line of a shell among the files. Returns when the line has made the file `$0`. */
async function startCommand(site: Site, line: string): Promise<RunningTool> {
  const mark = site.file("mark");
  const words = ["sh", "-c", line, mark];
  const tool = startFiles(site, [site.basedir, site.folder("place"), "--", ...words]);
  await until(() => isFileAt(mark), "the command");
  return tool;
}

fuseTest("A second signal kills a command that does not heed the first", async (site) => {
  await addDirtyDisk(site);
  const tool = await startCommand(site, 'trap "" TERM; touch "$0"; while :; do sleep 0.1; done');
  tool.signal("SIGTERM");
  await pause(300);
  assert(!tool.hasEnded, tool.said);
  tool.signal("SIGTERM");
  assertEnded(await tool.outcome(), { code: 137 });
  assertEquals(leftovers(site), []);
}, PROGRAMS);

for (const [signal, code] of [["SIGTERM", 143], ["SIGHUP", 129], ["SIGINT", 130]] as const) {
  fuseTest(`${signal} reaches the command, which ends it all`, async (site) => {
    await addDirtyDisk(site);
    const tool = await startCommand(site, 'touch "$0"; exec sleep 1000');
    tool.signal(signal);
    assertEnded(await tool.outcome(), { code });
    assertEquals(leftovers(site), []);
  }, PROGRAMS);
}

fuseTest("SIGQUIT ends everything in order, with and without a command", async (site) => {
  await addDirtyDisk(site);
  // Background jobs of scripts ignore it.
  const quittable = ["env", "--default-signal=QUIT", ...FUSE, "files", site.basedir];
  const alone = site.use(new RunningTool([...quittable, site.folder("place")]));
  await alone.untilSaid("To unmount: ");
  alone.signal("SIGQUIT");
  assertEnded(await alone.outcome());
  assertEquals(leftovers(site), []);
  const mark = site.file("mark");
  const words = ["--", "sh", "-c", 'touch "$0"; exec sleep 1000', mark];
  const tool = site.use(new RunningTool([...quittable, ...words]));
  await until(() => isFileAt(mark), "the command");
  tool.signal("SIGQUIT");
  assertEnded(await tool.outcome(), { code: 130 });
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("A mount of somebody else over a file system is left alone", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  await run("mount", "-t", "tmpfs", "foreign", `${place}/1`);
  tool.signal("SIGTERM");
  await tool.untilSaid("is in use by another mount over it");
  assertEquals(mountsAt(`${place}/1`).map(({ type }) => type), ["ext4", "tmpfs"]);
  await run("umount", `${place}/1`);
  assertEnded(await tool.outcome(), { says: [/is in use by another mount over it/] });
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("Of runs that begin at one mount point at once, at most one has it", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const args = [site.basedir, place, "--", "sh", "-c", "sleep 0.5; ls; cat 1/etc/fstab"];
  for (let round = 0; round < 4; round++) {
    const outcomes = await Promise.all(
      [startFiles(site, args), startFiles(site, args)].map((tool) => tool.outcome()),
    );
    for (const { code, stderr, stdout } of outcomes) {
      if (code === 0) assertMatch(new TextDecoder().decode(stdout), /^1\n2\n\/dev\/vda1 .*\n$/);
      else assertMatch(stderr, /^backy-fuse: Cannot mount at ".*": another run shows its files/m);
    }
    assertEquals(leftovers(site), []);
  }
}, PROGRAMS);

fuseTest("Ctrl-C goes to the command, which may heed it as it likes", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const script = 'trap "echo caught" INT; echo ready; sleep 2; echo slept; exit 5';
  const words = [...FUSE, "files", site.basedir, place, "--", "sh", "-c", script];
  const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = new Deno.Command("timeout", {
    args: ["60", "script", "-qefc", `exec ${line}`, "/dev/null"],
    env: { SHELL: "/bin/bash", TERM: "xterm" },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  let screen = "";
  const reading = (async () => {
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) screen += piece;
  })();
  await until(() => screen.includes("ready"), "the command");
  await writer.write(new TextEncoder().encode("\x03"));
  const { code } = await child.status;
  await reading;
  await writer.close().catch(() => {});
  assertEquals(code, 5, screen);
  assertMatch(screen, /caught/);
  assertEquals(leftovers(site), []);
}, { programs: [...FILES_PROGRAMS, "script"] });

fuseTest("When all file systems were unmounted, the rest is undone", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  await run("umount", `${place}/1`);
  await pause(1200);
  assert(!tool.hasEnded, tool.said);
  await run("umount", `${place}/2`);
  assertEnded(await tool.outcome());
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("The end of the server is noticed, and nothing is left", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  const [server] = processesWith(site.basedir).filter((pid) => pid !== tool.pid);
  Deno.kill(server!, "SIGKILL");
  assertEnded(await tool.outcome(), {
    code: 1,
    says: [/^warning: the process that served the image has ended: what is mounted gives errors$/],
  });
  assertEquals(leftovers(site), []);
}, PROGRAMS);

fuseTest("--clean removes what a run left that was killed, and no other's", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const other = site.folder("other");
  const lives = startFiles(site, [site.basedir, other]);
  const tool = startFiles(site, [site.basedir, place]);
  await tool.untilSaid("To unmount: ");
  await lives.untilSaid("To unmount: ");
  const clean = async (path: string) => {
    const run = site.use(new RunningTool([...FUSE, "files", "--clean", path]));
    return await run.outcome();
  };
  const refused = await clean(place);
  assertEquals(refused.code, 1);
  assertMatch(refused.stderr, /: it is served by pid \d+ \(.*\); end that by Ctrl-C or SIGTERM\n$/);
  tool.signal("SIGKILL");
  await tool.outcome();
  assertEquals(mountsAt(place).length, 1);
  const again = await startFiles(site, [site.basedir, place]).outcome();
  assertMatch(again.stderr, /: another run shows its files there; if it was killed: backy-fuse /);
  // A path that the run has printed will do, too.
  assertEnded(await clean(`${place}/2`));
  assertEquals(mountsAt(`${other}/1`).length, 1);
  lives.signal("SIGTERM");
  assertEnded(await lives.outcome());
  assertEquals(leftovers(site), []);
  assertMatch((await clean(place)).stderr, /nothing is left there by backy-fuse files/);
}, PROGRAMS);

fuseTest("--clean removes what was left when the start was killed", async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  for (const waitMs of [300, 600, 900, 1200]) {
    const tool = startFiles(site, [site.basedir, place]);
    await pause(waitMs);
    tool.signal("SIGKILL");
    await tool.outcome();
    const run = site.use(new RunningTool([...FUSE, "files", "--clean", place]));
    const { code, stderr } = await run.outcome();
    if (code !== 0) assertMatch(stderr, /nothing is left there/);
    await until(() => leftovers(site).length === 0, `the end of all after ${waitMs} ms`);
  }
}, PROGRAMS);

const INTERRUPTIONS = Deno.env.get("FAULTS") === "full" ? 50 : 8;

fuseTest(`Nothing is left after interruptions at ${INTERRUPTIONS} random moments`, async (site) => {
  await addDirtyDisk(site);
  const place = site.folder("place");
  const seed = Number(Deno.env.get("SEED") ?? Date.now() % 1_000_000);
  const random = randomFrom(seed);
  for (let round = 0; round < INTERRUPTIONS; round++) {
    const signal = (["SIGINT", "SIGTERM", "SIGHUP"] as const)[random(3)]!;
    const command = [[], ["--", "sleep", "0.3"], ["--", "ls", "-R"]][random(3)]!;
    const args = random(2) === 0 ? [] : [place];
    const waitMs = random(1800), hasSecond = random(4) === 0;
    const what = `seed ${seed}, round ${round}: ${[signal, waitMs, hasSecond, args, ...command]}`;
    const tool = startFiles(site, [site.basedir, ...args, ...command]);
    await pause(waitMs);
    tool.signal(signal);
    if (hasSecond) await pause(random(100)).then(() => tool.signal(signal));
    const { stderr } = await tool.outcome();
    // A server that was not told yet that its front has ended finds out by itself.
    await until(() => leftovers(site).length === 0, `the end of all: ${what}: ${stderr}`);
  }
}, PROGRAMS);
