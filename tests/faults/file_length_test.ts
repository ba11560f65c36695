/** Files on file systems that are slow or unable to give them a length or storage. */

import { TargetError } from "../../lib/errors.ts";
import { openFd, OpenFlag } from "../../lib/linux/files.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { OpenedBlock } from "../../lib/target/opened_block.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../assert.ts";
import { fuseProblem, fuseTest } from "../cli/fuse_harness.ts";
import { assertSuccess, extract, parseJsonLines, startExtract } from "../cli/harness.ts";
import { assertBytes } from "../support/bytes.ts";
import { LoopDevice, loopDeviceProblem, Mount, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { EXTRACT, type Outcome, RunningTool } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { FaultStore } from "./fault_store.ts";
import { FlakyMount } from "./flaky_mount.ts";

const TARGET = 4;
const MIB = 1_048_576;

let store: FaultStore;
Deno.test.beforeAll(() => void (store = new FaultStore({ chunks: 4, lastBytes: 100_001 })));
Deno.test.afterAll(() => store[Symbol.dispose]());

fuseTest(
  "A file system that is slow to make a file longer keeps no signal waiting",
  async (site) => {
    const mount = await FlakyMount.start(site);
    const path = `${mount.path}/image`;
    mount.set({ truncateWaits: true });
    await using tool = startExtract([store.revision.path, path]);
    const isMade = () => [...Deno.readDirSync(mount.directory)].length > 0;
    await until(() => isMade() || tool.hasEnded, "the file");
    // Nothing else happens on that thread between creating the file and changing its length.
    const before = tool.said;
    tool.signal("SIGUSR1");
    await until(() => tool.said !== before || tool.hasEnded, "the status");
    assert(!tool.hasEnded, tool.said);
    mount.set();
    assertSuccess(await tool.outcome());
    assertBytes(Deno.readFileSync(`${mount.directory}/image`), store.image);
  },
);

fuseTest(
  "A target that is closed while its file grows keeps the descriptor until that has ended",
  async (site) => {
    const mount = await FlakyMount.start(site);
    const path = `${mount.path}/image`;
    const fd = openFd(path, OpenFlag.O_RDWR | OpenFlag.O_CREAT);
    const target = new OpenedBlock({
      path,
      fd,
      zeroPolicy: "skip",
      missingBytes: MIB,
    });
    mount.set({ truncateWaits: true });
    const finished = assertRejects(() => target.finish({ sync: true }), TargetError);
    target.close();
    assert(isOpen(fd, path), "the number could be another file's by now");
    mount.set();
    await finished;
    assert(!isOpen(fd, path));
  },
);

function isOpen(fd: number, path: string): boolean {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`) === path;
  } catch {
    return false;
  }
}

/**
 * Runs the tool, whose last argument is a file, with a system call that fails for that file. The
 * runtime makes such calls too, for its caches.
 */
async function extractWithout(
  call: string,
  error: string,
  args: readonly string[],
): Promise<Outcome> {
  await using tool = new RunningTool([
    ...["strace", "-f", "-qq", "-o", "/dev/null", "-P", args.at(-1)!],
    ...["-e", `trace=${call}`, "-e", `inject=${call}:error=${error}`],
    ...[...EXTRACT, ...args],
  ]);
  return await tool.outcome();
}

for (const errno of ["EPERM", "EOPNOTSUPP"]) {
  testUnless(
    programProblem("strace"),
    `--sparse=never writes zeros where fallocate fails with ${errno}`,
    async () => {
      for (const content of [undefined, new Uint8Array(store.image.length).fill(0xaa)]) {
        const path = store.file(`image ${errno} ${content?.length}`, content);
        assertSuccess(
          await extractWithout("fallocate", errno, ["-s", "never", store.revision.path, path]),
        );
        assertBytes(Deno.readFileSync(path), store.image);
        assert(Deno.statSync(path).blocks! * 512 >= store.image.length);
      }
    },
  );
}

testUnless(
  programProblem("strace"),
  "A new file that cannot be given its length is not left behind, an old one is as it was",
  async () => {
    const path = store.file("no length");
    const refused = async () => {
      const outcome = await extractWithout("ftruncate", "EFBIG", [store.revision.path, path]);
      assertEquals(outcome.code, TARGET, outcome.stderr);
      assertStringIncludes(outcome.stderr, "long: File too large (EFBIG)");
    };
    await refused();
    assertEquals(
      [...Deno.readDirSync(path.slice(0, path.lastIndexOf("/")))].some(({ name }) =>
        name === "no length"
      ),
      false,
    );
    Deno.writeTextFileSync(path, "old");
    await refused();
    assertEquals(Deno.readTextFileSync(path), "old");
  },
);

testUnless(
  programProblem("strace"),
  "A file that cannot be emptied keeps its content, and the message says no more than that",
  async () => {
    const old = new Uint8Array(store.image.length + 10).fill(0xaa);
    const path = store.file("not emptied", old);
    // Only the first call of each thread fails, so that undoing something afterwards would succeed.
    const outcome = await extractWithout("ftruncate", "EIO:when=1", [store.revision.path, path]);
    assertEquals(outcome.code, TARGET, outcome.stderr);
    assert(outcome.stderr.endsWith("long: Input/output error (EIO)\n"), outcome.stderr);
    assertBytes(Deno.readFileSync(path), old);
  },
);

testUnless(
  programProblem("strace"),
  "A file that was emptied, and then gets no storage, is called incomplete",
  async () => {
    const path = store.file("emptied", "old");
    const args = ["--json", "-s", "never", store.revision.path, path];
    const outcome = await extractWithout("fallocate", "ENOSPC", args);
    assertEquals(outcome.code, TARGET, outcome.stderr);
    const error = parseJsonLines(outcome.stderr).at(-1)!;
    assertEquals(error["incompleteTarget"], path);
    assertEquals(error["notes"], [
      `"${path}" is incomplete: make room, then run the same command with --update`,
    ]);
    // A file that was empty has lost nothing.
    const unchanged = await extractWithout("fallocate", "ENOSPC", args);
    assertEquals(parseJsonLines(unchanged.stderr).at(-1)!["incompleteTarget"], null);
  },
);

const exfatProblem = fuseProblem ?? loopDeviceProblem() ??
  programProblem("mkfs.exfat", "mount.exfat-fuse", "strace");

/** An exFAT file system, which has no holes: a file that is made longer is filled with zeros. */
class Exfat implements Disposable {
  readonly #device = new LoopDevice(96 * MIB);
  readonly #mount: Mount;

  constructor() {
    runSync("mkfs.exfat", this.#device.path);
    this.#mount = new Mount("-t", "exfat-fuse", this.#device.path);
  }

  get path(): string {
    return this.#mount.path;
  }

  [Symbol.dispose](): void {
    this.#mount[Symbol.dispose]();
    this.#device[Symbol.dispose]();
  }
}

testUnless(
  exfatProblem,
  "A file system without holes gets the zeros at the end of an image in pieces, at the end",
  async () => {
    using disk = new Exfat();
    using zeros = new FaultStore({ chunks: 1, last: new Uint8Array(CHUNK_BYTES) });
    for (const options of [[], ["--no-sync"], ["--verify-target"]]) {
      const path = `${disk.path}/image`;
      assertSuccess(await extract([...options, zeros.revision.path, path]));
      assertBytes(Deno.readFileSync(path), zeros.image);
      Deno.removeSync(path);
    }
  },
);

for (const old of [null, "shorter", "longer"] as const) {
  for (const options of [[], ["--update"], ["-s", "never"], ["--verify-target"]]) {
    testUnless(
      exfatProblem,
      `A file system without holes fills no byte of a file twice (${old ?? "new"}, ${options})`,
      async () => {
        using disk = new Exfat();
        const path = `${disk.path}/image`, log = store.file("strace");
        const oldBytes = { shorter: CHUNK_BYTES, longer: store.image.length + 10 };
        if (old !== null) Deno.writeFileSync(path, new Uint8Array(oldBytes[old]).fill(0xaa));
        await using tool = new RunningTool([
          ...["strace", "-f", "-qq", "-y", "-o", log, "-e", "trace=execve,ftruncate"],
          ...[...EXTRACT, ...options, store.revision.path, path],
        ]);
        assertSuccess(await tool.outcome());
        assertBytes(Deno.readFileSync(path), store.image);
        const lines = Deno.readTextFileSync(log);
        // The runtime truncates files of its caches, on any thread.
        const calls = [...lines.matchAll(/^(\d+) +ftruncate\(\d+<(.+?)>, (\d+)/gm)]
          .filter(([, , file]) => file === path);
        assert(calls.length > 0, lines);
        const [, mainThread] = /^(\d+) +execve/.exec(lines) ?? [];
        assert(mainThread !== undefined, lines);
        assert(
          calls.every(([, thread]) => thread !== mainThread),
          `the main thread ${mainThread} made a call:\n${lines}`,
        );
        const filled = calls.filter(([, , , bytes]) => Number(bytes) > CHUNK_BYTES + MIB);
        // The last piece, if the image ends in zeros; otherwise writing it made the file long
        // enough.
        assert(filled.length <= 1, `${calls.map(([call]) => call).join("\n")}`);
      },
    );
  }
}
