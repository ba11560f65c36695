/** A store on a file system that fails at times, as network file systems do. */

import { Errno } from "../../lib/linux/errno.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../assert.ts";
import { fuseTest, type Site } from "../cli/fuse_harness.ts";
import { assertSuccess, extract, startExtract } from "../cli/harness.ts";
import { assertBytes, assertContent, errnoOf, isBegun } from "../support/bytes.ts";
import { ControlGroup, groupFolder } from "../support/control_group.ts";
import { until } from "../support/wait.ts";
import { FaultStore } from "./fault_store.ts";
import { FlakyMount } from "./flaky_mount.ts";

const FAILURE = 1, CORRUPT = 3, STORE = 10;

/** A store on such a file system; `path` is its revision there. */
async function setUp(
  site: Site,
  { chunks = 9 } = {},
): Promise<{ mount: FlakyMount; store: FaultStore; path: string }> {
  const mount = await FlakyMount.start(site);
  const at = `${mount.directory}/vm0`;
  const store = site.use(new FaultStore({ chunks, lastBytes: 1234, at }));
  return { mount, store, path: `${mount.path}/vm0/Revision` };
}

fuseTest("A store with short reads restores like any other", async (site) => {
  const { mount, store, path } = await setUp(site);
  mount.set({ shortReads: true });
  const outcome = await extract([path, "-"]);
  assertSuccess(outcome);
  assertBytes(outcome.stdout, store.image);
});

fuseTest("A slow store restores like any other", async (site) => {
  const { mount, store, path } = await setUp(site);
  mount.set({ delayMs: 20 });
  const outcome = await extract(["-t", "4", path, "-"]);
  assertSuccess(outcome);
  assertBytes(outcome.stdout, store.image);
});

const pids = groupFolder("pids");

fuseTest(
  "A slow store restores like any other where threads are few",
  async (site) => {
    assert("folder" in pids);
    const { mount, store, path } = await setUp(site, { chunks: 24 });
    mount.set({ delayMs: 5 });
    for (let count = 9; count < 18; count++) {
      using group = new ControlGroup(pids.folder, { "pids.max": count });
      const shell = `ulimit -c 0; ${group.enter}; exec "$@"`;
      const outcome = await extract(["-t", "1", path, "-"], { shell });
      // Before it has begun, the runtime may have found too few threads for itself.
      if (!outcome.stderr.includes("Restoring")) continue;
      assertSuccess(outcome);
      assertBytes(outcome.stdout, store.image);
    }
  },
  { reason: "problem" in pids ? pids.problem : null },
);

const READ_ERRORS: readonly [errno: keyof typeof Errno, code: number, advice: string][] = [
  ["EIO", CORRUPT, ""],
  ["ESTALE", FAILURE, "; bring the storage of the backup back"],
  ["ETIMEDOUT", FAILURE, "; bring the storage of the backup back"],
  ["EACCES", FAILURE, "; run this as a user who may read it (see ls -l)"],
];

for (const [errno, code, advice] of READ_ERRORS) {
  fuseTest(
    `A read of a chunk that fails with ${errno} ends a restore that says so; an update completes it`,
    async (site) => {
      const { mount, store, path } = await setUp(site);
      const output = site.file("image");
      mount.set({ match: ".lzo", readEvery: 4, readErrno: Errno[errno] });
      const outcome = await extract(["-t", "1", path, output]);
      assertEquals(outcome.code, code, outcome.stderr);
      assertStringIncludes(outcome.stderr, `(${errno})${advice}\n`);
      assertStringIncludes(outcome.stderr, 'Cannot read chunk "');
      mount.set();
      assertSuccess(await extract(["--update", path, output]));
      assertBytes(Deno.readFileSync(output), store.image);
    },
  );
}

for (const errno of ["EACCES", "ENOTCONN"] as const) {
  fuseTest(
    `${errno} is no damage: not for --on-error=zero, nor for a check, nor where --also has no copy`,
    async (site) => {
      const { mount, path } = await setUp(site);
      mount.set({ match: ".lzo", readEvery: 4, readErrno: Errno[errno] });
      const other = new FaultStore({ chunks: 1 });
      site.use(other);
      const runs = [
        ["--on-error=zero", path, site.file("image")],
        ["--on-error=zero", `--also=${other.basedir}`, path, "-"],
        ["check", path],
      ];
      for (const args of runs) {
        const outcome = await extract(args);
        assertEquals(outcome.code, FAILURE, outcome.stderr);
        assertMatch(outcome.stderr, new RegExp(`Cannot read chunk ".*\\(${errno}\\); `));
      }
    },
  );
}

fuseTest(
  "A store that fails at times yields zeros and a list with --on-error=zero, and nothing wrong",
  async (site) => {
    const { mount, store, path } = await setUp(site);
    const output = site.file("image"), report = site.file("report");
    mount.set({ match: ".lzo", readEvery: 3 });
    const options = ["--on-error=zero", `--report=${report}`];
    const outcome = await extract([...options, path, output]);
    assertEquals(outcome.code, CORRUPT, outcome.stderr);
    const image = Deno.readFileSync(output);
    const listed = Deno.readTextFileSync(report);
    assertEquals(image.length, store.image.length);
    let bad = 0;
    for (const [seq, id] of store.revision.ids.entries()) {
      const found = image.subarray(seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
      const isListed = listed.includes(id!);
      assertBytes(found, isListed ? new Uint8Array(found.length) : store.contentAt(seq));
      if (isListed) bad++;
    }
    assert(bad > 0 && bad < store.revision.ids.length, `${bad}`);
  },
);

fuseTest(
  "With --also, chunks that a failing store does not give come from another",
  async (site) => {
    const { mount, store, path } = await setUp(site);
    const copy = site.folder();
    await Deno.remove(copy);
    assert((await new Deno.Command("cp", { args: ["-a", store.basedir, copy] }).output()).success);
    mount.set({ match: ".lzo", readEvery: 2 });
    const outcome = await extract([`--also=${copy}`, path, "-"]);
    assertEquals(outcome.code, 0, outcome.stderr);
    assertBytes(outcome.stdout, store.image);
  },
);

fuseTest("A map that cannot be read ends a restore before the target is touched", async (site) => {
  const { mount, path } = await setUp(site);
  const output = site.file("image", "old");
  mount.set({ match: "Revision", readEvery: 1 });
  const outcome = await extract([path, output]);
  assertEquals(outcome.code, STORE, outcome.stderr);
  assertStringIncludes(outcome.stderr, "Input/output error (EIO)");
  assertEquals(Deno.readTextFileSync(output), "old");
});

fuseTest("A store whose server dies in mid-restore ends it within seconds", async (site) => {
  const { mount, store, path } = await setUp(site);
  const output = site.file("image");
  await using tool = startExtract(["-t", "1", "--bwlimit=200K", path, output]);
  await until(() => isBegun(output, store.image) || tool.hasEnded, "the first chunk");
  mount.kill();
  const outcome = await tool.outcome();
  assertEquals(outcome.code, FAILURE, outcome.stderr);
  // ECONNABORTED for the read that the dead server was answering, ENOTCONN for the next.
  assertMatch(
    outcome.stderr,
    /: Cannot read .* \((ECONNABORTED|ENOTCONN)\); bring the storage of the backup back\n/,
  );
  assertSuccess(await extract(["--update", store.revision.path, output]));
  assertBytes(Deno.readFileSync(output), store.image);
});

fuseTest(
  "A mount over a store that fails at times gives EIO at times, and never wrong bytes",
  async (site) => {
    const { mount, store } = await setUp(site);
    const images = await site.mount(["-d", `${mount.path}/vm0`]);
    const file = images.file("Revision");
    // The kernel retries a failed read, so the failure must last.
    for (let seq = 0; seq < 9; seq++) {
      const isFailing = seq % 3 === 1;
      mount.set(isFailing ? { match: ".lzo", readEvery: 1 } : {});
      const reading = readAt(file, seq * CHUNK_BYTES, 8192);
      assertEquals(await errnoOf(reading), isFailing ? Errno.EIO : 0, `${seq}`);
      if (!isFailing) assertBytes(await reading, store.contentAt(seq).subarray(0, 8192));
    }
    mount.set();
    await assertContent(file, store.image);
    await images.end();
  },
);

async function readAt(path: string, at: number, length: number): Promise<Uint8Array> {
  using file = await Deno.open(path);
  await file.seek(at, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, await file.read(bytes) ?? 0);
}
