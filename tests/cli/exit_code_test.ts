import { assert, assertEquals } from "../assert.ts";
import { EXIT_CODE_TABLE, ExitCode, exitCodeFor } from "../../lib/cli/exit_code.ts";
import * as errors from "../../lib/errors.ts";

const CHUNK = {
  chunkId: "4db6e194fd398e8edb76e11054d73eb0",
  seqs: [17],
  path: "/s/chunks/4d/4db6",
};
const OS = { errno: 28, errnoName: "ENOSPC", syscall: "pwrite", path: "/t" };

/**
 * One error of every class that `errors.ts` exports, with the exit code the table gives it.
 */
const CASES: readonly [errors.BackyError, number][] = [
  [new errors.UsageError("x"), 2],
  [new errors.ChunkMissingError("x", CHUNK), 3],
  [new errors.ChunkCorruptError("x", { ...CHUNK, reason: "hash" }), 3],
  [new errors.TargetError("x", { path: "/t", offset: null }), 4],
  [new errors.StoreFormatError("x", { path: "/s" }), 10],
  [new errors.RevisionError("x", { path: "/s/r" }), 10],
  [new errors.LockError("x"), 11],
  [new errors.MountError("x"), 1],
  [new errors.InterruptedError("x", { signal: "SIGHUP" }), 129],
  [new errors.InterruptedError("x", { signal: "SIGINT" }), 130],
  [new errors.InterruptedError("x", { signal: "SIGTERM" }), 143],
  [new errors.OsError("x", OS), 1],
  [new errors.ResourceError("x"), 1],
  [new errors.WorkerError("x"), 1],
];

for (const [error, code] of CASES) {
  const detail = error instanceof errors.InterruptedError ? ` (${error.signal})` : "";
  Deno.test(`exitCodeFor() gives ${code} for ${error.name}${detail}`, () => {
    assertEquals(exitCodeFor(error), code);
    assertEquals(exitCodeFor(errors.fromWireError(errors.toWireError(error))), code);
  });
}

Deno.test("exitCodeFor() is tested with every error class there is", () => {
  const classes = Object.values(errors)
    .filter((value) => typeof value === "function" && value.prototype instanceof errors.BackyError);
  const tested = new Set(CASES.map(([error]) => error.constructor as unknown));
  assertEquals(tested, new Set<unknown>(classes));
});

Deno.test("exitCodeFor() gives 1 for anything that is not an error of ours", () => {
  const values = [
    new Error("x"),
    new TypeError("x"),
    new Deno.errors.NotFound("x"),
    "x",
    null,
    undefined,
    0,
    {
      code: "usage",
    },
  ];
  for (const value of values) assertEquals(exitCodeFor(value), 1);
});

Deno.test("exitCodeFor() goes by the error, not by its cause", () => {
  const cause = new errors.OsError("x", OS);
  assertEquals(exitCodeFor(new errors.TargetError("x", { path: "/t", offset: 0 }, { cause })), 4);
  assertEquals(exitCodeFor(new Error("x", { cause: new errors.UsageError("x") })), 1);
});

Deno.test("EXIT_CODE_TABLE holds every exit code once, ascending", () => {
  const codes = EXIT_CODE_TABLE.map(({ code }) => code);
  assertEquals(codes, [0, 1, 2, 3, 4, 10, 11, 129, 130, 143]);
  assertEquals(new Set<number>(codes), new Set<number>(Object.values(ExitCode)));
  assert(EXIT_CODE_TABLE.every(({ meaning }) => meaning !== ""));
});
