import { LockError } from "../../lib/errors.ts";
import { closeFd, openFd } from "../../lib/linux/files.ts";
import {
  describeHolders,
  findFlockHolders,
  FlockOperation,
  tryFlock,
} from "../../lib/linux/locks.ts";
import { type LockEvent, PurgeLock, type PurgeLockOptions } from "../../lib/store/purge_lock.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../assert.ts";
import { canLockExclusively } from "../support/flock.ts";
import { asUser } from "../support/user.ts";
import { mountProblem, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { pause } from "../support/wait.ts";

/** A backup directory, and the events of its lock. */
interface Scene {
  readonly dir: string;
  readonly lockPath: string;
  readonly waits: string[];
  readonly warnings: string[];
  acquire(options?: Partial<PurgeLockOptions>): Promise<PurgeLock>;
}

async function withScene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "backy-lock-" });
  const waits: string[] = [];
  const warnings: string[] = [];
  const onEvent = (event: LockEvent) => {
    if (event.type === "lock-wait") waits.push(event.holder);
    if (event.type === "warning") warnings.push(event.text);
  };
  const acquire = (options = {}) => PurgeLock.acquire({ basedir: dir, onEvent, ...options });
  try {
    await body({ dir, lockPath: `${dir}/.purge`, waits, warnings, acquire });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

const noFlock = programProblem("flock");

/** A process that holds the file exclusively until it is stopped, or for 2 minutes. */
async function startPurge(path: string): Promise<AsyncDisposable & { readonly pid: number }> {
  const child = new Deno.Command("flock", {
    // A single process, whose end releases the lock: no fork, and sh becomes sleep.
    args: ["--no-fork", "-x", path, "sh", "-c", "echo locked; exec sleep 120"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value), "locked\n");
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await reader.cancel();
      await child.status;
    },
  };
}

/**
 * Takes the lock in this process through another open file description, which flock(2) treats like
 * another process.
 */
function lockExclusively(path: string): Disposable {
  const fd = openFd(path, 0);
  assert(tryFlock(fd, FlockOperation.LOCK_EX));
  return { [Symbol.dispose]: () => closeFd(fd) };
}

Deno.test("PurgeLock.acquire() creates the file and keeps a purge out until it is released", async () => {
  await withScene(async ({ lockPath, waits, warnings, acquire }) => {
    const lock = await acquire();
    assert(lock.held);
    assert(Deno.statSync(lockPath).isFile);
    assert(!canLockExclusively(lockPath));
    lock.release();
    lock.release();
    assert(!lock.held);
    assert(canLockExclusively(lockPath));
    assertEquals([...waits, ...warnings], []);
  });
});

Deno.test("PurgeLock is released by using", async () => {
  await withScene(async ({ lockPath, acquire }) => {
    {
      using lock = await acquire();
      assert(lock.held);
    }
    assert(canLockExclusively(lockPath));
  });
});

Deno.test("PurgeLock.acquire() shares the lock with other readers and leaves the file's content", async () => {
  await withScene(async ({ lockPath, acquire }) => {
    Deno.writeTextFileSync(lockPath, "content");
    using first = await acquire({ timeoutMs: 0 });
    using second = await acquire({ timeoutMs: 0 });
    assert(first.held && second.held);
    assertEquals(Deno.readTextFileSync(lockPath), "content");
  });
});

testUnless(
  noFlock,
  "PurgeLock.acquire() names another process that purges, waits and goes on",
  async () => {
    await withScene(async ({ lockPath, waits, acquire }) => {
      Deno.writeTextFileSync(lockPath, "");
      let acquired: Promise<PurgeLock>;
      let isDone = false;
      {
        await using purge = await startPurge(lockPath);
        acquired = acquire().finally(() => isDone = true);
        assertEquals(waits, [`pid ${purge.pid} (sleep 120)`]);
        await pause(250);
        assert(!isDone);
      }
      using lock = await acquired;
      assert(lock.held);
      assertEquals(waits.length, 1);
    });
  },
);

Deno.test("PurgeLock.acquire() fails at once with timeout 0, and names the holder", async () => {
  await withScene(async ({ lockPath, waits, acquire }) => {
    Deno.writeTextFileSync(lockPath, "");
    using _purge = lockExclusively(lockPath);
    const error = await assertRejects(() => acquire({ timeoutMs: 0 }), LockError, `"${lockPath}"`);
    assertMatch(
      error.message,
      new RegExp(`: it is held by pid ${Deno.pid} \\(.*deno.*\\); --lock`),
    );
    assertEquals(waits, []);
  });
});

Deno.test("PurgeLock.acquire() gives up after the timeout", async () => {
  await withScene(async ({ lockPath, waits, acquire }) => {
    Deno.writeTextFileSync(lockPath, "");
    using _purge = lockExclusively(lockPath);
    const started = performance.now();
    await assertRejects(() => acquire({ timeoutMs: 200 }), LockError, "held for 0.2 s by pid");
    const tookMs = performance.now() - started;
    assert(tookMs >= 190, `${tookMs}`);
    assertEquals(waits.length, 1);
  });
});

Deno.test("PurgeLock.acquire() stops waiting when the signal is aborted, with its reason", async () => {
  await withScene(async ({ lockPath, acquire }) => {
    Deno.writeTextFileSync(lockPath, "");
    const reason = new RangeError("stop");
    await assertRejects(() => acquire({ signal: AbortSignal.abort(reason) }), RangeError, "stop");
    using _purge = lockExclusively(lockPath);
    const controller = new AbortController();
    const waiting = assertRejects(() => acquire({ signal: controller.signal }), RangeError, "stop");
    await pause(20);
    controller.abort(reason);
    await waiting;
  });
});

Deno.test("PurgeLock.acquire() does not hang on to a lock file that was replaced", async () => {
  await withScene(async ({ lockPath, acquire }) => {
    Deno.writeTextFileSync(lockPath, "");
    using _oldPurge = lockExclusively(lockPath);
    const onEvent = ({ type }: LockEvent) => {
      if (type !== "lock-wait") return;
      Deno.removeSync(lockPath);
      Deno.writeTextFileSync(lockPath, "");
    };
    using lock = await acquire({ onEvent, timeoutMs: 5000 });
    assert(lock.held);
    assert(!canLockExclusively(lockPath));
  });
});

Deno.test("PurgeLock.acquire() makes no file through a link to nothing", async () => {
  await withScene(async ({ dir, lockPath, acquire }) => {
    Deno.symlinkSync("elsewhere", lockPath);
    await assertRejects(() => acquire(), LockError, "a symbolic link to nothing");
    assertEquals([...Deno.readDirSync(dir)].map((entry) => entry.name), [".purge"]);
  });
});

Deno.test("PurgeLock.acquire() refuses a directory that is not there", async () => {
  await withScene(async ({ dir, acquire }) => {
    await assertRejects(() => acquire({ basedir: `${dir}/none` }), LockError, "No such file");
  });
});

/** Why a directory cannot be made read-only here; `null` if it can. */
const noReadOnly = Deno.uid() === 0 ? mountProblem() : null;

/** Makes a directory read-only, also for root. @throws {Error} If it cannot be. */
function makeReadOnly(dir: string): Disposable {
  if (Deno.uid() !== 0) {
    Deno.chmodSync(dir, 0o555);
    return { [Symbol.dispose]: () => Deno.chmodSync(dir, 0o755) };
  }
  runSync("mount", "--bind", dir, dir);
  const undo = { [Symbol.dispose]: () => void runSync("umount", "--lazy", dir) };
  try {
    runSync("mount", "-o", "remount,bind,ro", dir);
    return undo;
  } catch (error) {
    undo[Symbol.dispose]();
    throw error;
  }
}

testUnless(
  noReadOnly,
  "PurgeLock.acquire() goes on with a warning where the file cannot be created",
  async () => {
    await withScene(async ({ dir, lockPath, warnings, acquire }) => {
      using _readOnly = makeReadOnly(dir);
      using lock = await acquire();
      assert(!lock.held);
      assertEquals(warnings.length, 1);
      assertMatch(warnings[0]!, /^cannot create ".*" \(.+ \(E(ROFS|ACCES)\)\), going on without/);
      assertEquals([...Deno.readDirSync(dir)], [], lockPath);
    });
  },
);

testUnless(noReadOnly, "PurgeLock.acquire() locks a file in a read-only store", async () => {
  await withScene(async ({ dir, lockPath, warnings, acquire }) => {
    Deno.writeTextFileSync(lockPath, "");
    using _readOnly = makeReadOnly(dir);
    {
      using lock = await acquire({ timeoutMs: 0 });
      assert(lock.held);
      assert(!canLockExclusively(lockPath));
    }
    assertEquals(warnings, []);
  });
});

Deno.test("PurgeLock.acquire() refuses a lock file that cannot be opened", async () => {
  await withScene(async ({ lockPath, warnings, acquire }) => {
    using _socket = Deno.listen({ transport: "unix", path: lockPath });
    await assertRejects(() => acquire(), LockError, "not a regular file");
    assertEquals(warnings, []);
  });
});

Deno.test("PurgeLock.acquire() refuses a lock file that may not be read", async () => {
  await withScene(async ({ dir, lockPath, acquire }) => {
    Deno.writeTextFileSync(lockPath, "", { mode: 0o000 });
    await asUser(dir, async () => {
      await assertRejects(() => acquire(), LockError, "Permission denied (EACCES)");
    });
  });
});

const LOCKS = `1: FLOCK  ADVISORY  WRITE 300 fe:0a:12345 0 EOF
1: -> FLOCK  ADVISORY  WRITE 301 fe:0a:12345 0 EOF
2: POSIX  ADVISORY  WRITE 302 fe:0a:12345 0 EOF
3: FLOCK  ADVISORY  READ 303 fe:0a:12345 0 EOF
4: FLOCK  ADVISORY  WRITE 304 fe:0b:12345 0 EOF
5: FLOCK  ADVISORY  WRITE 305 fe:0a:1234 0 EOF
6: FLOCK  ADVISORY  WRITE 200 fe:0a:12345 0 EOF
7: FLOCK  ADVISORY  WRITE 0 fe:0a:12345 0 EOF
8: FLOCK  ADVISORY  WRITE 400 103:112233:77 0 EOF
`;

Deno.test("findFlockHolders() matches exclusive flocks by hexadecimal device and inode", () => {
  assertEquals(findFlockHolders(LOCKS, { dev: 0xfe0a, ino: 12345 }), [200, 300]);
  assertEquals(
    findFlockHolders(LOCKS, { dev: 0xfe0a, ino: 12345 }, { isShared: true }),
    [200, 300, 303],
  );
  assertEquals(findFlockHolders(LOCKS, { dev: 0xfe0b, ino: 12345 }), [304]);
  assertEquals(findFlockHolders(LOCKS, { dev: 0xfe0a, ino: 99 }), []);
  // makedev(0x103, 0x112233): the minor number is in two parts.
  const dev = 0x103 * 2 ** 8 + 0x33 + 0x1122 * 2 ** 20;
  assertEquals(findFlockHolders(`${LOCKS}\n`, { dev, ino: 77 }), [400]);
});

Deno.test("findFlockHolders() goes by the inode alone where no device matches", () => {
  assertEquals(findFlockHolders(LOCKS, { dev: 0x2a, ino: 1234 }), [305]);
  assertEquals(findFlockHolders("nonsense\n", { dev: 1, ino: 1 }), []);
});

Deno.test("describeHolders() says something where nobody is found", () => {
  assertEquals(describeHolders("/nonexistent"), "another process");
});
