import { fromFirstGood, inFile, unreadable } from "../../lib/chunk/chunk_file.ts";
import { ChunkCorruptError, ChunkMissingError, OsError } from "../../lib/errors.ts";
import { Errno, errnoName, osError } from "../../lib/linux/errno.ts";
import { assert, assertEquals, assertInstanceOf, assertThrows } from "../assert.ts";

const PATH = "/srv/aa/x.chunk.lzo";
const CHUNK = { id: "c".repeat(32), seqs: () => [7] };

function failureOf(errno: number): unknown {
  return unreadable(PATH, CHUNK, osError(errno, { syscall: "read", path: PATH }));
}

Deno.test("unreadable() reports a missing chunk if the file is absent or unreadable", () => {
  const { ENOENT, ENOTDIR, ELOOP, EISDIR, EIO, EUCLEAN, EBADMSG, EREMOTEIO, ENODATA } = Errno;
  for (const errno of [ENOENT, ENOTDIR, ELOOP, EISDIR, EIO, EUCLEAN, EBADMSG, EREMOTEIO, ENODATA]) {
    assertInstanceOf(failureOf(errno), ChunkMissingError, errnoName(errno));
  }
});

Deno.test("unreadable() gives a next step if the error says nothing about the chunk", () => {
  const cases: [advice: string, errnos: number[]][] = [
    ["run this as a user who may read it (see ls -l)", [Errno.EACCES, Errno.EPERM]],
    ["unlock its encrypted directory", [Errno.ENOKEY]],
    ["try again", [Errno.EAGAIN, Errno.EBUSY]],
    ["bring the storage of the backup back", [Errno.ENOTCONN, Errno.ESTALE, Errno.ETIMEDOUT]],
    ["raise the limit of open files (ulimit -n)", [Errno.EMFILE]],
    ["free some memory", [Errno.ENOMEM]],
  ];
  for (const [advice, errnos] of cases) {
    for (const errno of errnos) {
      const error = failureOf(errno);
      assertInstanceOf(error, OsError);
      const start = `Cannot read chunk "${CHUNK.id}" (seq 7, image bytes 29360128 to 33554431): ` +
        `Cannot read "${PATH}": `;
      assert(error.message.startsWith(start), error.message);
      assert(error.message.endsWith(` (${errnoName(errno)}); ${advice}`), error.message);
      assertEquals([error.errno, error.path], [errno, PATH]);
    }
  }
});

Deno.test("unreadable() leaves other errors as they are", () => {
  for (const error of [new TypeError("a bug"), undefined]) {
    assertEquals(unreadable(PATH, CHUNK, error), error);
  }
});

Deno.test("inFile() names a file for the end of a message", () => {
  assertEquals(inFile("/a\nb"), ' (file "/a\\nb")');
});

Deno.test("fromFirstGood() reports an unreadable copy rather than a damaged one", () => {
  const fields = { chunkId: CHUNK.id, seqs: [], path: PATH };
  const missing = new ChunkMissingError("missing", fields);
  const corrupt = new ChunkCorruptError("corrupt", { ...fields, reason: "hash" });
  const denied = failureOf(Errno.EACCES);
  const attempt = (copy: unknown) => {
    if (copy === "good") return copy;
    throw copy;
  };
  for (const dirs of [["good", missing], [missing, "good"], [denied, corrupt, "good"]]) {
    assertEquals(fromFirstGood(dirs, attempt), "good");
  }
  assertEquals(fromFirstGood(["good", "good"], (_, index) => index), 0);
  for (const dirs of [[denied, missing], [missing, denied], [corrupt, missing, denied]]) {
    assertEquals(assertThrows(() => fromFirstGood(dirs, attempt)), denied);
  }
  assertEquals(assertThrows(() => fromFirstGood([corrupt, missing], attempt)), corrupt);
  const bug = new TypeError("a bug");
  assertEquals(assertThrows(() => fromFirstGood([bug, "good"], attempt)), bug);
});
