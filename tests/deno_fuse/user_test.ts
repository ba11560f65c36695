import { TOOLS } from "../../release/targets.ts";
import { assertEquals, assertMatch } from "../assert.ts";
import { until } from "../support/wait.ts";
import { directoryTest, inNamespace, type StartOptions, type TestMount } from "./harness.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/**
 * Runs the program as a user other than root, in a mount namespace of its own: there sources and
 * runtime are readable, the device is open to all, as in distributions, and mounts vanish with the
 * process.
 */
const AS_USER = `set -e
  mount -t tmpfs -o mode=755 none /mnt
  mkdir /mnt/src /mnt/cache; touch /mnt/deno
  mount --bind "$ROOT" /mnt/src
  mount --bind "$1" /mnt/deno
  mknod -m 666 /mnt/fuse c 10 229
  mount --bind /mnt/fuse /dev/fuse
  chown nobody /mnt/cache "$AT"
  shift
  exec setpriv --reuid=nobody --regid=nogroup --clear-groups \\
    env $CHANGES HOME=/mnt/cache DENO_DIR=/mnt/cache /mnt/deno "\${@//"$ROOT"//mnt/src/}"`;

const NAMESPACES = { hasNamespaces: true };

/** @param changes What `env` changes in the environment: `-u NAME NAME=VALUE`. */
function asUser(
  mount: TestMount,
  options: StartOptions["options"] = {},
  changes = "",
): StartOptions {
  return {
    options,
    prefix: inNamespace(AS_USER),
    env: { ROOT, AT: mount.path, CHANGES: changes },
  };
}

/** Whether a process has a file open as `exec 3<` opens it, in whatever mount namespace. */
function isHolder(pid: string, path: string): boolean {
  try {
    return Deno.readLinkSync(`/proc/${pid}/fd/3`) === path;
  } catch {
    return false;
  }
}

directoryTest("A user mounts and unmounts, by fusermount3", async (mount) => {
  const driver = mount.start(asUser(mount, { readAheadBytes: 1_048_576 }));
  assertMatch(await driver.waitFor(/^(ready|refused)/), /^ready \S+ null$/);
  // Only the user and group that mounted may use the mount.
  const holder = new Deno.Command("nsenter", {
    args: [
      ...["-t", `${driver.process.pid}`, "-m", "-r"],
      ...["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"],
      ...["sh", "-c", 'exec 3<"$1"; read -r _; exit 7', "sh", `${mount.path}/data`],
    ],
    stdin: "piped",
  }).spawn();
  await until(
    () => [...Deno.readDirSync("/proc")].some(({ name }) => isHolder(name, `${mount.path}/data`)),
    "the holder",
  );
  driver.process.kill("SIGTERM");
  await driver.waitFor(/^busy/);
  driver.process.kill("SIGTERM");
  await holder.stdin.close();
  assertEquals((await holder.status).code, 7);
  await driver.waitFor(/^closed/);
  assertEquals(await driver.ended(), 0);
}, NAMESPACES);

for (const changes of ["-u PATH", "LD_LIBRARY_PATH=/nowhere"]) {
  directoryTest(
    `A user unmounts with the executable's permissions and env ${changes}`,
    async (mount) => {
      const { permissions } = TOOLS.find(({ name }) => name === "backy-fuse")!;
      const driver = mount.start({ ...asUser(mount, {}, changes), permissions });
      assertMatch(await driver.waitFor(/^(ready|refused)/), /^ready /);
      driver.process.kill("SIGTERM");
      await driver.waitFor(/^closed/);
      assertEquals(await driver.ended(), 0);
    },
    NAMESPACES,
  );
}

/**
 * As {@linkcode AS_USER}, where `fusermount3` is as on NixOS: with its set-user-ID bit in
 * /run/wrappers/bin only, and without it in a folder that PATH may name.
 */
const ON_NIXOS = AS_USER.replace(
  "shift",
  `mkdir /mnt/up /mnt/work
  mount -t tmpfs -o mode=755 none /run
  mkdir -p /run/wrappers/bin /run/current-system/sw/bin
  cp -p /usr/bin/fusermount3 /run/wrappers/bin/
  cp /usr/bin/fusermount3 /run/current-system/sw/bin/
  chmod 755 /run/current-system/sw/bin/fusermount3
  mount -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/up,workdir=/mnt/work none /usr/bin
  rm /usr/bin/fusermount3
  shift`,
);

for (const changes of ["-u PATH", "PATH=/usr/bin:/bin", "PATH=/run/current-system/sw/bin"]) {
  directoryTest(
    `A user mounts with fusermount3 in /run/wrappers/bin and env ${changes}`,
    async (mount) => {
      const driver = mount.start({
        ...asUser(mount, {}, changes),
        prefix: inNamespace(ON_NIXOS),
      });
      assertMatch(await driver.waitFor(/^(ready|refused)/), /^ready /);
      driver.process.kill("SIGTERM");
      await driver.waitFor(/^closed/);
      assertEquals(await driver.ended(), 0);
    },
    { ...NAMESPACES, problem: overlayProblem() },
  );
}

/** Why files of /usr/bin cannot be hidden here; `null` if they can. */
function overlayProblem(): string | null {
  const [command, ...args] = inNamespace(`set -e; mount -t tmpfs none /mnt; mkdir /mnt/u /mnt/w
    mount -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/u,workdir=/mnt/w none /usr/bin`);
  const { success } = new Deno.Command(command!, { args, stderr: "null" }).outputSync();
  return success ? null : "no overlay can be mounted";
}

/** Why users may share mounts here; `null` if they must not. */
function sharingConfigured(): string | null {
  try {
    const config = Deno.readTextFileSync("/etc/fuse.conf");
    return /^user_allow_other/m.test(config) ? "/etc/fuse.conf has user_allow_other" : null;
  } catch {
    return null;
  }
}

directoryTest("A user who may not share mounts is told so", async (mount) => {
  const driver = mount.start(asUser(mount, { mountOptions: ["allow_root"] }));
  const line = await driver.waitFor(/^(ready|refused)/);
  assertMatch(
    line,
    /only root may use the mount option allow_root; mount without that option, or put the line "user_allow_other"/,
  );
}, { problem: sharingConfigured(), ...NAMESPACES });
