import {
  ChunkCorruptError,
  OsError,
  RevisionError,
  StoreFormatError,
  WorkerError,
} from "../../lib/errors.ts";
import { errnoFor } from "../../lib/image_access/errno.ts";
import { Errno, errnoName } from "../../lib/linux/errno.ts";
import { assertEquals } from "../assert.ts";
import { missing } from "../pages/fake_chunks.ts";

function systemError(errno: number): OsError {
  return new OsError("Cannot", { errno, errnoName: errnoName(errno), syscall: "write", path: "" });
}

Deno.test("errnoFor() passes on errno values that concern the caller, and turns others into EIO", () => {
  const table: [name: keyof typeof Errno, reading: string, writing: string][] = [
    ["ENOSPC", "ENOSPC", "ENOSPC"],
    ["EROFS", "EROFS", "EROFS"],
    ["EDQUOT", "EDQUOT", "EDQUOT"],
    ["ENOMEM", "ENOMEM", "ENOMEM"],
    ["EACCES", "EIO", "EROFS"],
    ["EPERM", "EIO", "EROFS"],
    ["ENOENT", "EIO", "EIO"],
    ["EMFILE", "EIO", "EIO"],
    ["EIO", "EIO", "EIO"],
  ];
  for (const [name, reading, writing] of table) {
    const error = systemError(Errno[name]);
    assertEquals(errnoName(errnoFor(error)), reading, name);
    assertEquals(errnoName(errnoFor(error, { isWrite: true })), writing, name);
  }
});

Deno.test("errnoFor() turns every other error into EIO", () => {
  const fields = { chunkId: "", seqs: [], path: "", reason: "hash" as const };
  const errors = [
    missing("ab"),
    new ChunkCorruptError("x", fields),
    new RevisionError("x", { path: "" }),
    new StoreFormatError("x", { path: "" }),
    new WorkerError("x"),
    new TypeError("x"),
    "x",
    undefined,
  ];
  for (const error of errors) assertEquals(errnoFor(error, { isWrite: true }), Errno.EIO);
});
