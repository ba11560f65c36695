/** The example of a systemd unit: that it is valid, and that a mount works with what it allows. */

import { assert, assertEquals } from "../assert.ts";
import { assertContent } from "../support/bytes.ts";
import { DatagramReceiver } from "../support/datagrams.ts";
import { programProblem, sh, tryRun } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { until } from "../support/wait.ts";
import { fuseTest, mountsAt } from "./fuse_harness.ts";

const UNIT = Deno.readTextFileSync(
  new URL("../../examples/backy-fuse@.service", import.meta.url),
);

/** The value of a setting that the unit has once. */
function setting(name: string): string {
  const values = [...UNIT.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))];
  assertEquals(values.length, 1, name);
  return values[0]![1]!;
}

testUnless(
  programProblem("systemd-analyze"),
  "systemd-analyze has nothing to say about the example of a unit",
  async () => {
    using scratch = new Scratch();
    const path = scratch.file("backy-fuse@.service");
    // It looks whether the program is there.
    Deno.writeTextFileSync(path, UNIT.replaceAll("/usr/local/bin/backy-fuse", "/bin/true"));
    const instance = path.replace("@", "@vm0");
    const { code, stdout, stderr } = await tryRun(
      "systemd-analyze",
      "verify",
      "--man=no",
      instance,
    );
    assertEquals([code, stdout, stderr], [0, "", ""]);
  },
);

Deno.test("The example of a unit has no setting that would hide the mount from the host", () => {
  // Source: systemd.exec(5): what gives a service a mount namespace.
  const hiding =
    /^(Private(Tmp|Devices|Mounts|IPC)|Protect(System|Home|Proc|Kernel\w+|ControlGroups)|ProcSubset|(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|Root\w+|DynamicUser|MountFlags|LogNamespace)=/m;
  assertEquals(hiding.exec(UNIT), null);
});

fuseTest("The example of a unit allows what a mount needs", async (site) => {
  const { image } = site.add("Sample", [sampleBytes(1), sampleBytes(2)]);
  const at = site.folder();
  const manager = site.use(await DatagramReceiver.at(site.file("notify")));
  const capabilities = setting("CapabilityBoundingSet").toLowerCase().replaceAll("cap_", "+");
  assertEquals(setting("NoNewPrivileges"), "yes");
  const [program, ...words] = setting("ExecStart").split(" ");
  assertEquals(program, "/usr/local/bin/backy-fuse");
  const args = words.map((word) => word === "/srv/backy/%i" ? site.basedir : word)
    .map((word) => word === "/mnt/backy/%i" ? at : word);
  const limits = `--no-new-privs --bounding-set=-all,${capabilities.split(" ").join()}`;
  const tool = site.start(args, {
    shell: `exec setpriv ${limits} "$@"`,
    env: { NOTIFY_SOCKET: site.file("notify") },
  });
  await manager.untilReceived("READY=1");
  await assertContent(`${at}/last`, image);
  const file = await Deno.open(`${at}/Sample`, { read: true, write: true });
  await file.write(new Uint8Array(4096));
  tool.signal("SIGTERM");
  await tool.untilSaid(`in use by pid ${Deno.pid} `);
  file.close();
  tool.signal("SIGTERM");
  const { code, stderr } = await tool.outcome();
  assertEquals(code, 0, stderr);
  assertEquals(mountsAt(at), []);
  await manager.untilReceived("STOPPING=1");
}, { programs: ["setpriv", "python3"] });

fuseTest(
  "The example of a unit takes away the mount of a killed process, and no other",
  async (site) => {
    site.add("Sample", [sampleBytes(1)]);
    const mount = await site.mountInBackground();
    const command = /^-\/bin\/sh -c '(.*)'$/.exec(setting("ExecStopPost"))?.[1];
    assert(command !== undefined);
    const cleanUp = command.replaceAll("/mnt/backy/%i", '"$1"');
    await sh(cleanUp, mount.path);
    assertEquals(mountsAt(mount.path).length, 1);
    Deno.kill(mount.server, "SIGKILL");
    await until(async () => (await tryRun("stat", mount.path)).code !== 0, "the end of the server");
    await sh(cleanUp, mount.path);
    assertEquals(mountsAt(mount.path), []);
    await sh(cleanUp, mount.path);
  },
);
