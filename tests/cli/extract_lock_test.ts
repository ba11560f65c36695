import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo, mountProblem, openIdleReader, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { until } from "../support/wait.ts";
import { assertFailure, assertSuccess, extract, messagesOf, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const LOCK = 11;
const problem = programProblem("flock");
const mount = mountProblem();
for (const reason of [problem, mount]) {
  // deno-lint-ignore no-console
  if (reason !== null) console.log(`ignored: some tests of the purge lock: ${reason}`);
}

/** Another process that holds `.purge` until it is disposed. */
async function holdLock(mode: "-x" | "-s"): Promise<AsyncDisposable & { readonly pid: number }> {
  const child = new Deno.Command("flock", {
    // One process, so that ending it ends the lock.
    args: ["--no-fork", mode, `${store.basedir}/.purge`, "sh", "-c", "echo held; exec sleep 60"],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}

/** Whether a purge could start now. */
function canPurge(): boolean {
  const args = ["-n", "-x", `${store.basedir}/.purge`, "true"];
  return new Deno.Command("flock", { args }).outputSync().success;
}

const lockPath = (): string => `${store.basedir}/.purge`;

testUnless(
  problem,
  "A restore says at once that it waits for a purge, and goes on afterwards",
  async () => {
    const path = store.file("after-purge");
    const purge = await holdLock("-x");
    await using tool = startExtract(["-q", store.revision.path, path]);
    await tool.untilSaid("purge lock");
    assertEquals(messagesOf(tool.said), [
      `warning: waiting for the purge lock, which is held by pid ${purge.pid} (sleep 60)`,
    ]);
    assert(!tool.hasEnded);
    await purge[Symbol.asyncDispose]();
    assertEquals((await tool.outcome()).code, 0, tool.said);
    assertEquals(messagesOf(tool.said).length, 1);
    assertBytes(Deno.readFileSync(path), store.image);
  },
);

testUnless(
  problem,
  "--lock-timeout gives up at once or after its time: exit 11, target untouched",
  async () => {
    await using purge = await holdLock("-x");
    const path = store.file("not-restored", "old");
    const holder = `pid ${purge.pid} (sleep 60)`;
    assertFailure(await extract(["--lock-timeout", "0", store.revision.path, path]), {
      code: LOCK,
      says: [
        `Cannot lock "${lockPath()}": it is held by ${holder}; ` +
        "--lock-timeout says how long to wait",
      ],
    });
    assertFailure(await extract(["--lock-timeout=0.5", store.revision.path, path]), {
      code: LOCK,
      says: [
        `warning: waiting for the purge lock, which is held by ${holder}`,
        `Cannot lock "${lockPath()}": it has been held for 0.5 s by ${holder}; ` +
        "--lock-timeout says how long to wait",
      ],
    });
    assertEquals(Deno.readTextFileSync(path), "old");
  },
);

testUnless(problem, "Another reader's lock is no obstacle", async () => {
  await using _reader = await holdLock("-s");
  assertSuccess(await extract(["--lock-timeout=0", store.revision.path, "/dev/null"]));
});

testUnless(
  problem,
  "A restore keeps a purge out until its end, but not other restores",
  async () => {
    const fifo = makeFifo(store.file("slow-reader"));
    const reader = openIdleReader(fifo);
    try {
      await using tool = startExtract([store.revision.path, fifo]);
      await tool.untilSaid("Restoring");
      assert(!canPurge());
      assertSuccess(await extract(["--lock-timeout=0", store.revision.path, "/dev/null"]));
      assert(!canPurge() && !tool.hasEnded);
      const image = new Uint8Array(store.image.length);
      for (let at = 0; at < image.length;) at += (await reader.read(image.subarray(at)))!;
      assertEquals((await tool.outcome()).code, 0, tool.said);
      assertBytes(image, store.image);
      assert(canPurge());
    } finally {
      reader.close();
    }
  },
);

testUnless(problem, "A restore that is killed leaves no lock behind", async () => {
  const fifo = makeFifo(store.file("killed"));
  using _reader = openIdleReader(fifo);
  await using tool = startExtract([store.revision.path, fifo]);
  await tool.untilSaid("Restoring");
  assert(!canPurge());
  tool.signal("SIGKILL");
  assertEquals((await tool.outcome()).signal, "SIGKILL");
  await until(canPurge, "the lock to be free");
});

Deno.test("An absent lock file is created, empty, for all to read", async () => {
  Deno.removeSync(lockPath());
  assertSuccess(await extract([store.revision.path, "/dev/null"]));
  const info = Deno.statSync(lockPath());
  assertEquals([info.isFile, info.size, info.mode! & 0o444], [true, 0, 0o444]);
});

Deno.test("A lock file that is a dangling link is not followed: exit 11", async () => {
  Deno.removeSync(lockPath());
  Deno.symlinkSync("elsewhere", lockPath());
  try {
    assertFailure(await extract([store.revision.path, "/dev/null"]), {
      code: LOCK,
      says: [/^Cannot lock ".*\.purge": it is a symbolic link to nothing/],
    });
  } finally {
    Deno.removeSync(lockPath());
    Deno.writeTextFileSync(lockPath(), "");
  }
});

testUnless(
  problem ?? mount,
  "A store that is mounted read-only is locked and restored",
  async () => {
    Deno.writeTextFileSync(lockPath(), "");
    const readOnly = store.file("read-only");
    Deno.mkdirSync(readOnly);
    runSync("mount", "--bind", store.basedir, readOnly);
    try {
      runSync("mount", "-o", "remount,bind,ro", readOnly);
      const outcome = await extract([`${readOnly}/SampleRevision`]);
      assertSuccess(outcome);
      assertBytes(outcome.stdout, store.image);

      await using purge = await holdLock("-x");
      const refused = await extract(["--lock-timeout=0", `${readOnly}/SampleRevision`]);
      assertEquals(refused.code, LOCK, refused.stderr);
      assertMatch(refused.stderr, new RegExp(`by pid ${purge.pid} `));
      Deno.removeSync(lockPath());
      const unlocked = await extract(["-q", `${readOnly}/SampleRevision`]);
      assertEquals(unlocked.code, 0, unlocked.stderr);
      assertBytes(unlocked.stdout, store.image);
      assertEquals(messagesOf(unlocked.stderr), [
        `warning: cannot create "${readOnly}/.purge" (Read-only file system (EROFS)), ` +
        "going on without the purge lock",
      ]);
    } finally {
      runSync("umount", "-l", readOnly);
      Deno.writeTextFileSync(lockPath(), "");
    }
  },
);
