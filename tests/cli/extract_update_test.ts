import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes, isBegun, readRange } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { LoopDevice, loopDeviceProblem, makeFifo, testUnless } from "../support/machine.ts";
import type { Outcome } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import {
  assertFailure,
  assertSuccess,
  extract,
  type JsonLine,
  parseJsonLines,
  startExtract,
} from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const USAGE = 2;
const TARGET = 4;

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const noLoop = loopDeviceProblem();
const DEVICE_BYTES = 10 * CHUNK_BYTES;
const MARK = new TextEncoder().encode("this was here before");

/** Writes into a file or device, as if something had changed it. */
function overwrite(path: string, offset: number, bytes: Uint8Array = MARK): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(offset, Deno.SeekMode.Start);
  assertEquals(file.writeSync(bytes), bytes.length);
  file.syncSync();
}

function summaryOf({ code, stderr }: Outcome): JsonLine {
  const summary = parseJsonLines(stderr).at(-1)!;
  assertEquals([code, summary.type], [0, "summary"], stderr);
  return summary;
}

Deno.test("--update writes what differs and nothing else, data and zeros, and the length", async () => {
  const revision = store.revision.path;
  const path = store.file("updated", store.image);
  overwrite(path, Seq.REPEATED * CHUNK_BYTES + 100);
  overwrite(path, Seq.ABSENT * CHUNK_BYTES + 5000);
  Deno.truncateSync(path, store.image.length + 99);
  const { ino } = Deno.statSync(path);
  const first = summaryOf(await extract(["--json", "--update", revision, path]));
  assertBytes(Deno.readFileSync(path), store.image);
  assertEquals(Deno.statSync(path).ino, ino);
  assert(first.sameBytes > store.image.length - 2 * CHUNK_BYTES, `${first.sameBytes}`);
  assert(first.sameBytes < store.image.length, `${first.sameBytes}`);
  assert(first.writtenBytes > 0 && first.writtenBytes <= CHUNK_BYTES, `${first.writtenBytes}`);

  const second = summaryOf(await extract(["--json", "-u", revision, path]));
  assertEquals([second.sameBytes, second.writtenBytes, second.readBytes], [
    ...[store.image.length, 0, 0],
  ]);
});

Deno.test("--update says how much was there already", async () => {
  const path = store.file("told", store.image);
  overwrite(path, 0);
  const outcome = await extract(["--update", store.revision.path, path]);
  assertSuccess(outcome);
  const lines = outcome.stderr.split("\n");
  assertEquals(lines[2], "Flushing");
  assertMatch(lines[3]!, /^Updating SampleRevision \(33\.0 MiB, 4 distinct chunks\) to ".*" with /);
  assertMatch(
    lines.at(-3)!,
    /^Updated 33\.0 MiB in .*: 9 chunks, 3 of them zero, 4 distinct compared$/,
  );
  assertEquals(lines.at(-2), "29.0 MiB were there already, 4 MiB were brought up to date");
});

Deno.test("--update creates a missing file and completes a short one", async () => {
  const path = store.file("new-by-update");
  assertSuccess(await extract(["--update", store.revision.path, path]));
  assertBytes(Deno.readFileSync(path), store.image);
  Deno.truncateSync(path, 5_000_001);
  assertSuccess(await extract(["--update", store.revision.path, path]));
  assertBytes(Deno.readFileSync(path), store.image);
});

Deno.test("--update with --on-error=zero keeps what the target has of a bad chunk, if it is right", async () => {
  const path = store.file("better-than-backup", store.image);
  await store.withDamage(store.chunkFileAt(Seq.HOLES), () => {}, async () => {
    const args = ["--on-error=zero", "--update", store.revision.path, path];
    assertSuccess(await extract(args));
    assertBytes(Deno.readFileSync(path), store.image);
    overwrite(path, Seq.HOLES_REPEATED * CHUNK_BYTES);
    assertEquals((await extract(args)).code, 3);
    assertBytes(Deno.readFileSync(path), store.imageWithout(Seq.HOLES_REPEATED));
  });
});

/** Interrupts a restore when its first chunk is on the target, and runs it again. */
async function assertResumes(
  path: string,
  how: {
    signal: "SIGKILL" | "SIGINT";
    options: readonly string[];
    holds: (image: Uint8Array) => void;
  },
): Promise<void> {
  const { signal, options, holds } = how;
  const args = ["-t1", ...options, store.revision.path, path];
  {
    await using tool = startExtract(["--bwlimit=600KiB", ...args]);
    await until(() => isBegun(path, store.image) || tool.hasEnded, "the first chunk");
    tool.signal(signal);
    const outcome = await tool.outcome();
    if (signal === "SIGKILL") assertEquals(outcome.signal, "SIGKILL");
    else {
      assertFailure(outcome, {
        code: 130,
        says: [
          "Interrupted by SIGINT",
          `"${path}" is incomplete: the same command ${
            args.includes("--update") ? "" : "with --update "
          }writes what is missing`,
        ],
      });
    }
    const middle = Seq.UNALIGNED_ZEROS * CHUNK_BYTES;
    const there = readRange(path, middle, 1000);
    assert(there.some((byte, at) => byte !== store.image[middle + at]), "it was complete already");
  }
  const again = args.includes("--update") ? args : ["--update", ...args];
  const { sameBytes, writtenBytes } = summaryOf(await extract(["--json", ...again]));
  holds(store.image);
  // The first chunk has two seqs.
  assert(sameBytes >= 2 * CHUNK_BYTES, `${sameBytes}`);
  assert(writtenBytes > 0, `${writtenBytes}`);
}

for (const signal of ["SIGKILL", "SIGINT"] as const) {
  for (const options of [[], ["--update"]]) {
    const name = options.length === 0 ? "restore" : "restore with --update";
    Deno.test(`A ${name} to a file that ${signal} ended goes on with --update`, async () => {
      const path = store.file(`resumed-${signal}-${options.length}`);
      const holds = (image: Uint8Array) => assertBytes(Deno.readFileSync(path), image);
      await assertResumes(path, { signal, options, holds });
    });

    testUnless(
      noLoop,
      `A ${name} to a device that ${signal} ended goes on with --update`,
      async () => {
        using device = new LoopDevice(DEVICE_BYTES);
        const expected = new Uint8Array(DEVICE_BYTES).fill(0xaa);
        const holds = (image: Uint8Array) => {
          expected.set(image);
          assertBytes(device.read(), expected);
        };
        await assertResumes(device.path, { signal, options, holds });
      },
    );
  }
}

/**
 * A revision that differs from the sample in three ways: data in zeros, zeros in data, other
 * data.
 */
function addSuccessor() {
  const changed = sampleBytes(77);
  const part = (seq: number) => store.image.slice(seq * CHUNK_BYTES, (seq + 1) * CHUNK_BYTES);
  return store.add("Successor", [
    ...[part(0), changed, "absent", part(3), part(4), "absent", "absent", sampleBytes(78)] as const,
    part(8),
  ]);
}

for (const kind of ["file", "device"] as const) {
  testUnless(
    kind === "device" ? noLoop : null,
    `--base writes what differs from it to a ${kind}, and trusts the rest`,
    async () => {
      const { path: revision, image } = addSuccessor();
      using device = kind === "device" ? new LoopDevice(DEVICE_BYTES) : null;
      const path = device?.path ?? store.file("based");
      assertSuccess(await extract([store.revision.path, path]));
      const marked = Seq.REPEATED * CHUNK_BYTES + 12_345;
      overwrite(path, marked);
      const outcome = await extract(["--base", "SampleRevision", revision, path]);
      assertSuccess(outcome);
      assertMatch(
        outcome.stderr,
        /^6 chunks \(21\.0 MiB\) not written: the same in the base revision$/m,
      );
      const expected = image.slice();
      // What the base says is not looked at, for better or worse.
      expected.set(MARK, marked);
      assertBytes(readRange(path, 0, image.length), expected);
      if (kind === "file") assertEquals(Deno.statSync(path).size, image.length);
    },
  );
}

Deno.test("--base accepts a path, a bare name or a spec", async () => {
  const { path: revision, image } = addSuccessor();
  store.add("Tagged", [], { tags: ["start"] });
  Deno.copyFileSync(store.revision.path, `${store.basedir}/Tagged`);
  for (
    const base of [store.revision.path, "SampleRevision", "tag:start", `${store.basedir}/tag:start`]
  ) {
    const path = store.file("based-on", store.image);
    const { keptSeqs, imageBytes } = summaryOf(
      await extract(["--json", "--base", base, revision, path]),
    );
    assertEquals([keptSeqs, imageBytes], [6, image.length]);
    assertBytes(Deno.readFileSync(path), image);
  }
});

Deno.test("--base needs an existing base and a target that may hold it; otherwise nothing changes", async () => {
  const { path: revision } = addSuccessor();
  const target = store.file("too-short", "short");
  const before = store.namesBeside();
  const cases: [base: string, output: string, code: number, message: RegExp][] = [
    ["Nobody", target, 10, /"Nobody" in ".*": there is no such revision; "backy-extract list /],
    [
      store.file("nowhere/x"),
      target,
      10,
      /there is no such revision; there is no directory ".*nowhere"; /,
    ],
    ["tag:daily", target, 10, /"tag:daily" in ".*": it means \d revisions/],
    [
      "SampleRevision",
      store.file("not-made"),
      TARGET,
      /there is no such file, so it cannot hold/,
    ],
    ["SampleRevision", target, TARGET, /^Cannot restore to ".*": /],
    ["SampleRevision", "/dev/null", TARGET, /takes bytes in order only/],
  ];
  for (const [base, output, code, message] of cases) {
    const outcome = await extract(["-q", "--base", base, revision, output]);
    assertEquals(outcome.code, code, outcome.stderr);
    const [line = ""] = outcome.stderr.split("\n");
    assertMatch(line.slice("backy-extract: ".length), message);
  }
  assertEquals(store.namesBeside(), before);
  assertEquals(Deno.readTextFileSync(target), "short");
});

Deno.test("--update, --base and --verify-target refuse what takes bytes in order only", async () => {
  const fifo = makeFifo(store.file("fifo"));
  const options = [["--update"], ["--verify-target"], ["--base", "SampleRevision"]];
  for (const option of options) {
    for (const output of [fifo, "/dev/null"]) {
      assertFailure(await extract([...option, store.revision.path, output]), {
        code: TARGET,
        says: [
          `Cannot restore to "${output}": it takes bytes in order only, ` +
          "this needs a file or block device",
        ],
      });
    }
    // Even if standard output is a file: the command line does not show that.
    const shell = { shell: 'exec "$@" >"$OUT"', env: { OUT: store.file("as-stdout") } };
    const { code, stderr } = await extract([...option, store.revision.path], shell);
    assertEquals(code, USAGE, stderr);
    assertMatch(stderr, /^backy-extract: Cannot use "--.*" with .*standard output: .*\n$/);
  }
});

for (const kind of ["file", "device"] as const) {
  testUnless(
    kind === "device" ? noLoop : null,
    `--verify-target of a ${kind} says that it is correct`,
    async () => {
      using device = kind === "device" ? new LoopDevice(DEVICE_BYTES) : null;
      const path = device?.path ?? store.file("verified");
      for (const options of [[], ["--update"], ["-s", "never"]]) {
        const outcome = await extract(["--verify-target", ...options, store.revision.path, path]);
        assertSuccess(outcome);
        const lines = outcome.stderr.trimEnd().split("\n");
        assertMatch(
          lines.at(-3 + (options[0] === "--update" ? -1 : 0))!,
          /^Reading back SampleRevision /,
        );
        assertEquals(lines.at(-1), "The target was read back and holds what was written");
      }
      assertBytes(readRange(path, 0, store.image.length), store.image);
    },
  );
}

/**
 * Changes a byte of the target again and again until it is disposed of, like storage that forgets
 * what was written.
 */
class Corrupter implements Disposable {
  readonly #timer: ReturnType<typeof setTimeout>;
  /** Open all the time: then the tool finds that it is a parent that writes, which it lets pass. */
  readonly #file: Deno.FsFile;
  #isDisposed = false;

  constructor(path: string, offset: number, byte: number) {
    this.#file = Deno.openSync(path, { write: true, create: true });
    this.#timer = setInterval(() => overwrite(path, offset, Uint8Array.of(byte)), 2);
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    clearInterval(this.#timer);
    this.#file.close();
  }
}

Deno.test("--verify-target rewrites what the target does not hold, and says how much", async () => {
  const path = store.file("forgetful");
  const offset = Seq.UNALIGNED_ZEROS * CHUNK_BYTES + 10;
  using corrupter = new Corrupter(path, offset, store.image[offset]! ^ 0xff);
  // Decoding the chunk anew takes its time under the limit, so that there is enough to stop the
  // corruption.
  const args = ["-t1", "--bwlimit=900KiB", "--verify-target", store.revision.path, path];
  await using tool = startExtract(args);
  await tool.untilSaid("Reading back SampleRevision");
  await pause(300);
  corrupter[Symbol.dispose]();
  const outcome = await tool.outcome();
  assertSuccess(outcome);
  assertMatch(outcome.stderr, /^Reading back again SampleRevision /m);
  const last = outcome.stderr.trimEnd().split("\n").at(-1);
  assertEquals(
    last,
    "The target was read back: 4 MiB had to be written again, and now it holds that",
  );
  assertBytes(Deno.readFileSync(path), store.image);
});

Deno.test("--verify-target names the bytes that the target does not keep: exit 4", async () => {
  const path = store.file("hopeless");
  const offset = Seq.UNALIGNED_ZEROS * CHUNK_BYTES + 10;
  using _corrupter = new Corrupter(path, offset, store.image[offset]! ^ 0xff);
  const outcome = await extract(["--verify-target", store.revision.path, path]);
  const start = Seq.UNALIGNED_ZEROS * CHUNK_BYTES;
  assertFailure(outcome, {
    code: TARGET,
    says: [
      `Cannot restore to "${path}": it does not hold what was written, even after a second ` +
      `write, at bytes ${start} to ${start + CHUNK_BYTES - 1}; its storage may be failing, ` +
      "name another target",
      `"${path}" is incomplete`,
    ],
  });
});
