/**
 * What libfuse passes to callbacks: each C parameter with its type and the field of a request that
 * it becomes.
 *
 * Pointers are valid during the callback only, so everything is copied, except the bytes of a
 * write. `operations.ts` says which request has which parameters; `dispatcher.ts` reads them.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { FuseError } from "./errors.ts";
import type { AttributeChanges } from "./handlers.ts";
import { FILE_INFO, FORGET_DATA, SetAttr, STAT, TIMESPEC } from "./structs.ts";

/**
 * FFI types of the C types that are not pointers, on 64-bit Linux. A test compares width and sign
 * with the compiler's.
 */
export const SCALAR_TYPES = {
  dev_t: "u64",
  fuse_ino_t: "u64",
  int: "i32",
  mode_t: "u32",
  off_t: "i64",
  size_t: "usize",
  uint64_t: "u64",
  unsigned: "u32",
} as const;

/** FFI type of a C declaration such as "const char *name" or "size_t size". */
type TypeOf<D extends string> = D extends `${string}*${string}` ? "pointer"
  : D extends `${infer T extends keyof typeof SCALAR_TYPES} ${string}` ? typeof SCALAR_TYPES[T]
  : never;

/** What the runtime makes of such a value. */
type ValueOf<D extends string> = TypeOf<D> extends "pointer" ? Deno.PointerValue
  : TypeOf<D> extends "i32" | "u32" ? number
  : bigint;

/** Values of several declarations, with ", " between them. */
type ValuesOf<L extends string> = L extends `${infer D}, ${infer Rest}`
  ? [ValueOf<D>, ...ValuesOf<Rest>]
  : [ValueOf<L>];

/** One or more C parameters, and how they become fields of a request. */
export interface Parameter<Fields> {
  /** As in fuse_lowlevel.h, such as "const char *name". */
  readonly declarations: readonly string[];
  readonly types: readonly Deno.NativeType[];
  /**
   * Sets the fields, from the first two values.
   *
   * @throws {FuseError} If no handler could be asked such a thing.
   */
  // deno-lint-ignore no-explicit-any -- parameter() types them, by the declarations
  readonly read: (op: Fields, first: any, second: any) => void;
}

/** Any parameter. */
export type AnyParameter = Parameter<never>;

function parameter<const L extends string, Fields>(
  list: L,
  read: (op: Fields, ...values: ValuesOf<L>) => void,
): Parameter<Fields> {
  const declarations = list.split(", ");
  return { declarations, types: declarations.map(typeOf), read: read as Parameter<Fields>["read"] };
}

function typeOf(declaration: string): Deno.NativeType {
  if (declaration.includes("*")) return "pointer";
  return SCALAR_TYPES[declaration.split(" ")[0] as keyof typeof SCALAR_TYPES];
}

/**
 * Reads what C passed behind `fuse_req_t req`. @throws {FuseError} As {@linkcode Parameter.read}.
 */
export function readParameters(
  parameters: readonly AnyParameter[],
  args: readonly unknown[],
): unknown {
  const op = {};
  let at = 0;
  for (const { types, read } of parameters) {
    read(op as never, args[at], args[at + 1]);
    at += types.length;
  }
  return op;
}

export const INO = parameter("fuse_ino_t ino", (op: { ino: number }, ino) => op.ino = Number(ino));
export const PARENT = parameter(
  "fuse_ino_t parent",
  (op: { parent: number }, parent) => op.parent = Number(parent),
);
export const NEW_PARENT = parameter(
  "fuse_ino_t newparent",
  (op: { newParent: number }, parent) => op.newParent = Number(parent),
);
export const NAME = parameter(
  "const char *name",
  (op: { name: string }, name) => op.name = readString(name),
);
export const NEW_NAME = parameter(
  "const char *newname",
  (op: { newName: string }, name) => op.newName = readString(name),
);
export const LINK_TARGET = parameter(
  "const char *link",
  (op: { target: string }, link) => op.target = readString(link),
);
export const MODE = parameter("mode_t mode", (op: { mode: number }, mode) => op.mode = mode);
export const RDEV = parameter("dev_t rdev", (op: { rdev: number }, dev) => op.rdev = Number(dev));
export const RENAME_FLAGS = parameter(
  "unsigned int flags",
  (op: { flags: number }, flags) => op.flags = flags,
);
export const CHANGES = parameter(
  "struct stat *attr, int to_set",
  (op: { changes: AttributeChanges }, attr, toSet) => op.changes = readChanges(attr, toSet),
);
export const ACCESS_MASK = parameter("int mask", (op: { mask: number }, mask) => op.mask = mask);
export const LOOKUPS = parameter(
  "uint64_t nlookup",
  (op: { lookups: number }, lookups) => op.lookups = Number(lookups),
);
export const FORGETS = parameter(
  "size_t count, struct fuse_forget_data *forgets",
  (op: { forgets: Forget[] }, count, forgets) => op.forgets = readForgets(forgets, Number(count)),
);

export const SIZE = parameter("size_t size", (op: { size: number }, n) => op.size = Number(n));
export const OFFSET = parameter("off_t off", (op: { offset: number }, n) => op.offset = Number(n));
export const LENGTH = parameter(
  "off_t length",
  (op: { length: number }, length) => op.length = Number(length),
);
export const ALLOCATION_MODE = parameter(
  "int mode",
  (op: { mode: number }, mode) => op.mode = mode,
);
export const WHENCE = parameter("int whence", (op: { whence: number }, n) => op.whence = n);
export const DATA_ONLY = parameter(
  "int datasync",
  (op: { dataOnly: boolean }, datasync) => op.dataOnly = datasync !== 0,
);
/** A view of libfuse's memory, not a copy. */
export const LENT_DATA = parameter(
  "const char *buf, size_t size",
  (op: { data: Uint8Array<ArrayBuffer> }, buf, size) => op.data = viewBytes(buf, size),
);

export const ATTRIBUTE_VALUE = parameter(
  "const char *value, size_t size",
  (op: { value: Uint8Array<ArrayBuffer> }, value, size) =>
    op.value = viewBytes(value, size).slice(),
);
export const ATTRIBUTE_FLAGS = parameter(
  "int flags",
  (op: { flags: number }, flags) => op.flags = flags,
);

export const HANDLE = parameter(
  "struct fuse_file_info *fi",
  (op: { handle: number }, fi) => op.handle = readHandle(viewOf(fi)),
);
/** NULL if the request is not about an open file. */
export const OPTIONAL_HANDLE = parameter(
  "struct fuse_file_info *fi",
  (op: { handle: number | null }, fi) => op.handle = fi && readHandle(viewOf(fi)),
);
export const OPEN_FLAGS = parameter(
  "struct fuse_file_info *fi",
  (op: { flags: number }, fi) => op.flags = viewOf(fi).getInt32(FILE_INFO.flags),
);
export const HANDLE_AND_FLAGS = parameter(
  "struct fuse_file_info *fi",
  (op: { handle: number; flags: number }, fi) => {
    const view = viewOf(fi);
    op.handle = readHandle(view);
    op.flags = view.getInt32(FILE_INFO.flags);
  },
);

/** The arguments of `ioctl`, which is always refused. */
export const IOCTL_ARGUMENTS = parameter(
  "unsigned int cmd, void *arg, struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_bufsz, size_t out_bufsz",
  () => {},
);

/** Views memory of C. @throws {TypeError} If it is NULL, against libfuse's documentation. */
function viewOf(pointer: Deno.PointerValue): Deno.UnsafePointerView {
  if (pointer === null) throw new TypeError("Cannot read an argument of libfuse: it is NULL");
  return new Deno.UnsafePointerView(pointer);
}

/** @throws {FuseError} EINVAL if it is not UTF-8: decoded, it would be another name. */
function readString(pointer: Deno.PointerValue): string {
  const text = viewOf(pointer).getCString();
  // The runtime puts U+FFFD in place of what is not UTF-8. A name that really holds one is refused
  // as well.
  if (text.includes("\uFFFD")) throw new FuseError(Errno.EINVAL);
  return text;
}

function readHandle(fileInfo: Deno.UnsafePointerView): number {
  return Number(fileInfo.getBigUint64(FILE_INFO.fh));
}

/** @param toSet Or-ed {@linkcode SetAttr}s: which members of the `struct stat` to read. */
function readChanges(pointer: Deno.PointerValue, toSet: number): AttributeChanges {
  const view = viewOf(pointer);
  const changes: AttributeChanges = {};
  if (toSet & SetAttr.FUSE_SET_ATTR_MODE) changes.mode = view.getUint32(STAT.st_mode);
  if (toSet & SetAttr.FUSE_SET_ATTR_UID) changes.uid = view.getUint32(STAT.st_uid);
  if (toSet & SetAttr.FUSE_SET_ATTR_GID) changes.gid = view.getUint32(STAT.st_gid);
  if (toSet & SetAttr.FUSE_SET_ATTR_SIZE) changes.size = Number(view.getBigInt64(STAT.st_size));
  if (toSet & SetAttr.FUSE_SET_ATTR_ATIME) changes.atimeMs = readTime(view, STAT.st_atim);
  if (toSet & SetAttr.FUSE_SET_ATTR_MTIME) changes.mtimeMs = readTime(view, STAT.st_mtim);
  if (toSet & SetAttr.FUSE_SET_ATTR_CTIME) changes.ctimeMs = readTime(view, STAT.st_ctim);
  if (toSet & SetAttr.FUSE_SET_ATTR_ATIME_NOW) changes.atimeMs = "now";
  if (toSet & SetAttr.FUSE_SET_ATTR_MTIME_NOW) changes.mtimeMs = "now";
  return changes;
}

function readTime(view: Deno.UnsafePointerView, offset: number): number {
  return Number(view.getBigInt64(offset + TIMESPEC.tv_sec)) * 1000 +
    Number(view.getBigInt64(offset + TIMESPEC.tv_nsec)) / 1e6;
}

function viewBytes(pointer: Deno.PointerValue, size: bigint): Uint8Array<ArrayBuffer> {
  if (size === 0n) return new Uint8Array();
  return new Uint8Array(viewOf(pointer).getArrayBuffer(Number(size)));
}

/** How many references to an inode are dropped. */
interface Forget {
  readonly ino: number;
  readonly lookups: number;
}

function readForgets(pointer: Deno.PointerValue, count: number): Forget[] {
  const view = viewOf(pointer);
  return Array.from({ length: count }, (_, index) => ({
    ino: Number(view.getBigUint64(index * FORGET_DATA.bytes + FORGET_DATA.ino)),
    lookups: Number(view.getBigUint64(index * FORGET_DATA.bytes + FORGET_DATA.nlookup)),
  }));
}
