/**
 * What a mount tells the service manager (systemd), and the system log when it is served in the
 * background.
 */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { closeFd, openFd } from "../../lib/linux/files.ts";
import { FlockOperation, tryFlock } from "../../lib/linux/locks.ts";
import { hasSystemLog, Severity, systemLog } from "../../lib/cli/system_log.ts";
import { sendDatagram } from "../../lib/linux/unix_datagram.ts";
import { DatagramReceiver } from "../support/datagrams.ts";
import { programProblem } from "../support/programs.ts";
import { chunkFile, sampleBytes } from "../support/store_builder.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { until } from "../support/wait.ts";
import { BackgroundMount, fuseTest, mountsAt } from "./fuse_harness.ts";

const PROGRAMS = ["python3"];

testUnless(programProblem(...PROGRAMS), "sendDatagram() says whether it was sent", async () => {
  const name = `@backy test ${crypto.randomUUID()}`;
  {
    await using receiver = await DatagramReceiver.at(name);
    assert(sendDatagram(name, new TextEncoder().encode("one\ntwo")));
    await receiver.untilReceived("one\ntwo");
  }
  assertEquals(sendDatagram(name, new Uint8Array(1)), false);
  assertEquals(sendDatagram("/nowhere", new Uint8Array(1)), false);
  assertEquals(sendDatagram(`/${"x".repeat(200)}`, new Uint8Array(1)), false);
});

for (const kind of ["a path", "an abstract name"]) {
  fuseTest(`The service manager is told of start and end, at ${kind}`, async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const at = site.folder();
    const address = kind === "a path" ? site.file("notify") : `@${crypto.randomUUID()}/backy`;
    const manager = site.use(await DatagramReceiver.at(address));
    const tool = site.start([at], { env: { NOTIFY_SOCKET: address } });
    await manager.untilReceived("READY=1");
    assertEquals(mountsAt(at).length, 1);
    tool.signal("SIGTERM");
    const { code, stderr } = await tool.outcome();
    assertEquals(code, 0, stderr);
    await manager.untilReceived("STOPPING=1");
    assertEquals(manager.received, [
      `READY=1\nSTATUS=1 revision of "${site.basedir}" mounted at "${at}"`,
      "STOPPING=1",
    ]);
  }, { programs: PROGRAMS });
}

fuseTest(
  "A mount that a signal leaves alone, as it is in use, is not told of as stopping",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const address = site.file("notify");
    const manager = site.use(await DatagramReceiver.at(address));
    const mount = await site.mount([], { env: { NOTIFY_SOCKET: address } });
    {
      using _user = await Deno.open(mount.file("Sample"));
      mount.tool.signal("SIGTERM");
      await mount.tool.untilSaid("a second signal ends it all the same");
    }
    assertEquals(manager.received.length, 1, manager.received.join());
    await mount.end();
    await manager.untilReceived("STOPPING=1");
  },
  { programs: PROGRAMS },
);

fuseTest("The service manager is told what a mount waits for, and why it fails", async (site) => {
  site.add("Sample", [sampleBytes(1)]);
  const address = site.file("notify");
  const manager = site.use(await DatagramReceiver.at(address));
  const fd = openFd(`${site.basedir}/.purge`, 0o102); // O_RDWR | O_CREAT
  assert(tryFlock(fd, FlockOperation.LOCK_EX));
  const tool = site.start(["--lock-timeout=0.5", site.folder()], {
    env: { NOTIFY_SOCKET: address },
  });
  const { code } = await tool.outcome();
  closeFd(fd);
  assertEquals(code, 11);
  await manager.untilReceived("Cannot lock");
  assertMatch(manager.received[0]!, /^STATUS=Waiting for the purge lock, held by pid \d+ /);
  assertMatch(manager.received[1]!, /^STATUS=Cannot lock ".*": it has been held for 0\.5 s by /);
  assertEquals(manager.received.length, 2);
}, { programs: PROGRAMS });

fuseTest(
  "--background names its server to the service manager, which hears it only",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const address = site.file("notify");
    const manager = site.use(await DatagramReceiver.at(address));
    const mount = await site.mountInBackground([], { env: { NOTIFY_SOCKET: address } });
    await manager.untilReceived("READY=1");
    const environment = Deno.readTextFileSync(`/proc/${mount.server}/environ`);
    assert(!environment.includes("NOTIFY_SOCKET"), environment);
    Deno.kill(mount.server, "SIGTERM");
    await mount.ended();
    assertEquals(manager.received, [`MAINPID=${mount.server}\nREADY=1`]);
  },
  { programs: PROGRAMS },
);

const HEAD = /^<(\d+)>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d backy-fuse\[(\d+)\]: /;

testUnless(
  programProblem(...PROGRAMS),
  "systemLog() writes lines as syslog(3) does, and needs no log to be there",
  async () => {
    using scratch = new Scratch();
    const path = scratch.file("log");
    const log = systemLog("backy-fuse", path);
    log.write(Severity.INFO, "lost");
    assertEquals(hasSystemLog(path), false);
    await using receiver = await DatagramReceiver.at(path);
    assertEquals(hasSystemLog(path), true);
    log.write(Severity.ERROR, "one\ntwo");
    log.write(Severity.WARNING, "three");
    log.write(Severity.INFO, "four");
    await receiver.untilReceived("four");
    const lines = receiver.received.map((line) => [HEAD.exec(line)?.[1], line.replace(HEAD, "")]);
    assertEquals(lines, [["27", "one\\ntwo"], ["28", "three"], ["30", "four"]]);
  },
);

/** Makes a socket the system log of this machine. Another run may be doing so as well. */
async function becomeSystemLog(socket: string): Promise<Disposable> {
  await until(() => {
    try {
      Deno.symlinkSync(socket, "/dev/log");
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      throw error;
    }
  }, "the place of the system log");
  return { [Symbol.dispose]: () => Deno.removeSync("/dev/log") };
}

fuseTest("In the background, what happens later goes to the system log", async (site) => {
  const { ids } = site.add("Sample", [sampleBytes(1)]);
  const log = site.use(await DatagramReceiver.at(site.file("log")));
  site.use(await becomeSystemLog(site.file("log")));
  const at = site.folder();
  const mount = site.use(new BackgroundMount(at));
  const tool = site.start(["--background", at]);
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr);
  assert(!stderr.includes("No system log"), stderr);
  mount.findServer();
  for (const id of ids) Deno.removeSync(chunkFile(site.basedir, id!));
  const failure = await Deno.readFile(mount.file("Sample")).catch(String);
  assertMatch(String(failure), /os error 5/);
  await log.untilReceived("Cannot read");
  Deno.kill(mount.server, "SIGTERM");
  await mount.ended();
  await log.untilReceived("Unmounted");
  const own = log.received.filter((line) => HEAD.exec(line)?.[2] === `${mount.server}`);
  assertEquals(own.map((line) => HEAD.exec(line)![1]), ["30", "28", "30"]);
}, { programs: PROGRAMS, reason: hasSystemLog() ? "there is a system log" : null });
