import { assert, assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { findForeignLock, hasWriters } from "../../lib/linux/locks.ts";
import { openFd, OpenFlag, releaseFd } from "../../lib/linux/files.ts";
import { backingOf } from "../../lib/linux/loop_devices.ts";
import { isWrittenByOthers } from "../../lib/target/file_users.ts";
import { findWriters } from "../../lib/target/open_files.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync, scriptCommand, shell } from "../support/programs.ts";
import { StoreFixture } from "./store_fixture.ts";

const python = programProblem("python3");
const loop = loopDeviceProblem();

/** A process that does something to a file and then waits until it is disposed of. */
class Holder implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** @param code Python that gets the file's path as `path`. */
  static async start(path: string, code: string): Promise<Holder> {
    const lines = ["import fcntl, mmap, os, struct, sys", "path = sys.argv[1]", code];
    const script = [...lines, "print('ready', flush=True)", "sys.stdin.read()"].join("\n");
    const child = new Deno.Command("python3", {
      args: ["-c", script, path],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const holder = new Holder(child);
    const reader = child.stdout.getReader();
    let said = "";
    while (!said.endsWith("\n")) {
      const { value, done } = await reader.read();
      assert(!done, `python3 ended after ${said}`);
      said += new TextDecoder().decode(value);
    }
    await reader.cancel();
    return holder;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await this.#child.status;
  }
}

/** F_OFD_SETLK is 37; the structure is `struct flock`. */
const OFD_LOCK = (kind: string, access: string) =>
  `file = open(path, "${access}")
fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.${kind}, 0, 100, 1, 0))`;
const POSIX_LOCK = `file = open(path, "rb+"); fcntl.lockf(file, fcntl.LOCK_EX, 5, 7)`;

const refusalOf = (path: string, store: StoreFixture) =>
  assertThrows(() => preflightTarget(path, store.options()), TargetError).message;

/** Asserts that a target is refused, and that --force makes warnings of the reasons. */
function assertInUse(path: string, reason: RegExp): void {
  using store = new StoreFixture();
  const message = refusalOf(path, store);
  const prefix = `Cannot restore to "${path}": `;
  const suffix = " (--force overrides this)";
  assert(message.startsWith(prefix) && message.endsWith(suffix), message);
  assertMatch(message.slice(prefix.length, -suffix.length), reason);
  using forced = preflightTarget(path, store.options({ force: true }));
  assert(forced.warnings.some((text) => text.startsWith(`"${path}" is written although `)));
}

function assertFree(path: string): void {
  using store = new StoreFixture();
  using checked = preflightTarget(path, store.options());
  assertEquals(checked.warnings, []);
}

const LOCK = "holds a lock on it, as on the disk of a running virtual machine";

testUnless(python, "preflightTarget() refuses a file with a lock of any kind", async () => {
  using scratch = new Scratch();
  const path = scratch.file("image", "0123456789");
  assertFree(path);
  {
    await using _qemu = await Holder.start(path, OFD_LOCK("F_RDLCK", "rb"));
    assertInUse(path, new RegExp(`^another program ${LOCK}$`));
  }
  {
    await using qemu = await Holder.start(path, OFD_LOCK("F_WRLCK", "rb+"));
    assertInUse(
      path,
      new RegExp(
        `^another program ${LOCK}, it is open for writing by pid ${qemu.pid} \\(\\S*python3 `,
      ),
    );
  }
  {
    await using posix = await Holder.start(path, POSIX_LOCK);
    assertInUse(
      path,
      new RegExp(`^pid ${posix.pid} \\(\\S*python3 .* ${LOCK}, it is open for writing`),
    );
  }
  {
    await using flock = await Holder.start(
      path,
      `file = open(path, "rb"); fcntl.flock(file, fcntl.LOCK_SH)`,
    );
    assertInUse(path, new RegExp(`^it is locked by pid ${flock.pid} \\(\\S*python3 [^,]*,.*\\)$`));
  }
  assertFree(path);
});

testUnless(
  python,
  "preflightTarget() refuses a file that a process writes, and names it",
  async () => {
    using scratch = new Scratch();
    const path = scratch.file("image", "0123456789");
    {
      await using _reader = await Holder.start(path, `file = open(path, "rb")`);
      assertFree(path);
    }
    for (const mode of ["ab", "rb+"]) {
      await using writer = await Holder.start(path, `file = open(path, "${mode}")`);
      assertInUse(path, new RegExp(`^it is open for writing by pid ${writer.pid} \\(\\S*python3 `));
    }
    {
      const code =
        `file = open(path, "rb+"); m = mmap.mmap(file.fileno(), 0); file.close()\nos.closerange(3, 20)`;
      await using _mapping = await Holder.start(path, code);
      // By no descriptor any more, which is why nothing names it.
      assertInUse(path, /^(another program has it|it is) open for writing/);
    }
    assertFree(path);
  },
);

testUnless(
  loop ?? python,
  "preflightTarget() refuses a device that is locked or written",
  async () => {
    using device = new LoopDevice(1_048_576);
    const { path } = device;
    assertFree(path);
    {
      await using _reader = await Holder.start(path, `file = open(path, "rb")`);
      assertFree(path);
    }
    {
      await using writer = await Holder.start(path, `file = open(path, "rb+")`);
      using scratch = new Scratch();
      const node = scratch.file("node");
      const rdev = Deno.statSync(path).rdev!;
      runSync("mknod", node, "b", String(rdev >> 8), String(rdev & 0xff));
      for (const name of [path, node]) {
        assertInUse(
          name,
          new RegExp(`^it is open for writing by pid ${writer.pid} \\(\\S*python3 `),
        );
      }
    }
    {
      await using _qemu = await Holder.start(path, OFD_LOCK("F_RDLCK", "rb"));
      assertInUse(path, new RegExp(`^another program ${LOCK}$`));
    }
    {
      const code = `file = open(path, "rb"); fcntl.flock(file, fcntl.LOCK_EX)`;
      await using flock = await Holder.start(path, code);
      assertInUse(path, new RegExp(`^it is locked by pid ${flock.pid} \\(`));
    }
    assertFree(path);
  },
);

testUnless(
  loop ?? python,
  "preflightTarget() refuses a loop device whose backing file is in use",
  async () => {
    using device = new LoopDevice(1_048_576);
    const { path, backing } = device;
    const subject = `its backing file "${backing}"`;
    {
      await using _qemu = await Holder.start(backing, OFD_LOCK("F_RDLCK", "rb"));
      assertInUse(path, new RegExp(`^another program ${LOCK.replace(/\bit\b/, subject)}$`));
    }
    {
      await using writer = await Holder.start(backing, `file = open(path, "rb+")`);
      assertInUse(path, new RegExp(`^${subject} is open for writing by pid ${writer.pid} `));
    }
    {
      await using flock = await Holder.start(
        backing,
        `file = open(path, "rb"); fcntl.flock(file, fcntl.LOCK_EX)`,
      );
      assertInUse(path, new RegExp(`^${subject} is locked by pid ${flock.pid} \\(`));
    }
    const second = runSync("losetup", "-f", "--show", backing);
    try {
      assertInUse(path, new RegExp(`^${subject} is behind the loop device "${second}"$`));
    } finally {
      runSync("losetup", "-d", second);
    }
    assertFree(path);
  },
);

testUnless(
  loop ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "preflightTarget() refuses a device below or above a loop device that is in use",
  () => {
    using store = new StoreFixture();
    using device = new LoopDevice(8 * 1_048_576);
    const upper = runSync("losetup", "-f", "--show", device.path);
    try {
      const backing = backingOf(upper);
      assert(backing !== null && backing !== "unknown");
      const { dev, ino, rdev } = Deno.statSync(device.path);
      assertEquals(backing.findPath(), device.path);
      assertEquals<unknown>(backing.info, { dev, ino, rdev, isBlockDevice: true });
      assertInUse(device.path, new RegExp(`^it is behind the loop device "${upper}"$`));
      runSync("mkfs.ext4", "-q", "-F", device.path);
      using mount = new Mount("-o", "ro", device.path);
      assertEquals(
        refusalOf(upper, store),
        `Cannot restore to "${upper}": its backing device "${device.path}" is mounted at ` +
          `"${mount.path}" (--force overrides this)`,
      );
    } finally {
      runSync("losetup", "-d", upper);
    }
  },
);

Deno.test("hasWriters() and findForeignLock() take a file as it is", () => {
  using scratch = new Scratch();
  const path = scratch.file("image", "x");
  assertEquals(hasWriters(path), false);
  const fd = openFd(path, OpenFlag.O_WRONLY);
  try {
    assertEquals(hasWriters(path), true);
    assertEquals(findForeignLock(fd), null);
    assertEquals(findWriters([Deno.statSync(path)]), { pids: [], isInherited: false });
  } finally {
    releaseFd(fd);
  }
  assertEquals(hasWriters(path), false);
  assertEquals(hasWriters("/dev/null"), null);
  assertEquals(hasWriters(scratch.file("none")), null);
});

Deno.test("isWrittenByOthers() looks again where nobody is found who writes", () => {
  for (const answers of [[false], [null], [true, false], [true, true, null], [true, true, true]]) {
    const left = [...answers];
    assertEquals(isWrittenByOthers("/image", () => left.shift()!), answers.at(-1));
    assertEquals(left, []);
  }
  using scratch = new Scratch();
  const path = scratch.file("image", "x");
  using _first = Deno.openSync(path, { write: true });
  using _second = Deno.openSync(path, { write: true });
  const answers = [true, false];
  assertEquals(isWrittenByOthers(path, () => answers.shift()!), true);
});

Deno.test("What the process that asks for a restore has open is not in use", () => {
  using scratch = new Scratch();
  const path = scratch.file("image", "x");
  using _own = Deno.openSync(path, { write: true });
  assertFree(path);
});

testUnless(
  python,
  "preflightTarget() looks at a file that is standard output as well",
  async () => {
    using scratch = new Scratch();
    const path = scratch.file("image", "0123456789");
    const code = scriptCommand(`
    import { preflightTarget } from lib("target/preflight.ts");
    const options = { extent: { start: 0, end: 1 }, sparse: "auto", force: false, stores: [] };
    let text;
    try {
      text = preflightTarget("-", options).kind;
    } catch (error) {
      text = error.message;
    }
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  `);
    const say = async () => (await shell(`{ ${code}; : ; } >>'${path}'`)).stderr;
    assertEquals(await say(), "stdout");
    await using writer = await Holder.start(path, OFD_LOCK("F_RDLCK", "rb+"));
    assertMatch(
      await say(),
      new RegExp(
        `^Cannot restore to standard output: another program ${LOCK}, it is open for writing by ` +
          `pid ${writer.pid} .* \\(--force overrides this\\)$`,
      ),
    );
  },
);

testUnless(
  programProblem("flock"),
  "A lock that a parent holds is held for the restore",
  async () => {
    using scratch = new Scratch();
    const path = scratch.file("image", "0123456789");
    const code = scriptCommand(`
    import { preflightTarget } from lib("target/preflight.ts");
    const options = { extent: { start: 0, end: 1 }, sparse: "auto", force: false, stores: [] };
    let text;
    try {
      text = preflightTarget(${JSON.stringify(path)}, options).warnings.join();
    } catch (error) {
      text = error.message;
    }
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  `);
    const script = scratch.file("script", code);
    assertEquals((await shell(`flock '${path}' sh '${script}'`)).stderr, "");
    // Here the process that took the lock has ended, and the shell has it.
    const byDescriptor = `exec 9<>'${path}'; flock 9; sh '${script}'; :`;
    assertEquals((await shell(byDescriptor)).stderr, "");
    const byReader = `exec 9<'${path}'; flock 9; sh '${script}' 9<&-; :`;
    assertEquals((await shell(byReader)).stderr, "");
    // Whoever is no parent is somebody else.
    const beside =
      `flock -F '${path}' sleep 60 & pid=$!; while flock -n '${path}' true; do :; done; ` +
      `sh '${script}'; kill $pid`;
    assertMatch(
      (await shell(beside)).stderr,
      /^Cannot restore to ".*": it is locked by pid \d+ \(sleep 60\) \(--force overrides this\)/,
    );
  },
);
