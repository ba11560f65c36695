import { FileType, FUSE_ROOT_ID, mount } from "../../lib/deno_fuse/mod.ts";
import { readMountTable } from "../../lib/linux/mounts.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { sh, tryRun, trySh } from "../support/programs.ts";
import { until } from "../support/wait.ts";
import { directoryTest, inNamespace, mountTest } from "./harness.ts";

directoryTest(
  "mount() shows the options asked for, and ends when unmounted from outside",
  async (mount) => {
    const options = {
      fsname: "a,b c",
      subtype: "memory",
      mountOptions: ["allow_root", "ro"],
      readAheadBytes: 1_048_576,
      maxReadBytes: 524_288,
    };
    const driver = mount.start({ options });
    assertMatch(await driver.waitFor(/^ready/), /^ready 3\.\d+\.\d+ (1048576|null)$/);
    const mounts = await driver.mounts();
    assertEquals(mounts.map(({ type, source }) => [type, source]), [["fuse.memory", "a,b c"]]);
    const { stdout } = await trySh('grep -F "$1" /proc/self/mountinfo', mount.path);
    assertMatch(stdout, / ro,.*allow_other,max_read=524288/);
    assertMatch((await trySh('touch "$1/new"', mount.path)).stderr, /Read-only file system/);
    assertEquals((await tryRun("fusermount3", "-u", mount.path)).code, 0);
    await driver.waitFor(/^closed/);
    assertEquals(await driver.ended(), 0);
    assertEquals(await driver.mounts(), []);
  },
);

directoryTest(
  "mount() fails if libfuse ends the mount when the kernel has been asked",
  async (mount) => {
    // Only libfuse sees that this one option is two.
    const driver = mount.start({ options: { mountOptions: ["noatime,max_read=8192"] } });
    assertMatch(
      await driver.waitFor(/^(ready|refused)/),
      /^refused MountError: Cannot mount at .*requested different maximum read size/,
    );
    assertEquals(await driver.mounts(), []);
    await driver.ended();
  },
);

directoryTest(
  "unmount() and detach() at the same time leave the mount below alone",
  async ({ path }) => {
    await sh('mount -t tmpfs below "$1"', path);
    const sources = () =>
      readMountTable().filter(({ mountpoint }) => mountpoint === path).map(({ source }) => source);
    // What may go wrong depends on which call the kernel takes first.
    const rounds = Array.from({ length: 20 }, () => ["unmount", "detach"] as const);
    for (const calls of rounds) {
      const session = await mount(path, {
        lookup: () => null,
        getattr: () => ({ attributes: { ino: FUSE_ROOT_ID, mode: FileType.S_IFDIR | 0o755 } }),
      }, {
        fsname: "above",
        onError: (error) => {
          throw error;
        },
      });
      assertEquals(sources(), ["below", "above"]);
      await Promise.all(calls.map((call) => session[call]()));
      await session.closed;
      assertEquals(sources(), ["below"]);
    }
  },
  { problem: Deno.uid() === 0 ? null : "not root" },
);

directoryTest(
  "unmount() on SIGTERM ends the program, twice in a row at the same place",
  async (mount) => {
    for (let round = 0; round < 2; round++) {
      const driver = mount.start();
      await driver.waitFor(/^ready/);
      assertEquals((await tryRun("cat", `${mount.path}/empty`)).code, 0);
      driver.process.kill("SIGTERM");
      await driver.waitFor(/^closed/);
      assertEquals(await driver.ended(), 0);
      assertEquals(await driver.mounts(), []);
      assert(!driver.lines.includes("busy"));
    }
  },
);

directoryTest(
  "unmount() says when the mount is busy, detach() then takes it away",
  async (mount) => {
    const driver = mount.start();
    await driver.waitFor(/^ready/);
    const user = await Deno.open(`${mount.path}/data`);
    try {
      driver.process.kill("SIGTERM");
      await driver.waitFor(/^busy/);
      assertEquals(driver.mounts().length, 1);
      // It works as before.
      assertEquals((await tryRun("stat", `${mount.path}/data`)).code, 0);
      driver.process.kill("SIGTERM");
      await until(() => driver.mounts().length === 0, "the unmount");
      // A file that is open can still be read.
      await user.seek(5_000_000, Deno.SeekMode.Start);
      assert(await user.read(new Uint8Array(100)));
      assert(!driver.lines.includes("closed"));
    } finally {
      user.close();
    }
    await driver.waitFor(/^closed/);
    assertEquals(await driver.ended(), 0);
  },
);

directoryTest("An aborted connection ends the session, whatever is pending", async (mount) => {
  const driver = mount.start();
  await driver.waitFor(/^ready/);
  const reading = tryRun("cat", `${mount.path}/stuck`);
  await driver.waitFor(/^reading stuck$/);
  driver.process.kill("SIGTERM");
  await driver.waitFor(/^busy/);
  // The mount is busy, so it stays, but answers nobody; the session clears it away.
  await tryRun("umount", "-f", mount.path);
  await driver.waitFor(/^closed/);
  assertEquals(await driver.ended(), 0);
  assertEquals(await driver.mounts(), []);
  assertMatch((await reading).stderr, /abort|not connected|Input\/output/i);
});

directoryTest("A file that was opened too late for its caller is released", async (mount) => {
  const driver = mount.start();
  await driver.waitFor(/^ready/);
  const opening = tryRun("cat", `${mount.path}/tardy`);
  await driver.waitFor(/^opening tardy$/);
  await tryRun("umount", "-f", mount.path);
  await driver.waitFor(/^closed/);
  assertEquals(await driver.ended(), 0);
  assertEquals(driver.lines.at(-1), "open files: 0");
  assert((await opening).code !== 0);
});

directoryTest("mount() explains a stale mount, and how to clear it", async (mount) => {
  const killed = mount.start();
  await killed.waitFor(/^ready/);
  killed.process.kill("SIGKILL");
  await killed.ended();
  let command = "";
  // Below the dead mount, too, the command names its mount point.
  for (const at of [`${mount.path}/in/it`, mount.path]) {
    const refused = mount.start({ at });
    const line = await refused.waitFor(/^refused/);
    assertMatch(line, /^refused MountError: Cannot mount at "/);
    assertMatch(line, /Transport endpoint is not connected/);
    command = /umount -l [^)]*/.exec(line)?.[0] ?? "";
    assertEquals(command, `umount -l ${mount.path}`);
  }
  assertEquals((await trySh(command)).code, 0);
  const driver = mount.start();
  await driver.waitFor(/^ready/);
});

directoryTest("mount() refuses what is not a directory", async ({ path, start }) => {
  const absent = start({ at: `${path}/absent dir` });
  assertEquals(
    await absent.waitFor(/^(refused|ready)/),
    `refused MountError: Cannot mount at "${path}/absent dir": no such directory; create it ` +
      `(mkdir -p '${path}/absent dir')`,
  );
  const file = start({ at: "/etc/passwd" });
  assertMatch(await file.waitFor(/^(refused|ready)/), /"\/etc\/passwd": it is not a directory$/);
});

directoryTest("mount() passes on what libfuse says", async ({ start }) => {
  const driver = start({ options: { mountOptions: ["no_such_option"] } });
  assertMatch(
    await driver.waitFor(/^(refused|ready)/),
    /^refused MountError: Cannot mount at ".*": unknown option\(s\): `-o no_such_option'$/,
  );
});

directoryTest("mount() explains what the system lacks", async ({ start }) => {
  const withoutDevice = start({
    prefix: inNamespace('mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"'),
  });
  assertMatch(
    await withoutDevice.waitFor(/^(refused|ready)/),
    /^refused MountError: Cannot mount at ".*": there is no \/dev\/fuse; load .* \(modprobe fuse\)/,
  );
  const withoutLibrary = start({
    prefix: inNamespace(
      `for lib in $(/sbin/ldconfig -p | sed -n 's/.*libfuse3[.]so.* => //p'); do
        mount --bind /dev/null "$lib" || exit 1
      done
      exec "$@"`,
    ),
  });
  assertMatch(
    await withoutLibrary.waitFor(/^(refused|ready)/),
    /^refused MountError: Cannot load libfuse3: install .* tried libfuse3.so.3 .*, libfuse3.so.4.*, libfuse3.so /,
  );
  const withoutCapability = start({
    prefix: ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"],
  });
  assertMatch(
    await withoutCapability.waitFor(/^(refused|ready)/),
    /^refused MountError: Cannot mount at ".*; root needs CAP_SYS_ADMIN/,
  );
}, { hasNamespaces: true });

mountTest("unmount() leaves alone a mount that lies over its own", async (driver) => {
  assertEquals((await tryRun("mount", "-t", "tmpfs", "cover", driver.path)).code, 0);
  driver.process.kill("SIGTERM");
  await driver.waitFor(/^busy/);
  assertEquals(driver.mounts().length, 2);
  assertEquals((await tryRun("umount", driver.path)).code, 0);
});
