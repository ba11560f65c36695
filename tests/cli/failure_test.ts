import {
  candidateLines,
  type ResumedCommand,
  targetNotes,
  type TouchedTarget,
} from "../../lib/cli/failure.ts";
import { formatLocalMinute } from "../../lib/cli/format.ts";
import {
  ChunkCorruptError,
  ChunkMissingError,
  InterruptedError,
  RevisionError,
  TargetError,
  UsageError,
  WorkerError,
} from "../../lib/errors.ts";
import { Errno, osError } from "../../lib/linux/errno.ts";
import { assertEquals } from "../assert.ts";
import "../support/libraries.ts";

function error(count: number, tags: readonly string[] = []): RevisionError {
  const candidates = Array.from({ length: count }, (_, at) => ({
    name: `rev${at}`,
    time: new Date(Date.UTC(2026, 0, 1, at)).toISOString(),
    tags,
  }));
  return new RevisionError("Cannot", { path: "/srv", candidates });
}

const dateOf = (hour: number) => formatLocalMinute(new Date(Date.UTC(2026, 0, 1, hour)));

Deno.test("candidateLines() gives no lines for other errors", () => {
  for (const other of [new UsageError("x"), new Error("x"), "x", null, error(0)]) {
    assertEquals(candidateLines(other), []);
  }
});

Deno.test("candidateLines() shows date as a list does, name and tags, a line each", () => {
  assertEquals(candidateLines(error(2, ["daily", "a b"])), [
    `candidate: ${dateOf(0)} rev0 "daily" "a b"`,
    `candidate: ${dateOf(1)} rev1 "daily" "a b"`,
  ]);
});

Deno.test("candidateLines() shows the last twenty, and counts those before", () => {
  assertEquals(candidateLines(error(20)).length, 20);
  const lines = candidateLines(error(1021));
  assertEquals(lines.slice(0, 2), [
    "1,001 candidates before these, not shown",
    `candidate: ${dateOf(1001)} rev1001`,
  ]);
  assertEquals([lines.length, lines.at(-1)], [21, `candidate: ${dateOf(1020)} rev1020`]);
});

Deno.test("candidateLines() escapes and cuts hostile tags", () => {
  const [line] = candidateLines(error(1, ["\x1b]0;\x07", "y".repeat(1000)]));
  assertEquals(line, `candidate: ${dateOf(0)} rev0 "\\x1b]0;\\x07" "${"y".repeat(40)}…"`);
});

const FILE = { path: "/t", access: "random" } as const;
const PLAIN: ResumedCommand = {
  update: false,
  base: undefined,
  sparse: "auto",
  partition: undefined,
};

function failure(errno: number): TargetError {
  const cause = osError(errno, { syscall: "write", path: "/t" });
  return new TargetError("Cannot write", { path: "/t", offset: 1 }, { cause });
}

Deno.test("targetNotes() names the command that completes a target that failed", () => {
  const cases: readonly [errno: number, command: ResumedCommand, says: string][] = [
    [Errno.EIO, PLAIN, "the same command with --update writes what is missing"],
    [Errno.ENOSPC, PLAIN, "make room, then run the same command with --update"],
    [Errno.EDQUOT, PLAIN, "make room, then run the same command with --update"],
    [Errno.EIO, { ...PLAIN, update: true }, "the same command writes what is missing"],
    [Errno.ENOSPC, { ...PLAIN, update: true }, "make room, then run the same command"],
    [
      Errno.EIO,
      { ...PLAIN, base: "last" },
      "the same command with --update instead of --base writes what is missing",
    ],
    [
      Errno.EIO,
      { ...PLAIN, sparse: "always" },
      "the same command with --update instead of --sparse=always writes what is missing",
    ],
  ];
  for (const [errno, command, says] of cases) {
    assertEquals(targetNotes(failure(errno), FILE, command), [`"/t" is incomplete: ${says}`]);
  }
});

Deno.test("targetNotes() names the command that goes on after a signal, or what else ended it", () => {
  const errors = [
    new InterruptedError("Interrupted by SIGINT", { signal: "SIGINT" }),
    osError(Errno.EACCES, { syscall: "open", path: "/s" }),
    new WorkerError("a worker ended"),
  ];
  for (const error of errors) {
    assertEquals(targetNotes(error, FILE, PLAIN), [
      '"/t" is incomplete: the same command with --update writes what is missing',
    ]);
    assertEquals(targetNotes(error, { ...FILE, access: "stream" }, PLAIN), ['"/t" is incomplete']);
    assertEquals(targetNotes(error, null, PLAIN), []);
  }
});

Deno.test("targetNotes() names what helps against a bad chunk", () => {
  const fields = { chunkId: "c", seqs: [1], path: "/s" };
  const also = "--also DIR for a good copy of the chunk elsewhere";
  const ways = `${also}, or --on-error=zero for zeros in its place`;
  const stream = { ...FILE, access: "stream" } as const;
  const cases: [target: TouchedTarget | null, command: ResumedCommand, notes: string[]][] = [
    [FILE, PLAIN, ['"/t" is incomplete', `To go on, add --update, and ${ways}`]],
    [FILE, { ...PLAIN, base: "R" }, [
      '"/t" is incomplete',
      `To go on, add --update instead of --base, and ${ways}`,
    ]],
    [FILE, { ...PLAIN, update: true }, ['"/t" is incomplete', `To go on, add ${ways}`]],
    [stream, PLAIN, ['"/t" is incomplete', `To go on, add ${ways}`]],
    [null, PLAIN, [`To go on, add ${ways}`]],
    // It may be the partition table's.
    [null, { ...PLAIN, partition: 1 }, [
      `To go on, add ${also}; if it has the partition table, list --partitions may still know ` +
      "which bytes to give to --range",
    ]],
  ];
  for (const [target, command, notes] of cases) {
    assertEquals(targetNotes(new ChunkMissingError("", fields), target, command), notes);
    const corrupt = new ChunkCorruptError("", { ...fields, reason: "encoding" });
    assertEquals(targetNotes(corrupt, target, command), notes);
  }
});

Deno.test("targetNotes() promises nothing where an update does not help", () => {
  const incomplete = ['"/t" is incomplete'];
  const stream = { path: "/t", access: "stream" } as const;
  assertEquals(targetNotes(failure(Errno.EPIPE), stream, PLAIN), incomplete);
  const stdout = { path: "standard output", access: "stream" } as const;
  assertEquals(targetNotes(failure(Errno.ENOSPC), stdout, PLAIN), [
    "standard output is incomplete",
  ]);
  const mismatch = new TargetError("It differs", { path: "/t", offset: 1 });
  assertEquals(targetNotes(mismatch, FILE, PLAIN), incomplete);
  const lost = new TargetError("Renamed", { path: "/t", offset: null, isDisplaced: true });
  assertEquals(targetNotes(lost, FILE, PLAIN), []);
  assertEquals(targetNotes(failure(Errno.EIO), null, PLAIN), []);
});
