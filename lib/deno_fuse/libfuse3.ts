/**
 * The functions of libfuse3's low-level interface, opened on first use.
 *
 * Nothing here knows what a request means: `session.ts` mounts and runs the loop with these
 * functions, `reply.ts` answers with them. All calls are synchronous except the receiving of a
 * request.
 *
 * @module
 */

import { MountError } from "./errors.ts";
import {
  type FileInfoBits,
  fileInfoBits,
  LIBFUSE_VERSION,
  type LibraryVersion,
} from "./structs.ts";

const NEW_VERSIONED = {
  parameters: [
    "buffer", // struct fuse_args *args
    "buffer", // const struct fuse_lowlevel_ops *op
    "usize", // size_t op_size
    "buffer", // struct libfuse_version *version
    "pointer", // void *userdata
  ],
  result: "pointer", // struct fuse_session *
  optional: true,
} as const;

const libfuseSymbols = {
  fuse_pkgversion: {
    parameters: [],
    result: "pointer", // const char *, such as "3.14.0"
  },
  // Which of these three there is depends on release and build: since 3.17 a program says which
  // interface it was written for, and some builds do without the older form (libfuse issue 1196).
  fuse_session_new: {
    parameters: [
      "buffer", // struct fuse_args *args
      "buffer", // const struct fuse_lowlevel_ops *op
      "usize", // size_t op_size
      "pointer", // void *userdata
    ],
    result: "pointer", // struct fuse_session *
    optional: true,
  },
  _fuse_session_new_317: NEW_VERSIONED,
  fuse_session_new_versioned: NEW_VERSIONED,
  fuse_opt_free_args: {
    parameters: [
      "buffer", // struct fuse_args *args
    ],
    result: "void",
  },
  fuse_session_mount: {
    parameters: [
      "pointer", // struct fuse_session *se
      "buffer", // const char *mountpoint
    ],
    result: "i32",
  },
  fuse_session_unmount: {
    parameters: [
      "pointer", // struct fuse_session *se
    ],
    result: "void",
  },
  fuse_session_destroy: {
    parameters: [
      "pointer", // struct fuse_session *se
    ],
    result: "void",
  },
  fuse_session_exit: {
    parameters: [
      "pointer", // struct fuse_session *se
    ],
    result: "void",
  },
  fuse_session_exited: {
    parameters: [
      "pointer", // struct fuse_session *se
    ],
    result: "i32",
  },
  fuse_session_receive_buf: {
    parameters: [
      "pointer", // struct fuse_session *se
      "buffer", // struct fuse_buf *buf
    ],
    result: "i32", // bytes received, 0 at the end, or -errno
  },
  fuse_session_fd: {
    parameters: [
      "pointer", // struct fuse_session *se
    ],
    result: "i32",
  },
  fuse_session_process_buf: {
    parameters: [
      "pointer", // struct fuse_session *se
      "buffer", // const struct fuse_buf *buf
    ],
    result: "void",
  },
  fuse_req_ctx: {
    parameters: [
      "pointer", // fuse_req_t req
    ],
    result: "pointer", // const struct fuse_ctx *
  },
  fuse_req_interrupted: {
    parameters: [
      "pointer", // fuse_req_t req
    ],
    result: "i32",
  },
  fuse_reply_none: {
    parameters: [
      "pointer", // fuse_req_t req
    ],
    result: "void",
  },
  fuse_reply_err: {
    parameters: [
      "pointer", // fuse_req_t req
      "i32", // int err
    ],
    result: "i32",
  },
  fuse_reply_entry: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const struct fuse_entry_param *e
    ],
    result: "i32",
  },
  fuse_reply_create: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const struct fuse_entry_param *e
      "buffer", // const struct fuse_file_info *fi
    ],
    result: "i32",
  },
  fuse_reply_attr: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const struct stat *attr
      "f64", // double attr_timeout
    ],
    result: "i32",
  },
  fuse_reply_readlink: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const char *link
    ],
    result: "i32",
  },
  fuse_reply_open: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const struct fuse_file_info *fi
    ],
    result: "i32",
  },
  fuse_reply_write: {
    parameters: [
      "pointer", // fuse_req_t req
      "usize", // size_t count
    ],
    result: "i32",
  },
  fuse_reply_buf: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const char *buf
      "usize", // size_t size
    ],
    result: "i32",
  },
  fuse_reply_iov: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const struct iovec *iov
      "i32", // int count
    ],
    result: "i32",
  },
  fuse_reply_statfs: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // const struct statvfs *stbuf
    ],
    result: "i32",
  },
  fuse_reply_xattr: {
    parameters: [
      "pointer", // fuse_req_t req
      "usize", // size_t count
    ],
    result: "i32",
  },
  // Since 3.8. Its handler is not registered with libraries that lack it.
  fuse_reply_lseek: {
    parameters: [
      "pointer", // fuse_req_t req
      "i64", // off_t off
    ],
    result: "i32",
    optional: true,
  },
  fuse_add_direntry: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // char *buf
      "usize", // size_t bufsize
      "buffer", // const char *name
      "buffer", // const struct stat *stbuf
      "i64", // off_t off
    ],
    result: "usize", // size_t
  },
  fuse_add_direntry_plus: {
    parameters: [
      "pointer", // fuse_req_t req
      "buffer", // char *buf
      "usize", // size_t bufsize
      "buffer", // const char *name
      "buffer", // const struct fuse_entry_param *e
      "i64", // off_t off
    ],
    result: "usize", // size_t
  },
  // Since 3.7; without it messages go to stderr.
  fuse_set_log_func: {
    parameters: [
      "function", // fuse_log_func_t func
    ],
    result: "void",
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions, by their C names. */
export type Symbols = Deno.StaticForeignLibraryInterface<typeof libfuseSymbols>;

/** `struct fuse_session *`. */
export type SessionPointer = NonNullable<Deno.PointerValue>;

/** An opened libfuse3. */
export interface Libfuse3 {
  readonly symbols: Symbols;
  /** Name under which it was found. */
  readonly soname: string;
  readonly version: LibraryVersion;
  readonly fileInfoBits: FileInfoBits;
  /**
   * Calls whichever form of `fuse_session_new` there is.
   *
   * @param args `struct fuse_args`; its members are the library's afterwards, `fuse_opt_free_args`
   *   frees them.
   * @param ops `struct fuse_lowlevel_ops`, which the library copies; the functions it names must
   *   outlive the session.
   * @returns `null` if the library refused, which its log explains.
   */
  newSession(args: Uint8Array<ArrayBuffer>, ops: Uint8Array<ArrayBuffer>): SessionPointer | null;
}

/** Names to try: libfuse 3 up to 3.16, 3.17 and later, and what a development package links. */
const SONAMES = ["libfuse3.so.3", "libfuse3.so.4", "libfuse3.so"];
const REMEDY = "install it (Debian and Ubuntu: apt install fuse3)";

let opened: Libfuse3 | undefined;

/**
 * Opens libfuse3, once a process. It is never closed: calls through a closed library still run,
 * into unmapped memory.
 *
 * @throws {MountError} If there is none, or it lacks a function; the message names what was tried
 *   and the remedy.
 */
export function openLibfuse3(): Libfuse3 {
  if (opened) return opened;
  const failures: string[] = [];
  for (const soname of SONAMES) {
    let symbols: Symbols;
    try {
      symbols = Deno.dlopen(soname, libfuseSymbols).symbols;
    } catch (error) {
      failures.push(soname + describeLoading(soname, error));
      continue;
    }
    const version = parseVersion(symbols);
    const newSession = chooseNewSession(symbols);
    return opened = { symbols, soname, version, fileInfoBits: fileInfoBits(version), newSession };
  }
  throw new MountError(`Cannot load libfuse3: ${REMEDY}; tried ${failures.join(", ")}`);
}

/** What is wrong if the library exists: it is for another machine, or lacks its own libraries. */
function describeLoading(soname: string, error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // Source: the words of glibc's dlopen(3).
  const isAbsent = text.includes(`${soname}: cannot open shared object file: No such file`);
  return isAbsent ? "" : ` (${text.length > 200 ? `${text.slice(0, 200)}…` : text})`;
}

function parseVersion(symbols: Symbols): LibraryVersion {
  const pointer = symbols.fuse_pkgversion();
  const text = pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
  const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (!match) throw new MountError(`Cannot use libfuse3: its version is "${text}"`);
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3] ?? 0) };
}

/** The three forms of `fuse_session_new`; `null` for one that the library lacks. */
export type SessionConstructors = Pick<
  Symbols,
  "fuse_session_new" | "_fuse_session_new_317" | "fuse_session_new_versioned"
>;

/**
 * Chooses the form of `fuse_session_new` that the library has, the oldest first.
 *
 * @throws {MountError} If it has none.
 */
export function chooseNewSession(symbols: SessionConstructors): Libfuse3["newSession"] {
  const plain = symbols.fuse_session_new;
  if (plain) return (args, ops) => plain(args, ops, BigInt(ops.length), null);
  const versioned = symbols._fuse_session_new_317 ?? symbols.fuse_session_new_versioned;
  if (versioned) {
    const version = new Uint8Array(LIBFUSE_VERSION.bytes);
    const fields = new DataView(version.buffer);
    // The interface whose structs `structs.ts` describes for such libraries.
    fields.setUint32(LIBFUSE_VERSION.major, 3, true);
    fields.setUint32(LIBFUSE_VERSION.minor, 17, true);
    return (args, ops) => versioned(args, ops, BigInt(ops.length), version, null);
  }
  throw new MountError(
    "Cannot use libfuse3: it exports none of fuse_session_new, _fuse_session_new_317, " +
      "fuse_session_new_versioned",
  );
}
