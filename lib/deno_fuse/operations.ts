/**
 * The table of requests: for each member of `struct fuse_lowlevel_ops` (fuse_lowlevel.h) its
 * parameters, how it is answered, and what it gets if the file system has no handler for it.
 *
 * A new request is a handler's type in `handlers.ts` and a row here. `dispatcher.ts` runs the rows;
 * `parameters.ts` reads arguments and `reply.ts` sends answers.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import type { Entry } from "./answers.ts";
import type { HandlerName, Handlers } from "./handlers.ts";
import {
  ACCESS_MASK,
  ALLOCATION_MODE,
  type AnyParameter,
  ATTRIBUTE_FLAGS,
  ATTRIBUTE_VALUE,
  CHANGES,
  DATA_ONLY,
  FORGETS,
  HANDLE,
  HANDLE_AND_FLAGS,
  INO,
  IOCTL_ARGUMENTS,
  LENGTH,
  LENT_DATA,
  LINK_TARGET,
  LOOKUPS,
  MODE,
  NAME,
  NEW_NAME,
  NEW_PARENT,
  OFFSET,
  OPEN_FLAGS,
  OPTIONAL_HANDLE,
  type Parameter,
  PARENT,
  RDEV,
  RENAME_FLAGS,
  SIZE,
  WHENCE,
} from "./parameters.ts";
import type { Replier, RequestPointer } from "./reply.ts";

/** One kind of request. */
export interface Operation<Op, Result> {
  /** What C passes behind `fuse_req_t req`. */
  readonly parameters: readonly Parameter<Op>[];
  /** Sends the answer. Returns what `fuse_reply_*` returns. */
  readonly reply: (to: Replier, req: RequestPointer, result: Result, op: Op) => number;
  /**
   * Takes back what the handler did if its answer could not be delivered: the kernel will not ask
   * for that.
   */
  readonly undo?: (handlers: Handlers, result: Result, op: Op) => unknown;
  /**
   * Errno if there is no handler; "read-only" is EROFS or EPERM. Without it, libfuse answers by
   * itself.
   */
  readonly absent?: number | "read-only";
  /** Whether the request holds a view of libfuse's memory. */
  readonly isLending?: boolean;
}

/** An operation whose types do not matter to the dispatcher. */
// deno-lint-ignore no-explicit-any
export type AnyOperation = Operation<any, any>;

/** Requests that a row describes. `forget` is not among them, because it has no answer. */
export type OperationName = Exclude<HandlerName, "forget">;
type Handler<N extends OperationName> = NonNullable<Handlers[N]>;
type Op<N extends OperationName> = Parameters<Handler<N>>[0];
type Result<N extends OperationName> = Awaited<ReturnType<Handler<N>>>;

/** A request that asks for nothing but success. */
function plain<const P extends readonly AnyParameter[]>(...parameters: P) {
  return { parameters, reply: replyDone };
}

/** A request that changes a directory. */
function change<const P extends readonly AnyParameter[]>(...parameters: P) {
  return { parameters, reply: replyDone, absent: "read-only" } as const;
}

/** A request that adds a name to a directory. */
function creation<const P extends readonly AnyParameter[]>(...parameters: P) {
  return { parameters, reply: replyEntry, undo: forgetEntry, absent: "read-only" } as const;
}

function replyDone(to: Replier, req: RequestPointer): number {
  return to.error(req, 0);
}

function replyEntry(to: Replier, req: RequestPointer, entry: Entry | null): number {
  return to.entry(req, entry);
}

/** Drops the reference that the kernel would have got with an entry. */
function forgetEntry(handlers: Handlers, entry: Entry | null): void {
  if (entry) handlers.forget?.({ ino: entry.attributes.ino, lookups: 1 });
}

export const OPERATIONS = {
  lookup: { parameters: [PARENT, NAME], reply: replyEntry, undo: forgetEntry },
  getattr: {
    parameters: [INO, OPTIONAL_HANDLE],
    reply: (to, req, attributes) => to.attributes(req, attributes),
  },
  setattr: {
    parameters: [INO, CHANGES, OPTIONAL_HANDLE],
    reply: (to, req, attributes) => to.attributes(req, attributes),
    absent: "read-only",
  },
  readlink: {
    parameters: [INO],
    reply: (to, req, target) => to.link(req, target),
    absent: Errno.EINVAL,
  },
  mknod: creation(PARENT, NAME, MODE, RDEV),
  mkdir: creation(PARENT, NAME, MODE),
  symlink: creation(LINK_TARGET, PARENT, NAME),
  link: creation(INO, NEW_PARENT, NEW_NAME),
  unlink: change(PARENT, NAME),
  rmdir: change(PARENT, NAME),
  rename: change(PARENT, NAME, NEW_PARENT, NEW_NAME, RENAME_FLAGS),

  open: {
    parameters: [INO, OPEN_FLAGS],
    reply: (to, req, opened) => to.opened(req, opened),
    undo: (handlers, { handle = 0 }, { ino, flags }) =>
      handlers.release?.({ ino, handle, flags }, null),
  },
  create: {
    parameters: [PARENT, NAME, MODE, OPEN_FLAGS],
    reply: (to, req, created) => to.created(req, created),
    undo: (handlers, { entry, file: { handle = 0 } }, { flags }) => {
      forgetEntry(handlers, entry);
      return handlers.release?.({ ino: entry.attributes.ino, handle, flags }, null);
    },
    absent: "read-only",
  },
  read: {
    parameters: [INO, SIZE, OFFSET, HANDLE_AND_FLAGS],
    reply: (to, req, data, { size }) => to.data(req, data, size),
    absent: Errno.EINVAL,
  },
  write: {
    parameters: [INO, LENT_DATA, OFFSET, HANDLE],
    reply: (to, req, count, { data }) => to.written(req, count ?? data.length, data.length),
    absent: Errno.EROFS,
    isLending: true,
  },
  flush: plain(INO, HANDLE),
  release: plain(INO, HANDLE_AND_FLAGS),
  fsync: plain(INO, DATA_ONLY, HANDLE),
  fallocate: plain(INO, ALLOCATION_MODE, OFFSET, LENGTH, HANDLE),
  lseek: {
    parameters: [INO, OFFSET, WHENCE, HANDLE],
    reply: (to, req, offset) => to.offset(req, offset),
  },

  opendir: {
    parameters: [INO, OPEN_FLAGS],
    reply: (to, req, opened) => to.opened(req, opened),
    undo: (handlers, { handle = 0 }, { ino, flags }) =>
      handlers.releasedir?.({ ino, handle, flags }, null),
  },
  readdir: {
    parameters: [INO, SIZE, OFFSET, HANDLE],
    reply: (to, req, entries, { size }) => to.entries(req, entries, size),
  },
  readdirplus: {
    parameters: [INO, SIZE, OFFSET, HANDLE],
    reply: (to, req, entries, { size }) => to.entriesPlus(req, entries, size),
  },
  releasedir: plain(INO, HANDLE_AND_FLAGS),
  fsyncdir: plain(INO, DATA_ONLY, HANDLE),

  statfs: { parameters: [INO], reply: (to, req, space) => to.space(req, space) },
  access: plain(INO, ACCESS_MASK),
  setxattr: plain(INO, NAME, ATTRIBUTE_VALUE, ATTRIBUTE_FLAGS),
  getxattr: {
    parameters: [INO, NAME, SIZE],
    reply: (to, req, value, { size }) => to.extendedAttribute(req, value, size),
  },
  listxattr: {
    parameters: [INO, SIZE],
    reply: (to, req, names, { size }) => to.extendedNames(req, names, size),
  },
  removexattr: plain(INO, NAME),
} satisfies { readonly [N in OperationName]: Operation<Op<N>, Result<N>> };

/** Fields of requests that no parameter sets; a compile error names them. */
type Unset = {
  [N in OperationName]: Exclude<
    keyof Op<N>,
    (typeof OPERATIONS)[N]["parameters"][number] extends infer P
      ? P extends Parameter<infer Fields> ? keyof Fields : never
      : never
  >;
}[OperationName];
null as Unset | null satisfies null;

/** Parameters of requests that have no answer, or always the same. */
export const OTHER_PARAMETERS = {
  forget: [INO, LOOKUPS],
  forget_multi: [FORGETS],
  ioctl: [INO, IOCTL_ARGUMENTS],
} as const;
