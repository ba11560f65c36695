import * as errors from "../lib/errors.ts";
import { assert, assertEquals, assertInstanceOf } from "./assert.ts";

const CHUNK = {
  chunkId: "4db6e194fd398e8edb76e11054d73eb0",
  seqs: [17, 4_194_303],
  path: "/srv/backy/vm0/chunks/4d/4db6e194fd398e8edb76e11054d73eb0.chunk.lzo",
};
const OS = { errno: 28, errnoName: "ENOSPC", syscall: "pwrite", path: "/mnt/image" };

/** Makes an error of every class that `errors.ts` exports. */
const MAKERS: readonly ((options?: ErrorOptions) => errors.BackyError)[] = [
  (options) => new errors.UsageError('Cannot use option "-x": no such option', options),
  (options) => new errors.LockError("Cannot lock", options),
  (options) => new errors.StoreFormatError("Cannot open", { path: "/s" }, options),
  (options) => new errors.RevisionError("Cannot read", { path: "/s/r" }, options),
  (options) => new errors.ChunkMissingError("Cannot read", CHUNK, options),
  ...(["header", "encoding", "size", "hash"] as const).map((reason) => (options?: ErrorOptions) =>
    new errors.ChunkCorruptError("Cannot use", { ...CHUNK, reason }, options)
  ),
  (options) => new errors.TargetError("Cannot write", { path: "/t", offset: 2 ** 45 }, options),
  (options) => new errors.TargetError("Cannot restore", { path: "/t", offset: null }, options),
  (options) => new errors.MountError("Cannot mount", options),
  (options) => new errors.InterruptedError("Interrupted", { signal: "SIGHUP" }, options),
  (options) => new errors.InterruptedError("Interrupted", { signal: "SIGINT" }, options),
  (options) => new errors.InterruptedError("Interrupted", { signal: "SIGTERM" }, options),
  (options) => new errors.OsError("Cannot write", OS, options),
  (options) => new errors.ResourceError("Cannot start", options),
  (options) => new errors.WorkerError("Cannot go on", options),
];

/** Sends an error the way a worker does. */
function roundTrip(error: unknown): errors.BackyError {
  return errors.fromWireError(structuredClone(errors.toWireError(error)));
}

/** Everything about an error that a caller may look at, causes included. */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { message, stack, name } = error;
  const { cause: _cause, ...fields } = { ...error };
  return { type: error.constructor, name, message, stack, fields, cause: describe(error.cause) };
}

for (const make of MAKERS) {
  const error = make();
  const fields = JSON.stringify({ ...error, name: undefined });
  Deno.test(`toWireError() and fromWireError() keep ${error.name} ${fields}`, () => {
    assertEquals(describe(roundTrip(error)), describe(error));
    assertInstanceOf(roundTrip(error), errors.BackyError);
    assertEquals(error.cause, undefined);
    assertEquals("cause" in roundTrip(error), false);
  });

  Deno.test(`toWireError() and fromWireError() keep the causes of ${error.name} ${fields}`, () => {
    const cause = new errors.OsError("Cannot write", OS, { cause: new errors.WorkerError("x") });
    const withCause = make({ cause });
    assertEquals(describe(roundTrip(withCause)), describe(withCause));
    assertInstanceOf(roundTrip(withCause).cause, errors.OsError);
  });
}

Deno.test("errors_test.ts has a case for every error class", () => {
  const classes = Object.values(errors).filter((value) =>
    typeof value === "function" && value.prototype instanceof errors.BackyError
  );
  const tested = new Set(MAKERS.map((make) => make().constructor as unknown));
  assertEquals(tested, new Set<unknown>(classes));
});

Deno.test("Every error class has a code and a name of its own", () => {
  const instances = MAKERS.map((make) => make());
  const classes = new Set(instances.map((error) => error.constructor));
  assertEquals(new Set(instances.map((error) => error.code)).size, classes.size);
  for (const error of instances) {
    assertEquals(error.name, error.constructor.name);
    assert(/^[a-z]+(-[a-z]+)*$/.test(error.code), error.code);
    assertEquals(String(error), `${error.name}: ${error.message}`);
  }
});

Deno.test("fromWireError() makes a foreign error a WorkerError with its name, message and stack", () => {
  const foreign = new TypeError("x is not a function");
  const rebuilt = roundTrip(foreign);
  assertInstanceOf(rebuilt, errors.WorkerError);
  assertEquals(rebuilt.message, "TypeError: x is not a function");
  assertEquals(rebuilt.stack, foreign.stack);
});

Deno.test("fromWireError() takes what is not even an error", () => {
  for (const [thrown, message] of [["text", "text"], [undefined, "undefined"], [7, "7"]]) {
    const rebuilt = roundTrip(thrown);
    assertInstanceOf(rebuilt, errors.WorkerError);
    assertEquals(rebuilt.message, message as string);
  }
});

Deno.test("fromWireError() keeps a foreign cause of an error of ours", () => {
  const cause = new RangeError("offset is out of bounds");
  const rebuilt = roundTrip(new errors.TargetError("x", { path: "/t", offset: 0 }, { cause }));
  assertInstanceOf(rebuilt, errors.TargetError);
  assertInstanceOf(rebuilt.cause, errors.WorkerError);
  assertEquals((rebuilt.cause as Error).message, "RangeError: offset is out of bounds");
});
