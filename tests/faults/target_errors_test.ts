/**
 * Targets that fail: no room, a limit, a bad disk. The tool says so, and an update completes the
 * restore.
 */

import { Errno } from "../../lib/linux/errno.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertStringIncludes } from "../assert.ts";
import { fuseTest, type Site } from "../cli/fuse_harness.ts";
import { assertFailure, assertSuccess, extract } from "../cli/harness.ts";
import { assertBytes } from "../support/bytes.ts";
import { Mount, mountProblem, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { EXTRACT, type Outcome, RunningTool } from "../support/tool.ts";
import { FaultStore } from "./fault_store.ts";
import { FlakyMount } from "./flaky_mount.ts";

const TARGET = 4;

let store: FaultStore;
Deno.test.beforeAll(() => void (store = new FaultStore({ chunks: 6, lastBytes: 100_001 })));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** Asserts that writing failed at some byte of the image. @returns Which. */
function failedByte(outcome: Outcome, path: string, errno: string): number {
  assertEquals(outcome.code, TARGET, outcome.stderr);
  const [line = ""] = outcome.stderr.split("\n").filter((line) => line.includes("Cannot write"));
  const [, target, byte, name] = /Cannot write "(.*)" at byte (\d+): .* \((\w+)\)$/.exec(line) ??
    [];
  assertEquals([target, name], [path, errno], outcome.stderr);
  return Number(byte);
}

const KIB = 1024;

for (const room of [400, 5 * CHUNK_BYTES / KIB / 2, 5 * CHUNK_BYTES / KIB + 4, 23_000]) {
  for (const threads of ["1", "4"]) {
    testUnless(
      mountProblem(),
      `A file system with room for ${room} KiB only: ENOSPC, and an update completes the file (-t ${threads})`,
      async () => {
        using disk = new Mount("-t", "tmpfs", "-o", `size=${room}k`, "tmpfs");
        const output = `${disk.path}/image`;
        const outcome = await extract(["-t", threads, store.revision.path, output]);
        const byte = failedByte(outcome, output, "ENOSPC");
        assert(byte < store.image.length);
        if (threads === "1") {
          assertBytes(Deno.readFileSync(output).subarray(0, byte), store.image.subarray(0, byte));
        }
        runSync("mount", "-o", "remount,size=64m", disk.path);
        assertSuccess(await extract(["--update", store.revision.path, output]));
        assertBytes(Deno.readFileSync(output), store.image);
      },
    );
  }
}

Deno.test("A limit of the file's size is reported before an old file loses anything", async () => {
  for (const blocks of [0, 1, 4096, Math.floor(store.image.length / KIB)]) {
    const output = store.file("limited", "old");
    const outcome = await extract([store.revision.path, output], {
      shell: `ulimit -f ${blocks}; exec "$@"`,
    });
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assertStringIncludes(outcome.stderr, "(EFBIG)");
    assertEquals(Deno.readTextFileSync(output), "old");
  }
});

Deno.test("A limit that redirected standard output reaches is EFBIG at that byte", async () => {
  for (const blocks of [1, 4095, 20_000]) {
    const image = store.file("redirected");
    const outcome = await extract([store.revision.path], {
      shell: `ulimit -f ${blocks}; exec "$@" >"$IMAGE"`,
      env: { IMAGE: image },
    });
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assertStringIncludes(outcome.stderr, "(EFBIG)");
    const written = Deno.readFileSync(image);
    assertEquals(written.length, blocks * KIB);
    assertBytes(written, store.image.subarray(0, written.length));
  }
});

/** A directory on a file system that fails on demand, and a restore into it. */
async function setUp(site: Site) {
  const mount = await FlakyMount.start(site);
  const output = `${mount.path}/image`;
  const restore = (...options: string[]) => extract([...options, store.revision.path, output]);
  const content = () => Deno.readFileSync(`${mount.directory}/image`);
  return { mount, output, restore, content };
}

for (const seq of [0, 3, 6]) {
  for (const errno of ["EIO", "ENOSPC", "EDQUOT"] as const) {
    fuseTest(
      `A target that fails with ${errno} in chunk ${seq}: the message names the byte, and an update completes it`,
      async (site) => {
        const { mount, output, restore, content } = await setUp(site);
        const writeFrom = seq * CHUNK_BYTES + 50_000;
        mount.set({ writeFrom, writeErrno: Errno[errno] });
        const byte = failedByte(await restore(), output, errno);
        // A request has at most a megabyte.
        assert(byte > writeFrom - 1_048_576, `${byte}`);
        mount.set();
        assertSuccess(await restore("--update"));
        assertBytes(content(), store.image);
      },
    );
  }
}

fuseTest("A target with short writes is written completely", async (site) => {
  const { mount, restore, content } = await setUp(site);
  mount.set({ shortWrites: true });
  assertSuccess(await restore());
  assertBytes(content(), store.image);
});

fuseTest(
  "A failed flush fails the restore; --no-sync does not flush",
  async (site) => {
    const { mount, output, restore, content } = await setUp(site);
    mount.set({ fsyncErrno: Errno.EIO });
    assertFailure(await restore(), {
      code: TARGET,
      says: [
        `Cannot flush "${output}": Input/output error (EIO)`,
        `"${output}" is incomplete: the same command with --update writes what is missing`,
      ],
    });
    assertSuccess(await restore("--no-sync"));
    assertBytes(content(), store.image);
  },
);

fuseTest(
  "An error that comes when the file is closed is a failure, with --no-sync too",
  async (site) => {
    const { mount, restore } = await setUp(site);
    mount.set({ closeErrno: Errno.EDQUOT });
    for (const options of [[], ["--no-sync"]]) {
      const outcome = await restore(...options);
      assertEquals(outcome.code, TARGET, outcome.stderr);
      assertStringIncludes(outcome.stderr, "(EDQUOT)");
    }
  },
);

fuseTest(
  "A target that cannot be made as long as the image is refused, with its old content",
  async (site) => {
    const { mount, restore, content } = await setUp(site);
    Deno.writeTextFileSync(`${mount.directory}/image`, "old");
    mount.set({ truncateErrno: Errno.EFBIG });
    const outcome = await restore();
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assertStringIncludes(outcome.stderr, "(EFBIG)");
    assertEquals(new TextDecoder().decode(content()), "old");
  },
);

fuseTest(
  "An update writes what it cannot read back, and --verify-target reports it",
  async (site) => {
    const { mount, restore, content } = await setUp(site);
    Deno.writeFileSync(`${mount.directory}/image`, new Uint8Array(store.image.length).fill(0x55));
    mount.set({ match: "image", readEvery: 3 });
    assertSuccess(await restore("--update"));
    assertBytes(content(), store.image);
    mount.set({ match: "image", readEvery: 1 });
    const outcome = await restore("--verify-target");
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assertStringIncludes(outcome.stderr, "it does not hold what was written");
  },
);

/** Runs an update of an identical file, all of whose reads fail. */
async function updateUnreadable(errno: string): Promise<{ outcome: Outcome; path: string }> {
  const path = store.file(`unreadable ${errno}`, store.image);
  await using tool = new RunningTool([
    ...["strace", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=pread64"],
    ...["-e", `inject=pread64:error=${errno}`, ...EXTRACT],
    ...["--json", "--update", store.revision.path, path],
  ]);
  return { outcome: await tool.outcome(), path };
}

for (const errno of ["EIO", "ENODATA", "EREMOTEIO", "EILSEQ", "EBADMSG"]) {
  testUnless(
    programProblem("strace"),
    `An update writes what storage cannot read: ${errno}`,
    async () => {
      const { outcome, path } = await updateUnreadable(errno);
      assertEquals(outcome.code, 0, outcome.stderr);
      const summary = JSON.parse(outcome.stderr.trimEnd().split("\n").at(-1)!);
      assertEquals(summary.sameBytes, 0);
      assertBytes(Deno.readFileSync(path), store.image);
    },
  );
}

testUnless(
  programProblem("strace"),
  "An update ends if its target cannot be read for another reason",
  async () => {
    const { outcome, path } = await updateUnreadable("EACCES");
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assertStringIncludes(outcome.stderr, `Cannot read \\"${path}\\" at byte `);
  },
);

testUnless(
  programProblem("strace"),
  "An error at the first close of a target fails the restore, whichever descriptor it is of",
  async () => {
    const output = store.file("closed");
    const shell = `exec strace -f -qq -o /dev/null -e trace=close -P ${output} \
      -e inject=close:error=EIO:when=1 "$@"`;
    const options = ["-q", "--no-sync", "--direct=always", store.revision.path, output];
    const outcome = await extract(options, { shell });
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assertStringIncludes(outcome.stderr, "(EIO)");
  },
);
