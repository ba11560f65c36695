import { mountFileSystem, MountFlag, unmountPath } from "../../lib/linux/mounting.ts";
import { KernelLog } from "../../lib/linux/kernel_log.ts";
import { readMountTable } from "../../lib/linux/mounts.ts";
import { OsError } from "../../lib/linux/os_error.ts";
import { describeProcess, isProcessInside, listPids } from "../../lib/linux/processes.ts";
import { attachLoop } from "../../lib/linux/loop_attach.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import { loopDeviceProblem, mountProblem, Scratch, testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { until } from "../support/wait.ts";

const RO = MountFlag.MS_RDONLY | MountFlag.MS_NOSUID | MountFlag.MS_NODEV | MountFlag.MS_NOEXEC;

testUnless(mountProblem(), "mountFileSystem() mounts with its flags and options", async () => {
  using _lock = lockMounts("shared");
  using scratch = new Scratch();
  await mountFileSystem({
    source: "a source",
    target: scratch.path,
    type: "tmpfs",
    flags: RO,
    data: "size=64k,mode=700",
  });
  try {
    const mount = readMountTable().find(({ mountpoint }) => mountpoint === scratch.path);
    assertEquals([mount?.type, mount?.source], ["tmpfs", "a source"]);
    assert(mount?.superOptions.includes("size=64k"), mount?.superOptions);
    const line = Deno.readTextFileSync("/proc/self/mounts").split("\n")
      .find((line) => line.includes(scratch.path));
    assert(line?.includes("ro,nosuid,nodev,noexec"), line);
  } finally {
    assertEquals(await unmountPath(scratch.path), "done");
  }
  assertEquals(await unmountPath(scratch.path), "absent");
});

testUnless(mountProblem(), "unmountPath() tells of a mount in use, and detaches it", async () => {
  using _lock = lockMounts("shared");
  using scratch = new Scratch();
  const request = { source: "x", target: scratch.path, type: "tmpfs", flags: 0, data: "" };
  await mountFileSystem(request);
  const script = 'exec 3<"$0"; cd /; echo; read x';
  const file = scratch.file("program", "x");
  Deno.copyFileSync("/bin/sleep", scratch.file("sleep"));
  const open = new Deno.Command("sh", {
    args: ["-c", script, file],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const runs = new Deno.Command(scratch.file("sleep"), { args: ["60"] }).spawn();
  try {
    const reader = open.stdout.getReader();
    await reader.read();
    reader.releaseLock();
    await until(() => /sleep 60/.test(describeProcess(runs.pid)), "the program");
    assertEquals(await unmountPath(scratch.path), "busy");
    const users = listPids().filter((pid) => isProcessInside(pid, scratch.path));
    assertEquals(users.sort(), [open.pid, runs.pid].sort());
    assertEquals(await unmountPath(scratch.path, { lazy: true }), "done");
    assertEquals(await unmountPath(scratch.path), "absent");
  } finally {
    await open.stdin.close();
    await open.stdout.cancel();
    runs.kill("SIGKILL");
    await open.status;
    await runs.status;
  }
});

testUnless(
  loopDeviceProblem(),
  "The kernel's log has the reason why a file system does not mount",
  async () => {
    using _lock = lockMounts("shared");
    using scratch = new Scratch();
    const file = scratch.file("file", new Uint8Array(1_048_576));
    using loop = attachLoop(file, { offset: 0, length: 1_048_576, sectorBytes: 512 });
    const request = { source: loop.path, target: scratch.path, flags: RO, data: "" };
    using log = new KernelLog();
    const error = await assertRejects(
      () => mountFileSystem({ ...request, type: "ext4" }),
      OsError,
      `Cannot mount "${loop.path}": Invalid argument (EINVAL)`,
    );
    assertEquals((error as OsError).errnoName, "EINVAL");
    const name = loop.path.replace("/dev/", "");
    const said = log.read().filter((line) => line.includes(name));
    assertEquals(
      [...new Set(said)],
      [`EXT4-fs (${name}): VFS: Can't find ext4 filesystem`],
    );
    assertEquals(log.read().filter((line) => line.includes(name)), []);
  },
);
