import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import { applyRbdDiff } from "../support/rbd_diff.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  makeFifo,
  Mount,
  mountProblem,
  openIdleReader,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import {
  assertFailure,
  assertSuccess,
  extract,
  messagesOf,
  parseJsonLines,
  startExtract,
} from "./harness.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const USAGE = 2;
const DATA = 3;

let store: SampleStore;
/** A second store with good copies of everything. */
let spare: SampleStore;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  spare = new SampleStore();
});
Deno.test.afterAll(() => {
  store[Symbol.dispose]();
  spare[Symbol.dispose]();
});

function corrupt(path: string, content: Uint8Array<ArrayBuffer>): void {
  content[content.length - 100]! ^= 0x10;
  Deno.writeFileSync(path, content);
}

/** Runs something while a chunk with two seqs is missing and the last one is corrupt. */
function withGaps(run: () => Promise<void>): Promise<void> {
  return store.withDamage(
    store.chunkFileAt(Seq.HOLES),
    () => {},
    () => store.withDamage(store.chunkFileAt(Seq.LAST), corrupt, run),
  );
}

const LOST_SEQS = [Seq.HOLES, Seq.HOLES_REPEATED, Seq.LAST] as const;

/** Offset, length and chunk of each gap. */
function gaps(): [offset: number, length: number, chunkId: string][] {
  return LOST_SEQS.map((seq) => {
    const offset = seq * CHUNK_BYTES;
    return [offset, Math.min(CHUNK_BYTES, store.image.length - offset), store.idAt(seq)];
  });
}

/** What helps where the target can be updated. */
const MEND = "; --update --also DIR puts good copies there";
const LOSS =
  "2 chunks missing or corrupt: 3 ranges of the image (9.0 MiB) lost and filled with zeros";

/** The rows of the table below the summary, as cells. */
function tableOf(stderr: string): string[][] {
  const lines = stderr.trimEnd().split("\n");
  const title = lines.findIndex((line) => /^ *Offset +Length +Chunk +Reason$/.test(line));
  assert(title >= 0, stderr);
  return lines.slice(title + 1, -1).map((line) => line.trim().split(/ {2,}/));
}

function assertGaps({ code, stderr }: { code: number; stderr: string }, loss = LOSS): void {
  assertEquals(code, DATA, stderr);
  const rows = tableOf(stderr);
  const reason = rows.at(-1)?.[3] ?? "";
  assertMatch(reason, /^(wrong content|bad encoding)$/);
  const reasons = ["missing", "missing", reason];
  assertEquals(rows, gaps().map((gap, at) => [...gap.map(String), reasons[at]!]));
  assertEquals(stderr.trimEnd().split("\n").at(-1)?.replace(MEND, ""), loss);
  const warnings = messagesOf(stderr).toSorted();
  assertEquals(warnings.length, 2, stderr);
  assertMatch(warnings[0]!, /^warning: Cannot read chunk "[0-9a-f]{32}" \(seqs? .*\): there is no/);
  assertMatch(warnings[1]!, /^warning: Cannot use chunk "[0-9a-f]{32}" \(seq 8, .*\): /);
}

Deno.test("--on-error=zero leaves zeros for bad chunks in a file, and says where: exit 3", async () => {
  const path = store.file("gaps", new Uint8Array(store.image.length).fill(0xaa));
  await withGaps(async () => {
    const outcome = await extract(["--on-error=zero", store.revision.path, path]);
    assertGaps(outcome);
    assert(outcome.stderr.endsWith(`${MEND}\n`), outcome.stderr);
    assertMatch(
      outcome.stderr,
      /^Restored 24 MiB of 33\.0 MiB in .*: 9 chunks, 3 of them zero, 2 of 4 distinct decoded/m,
    );
    const quiet = await extract(["-q", "--on-error=zero", store.revision.path, path]);
    assertGaps(quiet);
    assert(!quiet.stderr.includes("Restored"), quiet.stderr);
  });
  assertBytes(Deno.readFileSync(path), store.imageWithout(...LOST_SEQS));
});

Deno.test("--on-error=zero leaves everything else in its place in a pipe and in a diff", async () => {
  await withGaps(async () => {
    const piped = await extract(["--on-error=zero", store.revision.path]);
    assertGaps(piped);
    assert(!piped.stderr.includes(MEND), piped.stderr);
    assertBytes(piped.stdout, store.imageWithout(...LOST_SEQS));
    const args = ["--on-error=zero", "--format=rbd-diff", store.revision.path];
    const diff = await extract(args);
    assertGaps(diff);
    const before = new Uint8Array(store.image.length).fill(0xaa);
    assertBytes(applyRbdDiff(diff.stdout, before), store.imageWithout(...LOST_SEQS));
  });
});

testUnless(
  loopDeviceProblem(),
  "--on-error=zero leaves zeros on a device that held something else, --sparse=always or not",
  async () => {
    await withGaps(async () => {
      for (const sparse of ["auto", "never", "always"]) {
        using device = new LoopDevice(10 * CHUNK_BYTES);
        const args = ["--on-error=zero", "-s", sparse, store.revision.path, device.path];
        assertGaps(await extract(args));
        for (const [offset, length] of gaps()) {
          assert(isFilled(device.read().subarray(offset, offset + length), 0));
        }
        assert(isFilled(device.read().subarray(store.image.length), 0xaa));
      }
    });
  },
);

Deno.test("--on-error=zero changes nothing where nothing is bad, and --on-error=abort is the default", async () => {
  const path = store.file("whole");
  assertSuccess(await extract(["--on-error=ZERO", store.revision.path, path]));
  assertBytes(Deno.readFileSync(path), store.image);
  await withGaps(async () => {
    for (const options of [[], ["--on-error=zero", "--on-error=abort"]]) {
      const { code, stderr } = await extract([...options, store.revision.path, path]);
      assertEquals(code, DATA);
      const notes =
        `backy-extract: "${path}" is incomplete\nbacky-extract: To go on, add --update, `;
      assert(stderr.includes(notes), stderr);
    }
  });
});

Deno.test("--on-error=zero does not hide that the target failed or that the run was interrupted", async () => {
  await withGaps(async () => {
    const full = await extract(["-q", "--on-error=zero", store.revision.path, "/dev/full"]);
    assertEquals(full.code, 4, full.stderr);
    const fifo = makeFifo(store.file("interrupted"));
    using reader = openIdleReader(fifo);
    const args = ["-q", "-t1", "--on-error=zero", store.revision.path, fifo];
    await using tool = startExtract(["--json", ...args]);
    await tool.untilSaid('"start"');
    // Something was written, and the rest does not fit into the pipe.
    await reader.read(new Uint8Array(4096));
    tool.signal("SIGTERM");
    assertEquals((await tool.outcome()).code, 143);
  });
});

Deno.test("--report writes what was restored and each bad range as JSON, one object", async () => {
  const report = store.file("report.json");
  const target = store.file("reported");
  await withGaps(async () => {
    assertGaps(await extract(["--on-error=zero", "--report", report, store.revision.path, target]));
  });
  const [object, ...more] = parseJsonLines(Deno.readTextFileSync(report));
  assertEquals(more, []);
  const { revision, badRanges, imageBytes } = object!;
  assertEquals([revision, object!.target, imageBytes], [
    ...["SampleRevision", target, store.image.length],
  ]);
  // deno-lint-ignore no-explicit-any
  assertEquals(badRanges.map((range: any) => [range.offset, range.length, range.chunkId]), gaps());
  const lost = gaps().reduce((sum, [, length]) => sum + Number(length), 0);
  assertEquals([object!.badRangeCount, object!.badBytes, object!.badChunks], [3, lost, 2]);
  assertEquals(badRanges[0].reason, "missing");
  assert(["hash", "encoding"].includes(badRanges[2].reason));
  for (const { detail } of badRanges) assertMatch(detail, /^Cannot (read|use) chunk "/);
});

Deno.test("--report of a complete restore lists nothing; an empty file left by a killed one is fine", async () => {
  const report = store.file("empty-report", "");
  const args = ["-q", "--on-error=zero", "--report", report];
  assertSuccess(await extract([...args, store.revision.path, store.file("complete")]));
  assertEquals(parseJsonLines(Deno.readTextFileSync(report))[0]!.badRanges, []);
});

Deno.test("--report is refused before anything is written if it could not be written or would do harm", async () => {
  const target = store.file("kept-target", "old");
  const used = store.file("used-report", "{}\n");
  Deno.symlinkSync(target, store.file("link-to-target"));
  Deno.symlinkSync(".", store.file("this"));
  const empty = store.file("empty-target", "");
  const before = store.namesBeside();
  const cases: [report: string, output: string, state: string][] = [
    [used, target, "it exists and is not empty; name another file"],
    [store.revision.path, target, "it exists and is not empty; name another file"],
    [store.file("nowhere/report"), target, "No such file or directory (ENOENT)"],
    [`${used}/report`, target, "Not a directory (ENOTDIR)"],
    [store.file("."), target, "it is not a regular file"],
    ["/dev/null", target, "it is not a regular file"],
    [empty, empty, "the image is restored to it"],
    [store.file("./this/new"), store.file("new"), "the image is restored to it"],
  ];
  for (const dry of [[], ["-n"]]) {
    for (const [report, output, state] of cases) {
      const args = [...dry, "--on-error=zero", "--report", report, store.revision.path, output];
      assertFailure(await extract(args), {
        code: USAGE,
        says: [`Cannot use option "--report": "${report}": ${state}`],
      });
    }
  }
  assertEquals(store.namesBeside(), before);
  assertEquals(Deno.readTextFileSync(target), "old");
});

testUnless(
  mountProblem(),
  "A report that cannot be written is reported, and even a complete restore then fails",
  async () => {
    using disk = new Mount("-t", "tmpfs", "-o", "size=64k", "tmpfs");
    Deno.writeFileSync(`${disk.path}/full`, new Uint8Array(65_536));
    const report = `${disk.path}/report`;
    const args = ["--on-error=zero", "--report", report, store.revision.path, "/dev/null"];
    const says = [`warning: Cannot write report "${report}": No space left on device (ENOSPC)`];
    const outcome = await extract(args);
    assertFailure(outcome, { code: 1, says });
    assertMatch(outcome.stderr, /\nRestored .*\n$/);
    const { stderr } = await extract(["--json", ...args]);
    assertEquals(parseJsonLines(stderr).slice(-2).map(({ type }) => type), ["warning", "summary"]);
    await withGaps(async () => assertEquals((await extract(args)).code, DATA));
  },
);

Deno.test("A restore that fails leaves no report, and one that was there empty stays", async () => {
  for (const content of [undefined, ""]) {
    const report = store.file(`report-${content}`, content);
    const args = ["-q", "--on-error=zero", "--report", report, store.revision.path];
    assertEquals((await extract([...args, "/"])).code, 4);
    assertEquals(store.namesBeside().includes(`report-${content}`), content === "");
  }
});

Deno.test("--also takes bad chunks from another backup, and the summary says how many", async () => {
  const path = store.file("lent");
  await withGaps(async () => {
    for (const onError of ["abort", "zero"]) {
      const args = ["--on-error", onError, "--also", spare.basedir, store.revision.path];
      const toFile = await extract([...args, path]);
      assertSuccess(toFile);
      assertMatch(toFile.stderr, new RegExp(`^2 chunks came from "${spare.basedir}"$`, "m"));
      assertBytes(Deno.readFileSync(path), store.image);
      const piped = await extract(args);
      assertSuccess(piped);
      assertBytes(piped.stdout, store.image);
    }
  });
  const unneeded = await extract(["--also", spare.basedir, store.revision.path, path]);
  assertMatch(unneeded.stderr, /^0 chunks came from /m);
});

Deno.test("--also may be repeated: each bad chunk comes from the first that has a good copy", async () => {
  using third = new SampleStore();
  const path = store.file("lent-by-two");
  await withGaps(async () => {
    await spare.withDamage(spare.chunkFileAt(Seq.LAST), corrupt, async () => {
      const also = ["--also", spare.basedir, "--also", third.basedir];
      const { stderr } = await extract(["--json", ...also, store.revision.path, path]);
      assertBytes(Deno.readFileSync(path), store.image);
      assertEquals(parseJsonLines(stderr).at(-1)!.lentChunks, [
        { dir: spare.basedir, chunks: 1 },
        { dir: third.basedir, chunks: 1 },
      ]);
      const only = ["--on-error=zero", "--also", spare.basedir, store.revision.path];
      const { code, stdout } = await extract(only);
      assertEquals(code, DATA);
      assertBytes(stdout, store.imageWithout(Seq.LAST));
    });
  });
});

Deno.test("--also with a path that is not a backup directory is refused before anything is created: exit 10", async () => {
  const before = store.namesBeside();
  for (const dir of [store.file("nowhere"), store.file("."), store.revision.path]) {
    const outcome = await extract(["--also", dir, store.revision.path, store.file("not-made")]);
    assertFailure(outcome, { code: 10, says: [/^Cannot open backup directory ".*": /] });
  }
  assertEquals(store.namesBeside(), before);
});

testUnless(
  programProblem("flock"),
  "--also takes that directory's purge lock as well, and says which lock it waits for",
  async () => {
    const lock = Deno.openSync(`${spare.basedir}/.purge`, { read: true, write: true });
    lock.lockSync(true);
    try {
      const args = ["--lock-timeout=0", "--also", spare.basedir, store.revision.path];
      const outcome = await extract([...args, store.file("not-made")]);
      assertEquals(outcome.code, 11, outcome.stderr);
      assert(outcome.stderr.includes(`Obtaining purge lock of "${spare.basedir}"\n`));
      assert(messagesOf(outcome.stderr)[0]!.includes(spare.basedir), outcome.stderr);
    } finally {
      lock.close();
    }
    assert(runSync("ls", store.file(".")).includes("not-made") === false);
  },
);

Deno.test("Of more than ten bad chunks, only the first are named while the restore goes on", async () => {
  using other = new SampleStore();
  const chunks = Array.from({ length: 14 }, (_, seq) => new Uint8Array(CHUNK_BYTES).fill(seq + 1));
  const { path, ids } = other.add("Many", chunks);
  for (const id of ids) {
    Deno.removeSync(`${other.basedir}/chunks/${id!.slice(0, 2)}/${id}.chunk.lzo`);
  }
  const { code, stdout, stderr } = await extract(["--on-error=zero", path]);
  assertEquals([code, stdout.length], [DATA, 14 * CHUNK_BYTES]);
  const warnings = messagesOf(stderr);
  assertEquals(warnings.length, 11, stderr);
  assertEquals(warnings[10], "warning: 4 more chunks missing or corrupt");
  assertEquals(tableOf(stderr).length, 14);
});
