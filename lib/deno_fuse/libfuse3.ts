/**
 * The functions of libfuse3's low-level interface, opened on first use.
 *
 * `session.ts` mounts with them, `receive_loop.ts` receives requests, `reply.ts` answers. All calls
 * but one are synchronous.
 *
 * @module
 */

import { MountError } from "./errors.ts";
import { LIBFUSE_VERSION } from "./structs.ts";

/** Each function below its C declaration. Source: fuse_lowlevel.h and the headers it includes. */
const libfuseSymbols = {
  // const char *fuse_pkgversion(void), such as "3.14.0"
  fuse_pkgversion: { parameters: [], result: "pointer" },

  // Which of these three exist depends on release and build: since 3.17 a program says which
  // interface it was written for, and some builds lack the older form (libfuse issue 1196).
  // struct fuse_session *fuse_session_new(struct fuse_args *args,
  //   const struct fuse_lowlevel_ops *op, size_t op_size, void *userdata)
  fuse_session_new: {
    parameters: ["buffer", "buffer", "usize", "pointer"],
    result: "pointer",
    optional: true,
  },
  // struct fuse_session *_fuse_session_new_317(struct fuse_args *args,
  //   const struct fuse_lowlevel_ops *op, size_t op_size, struct libfuse_version *version,
  //   void *userdata)
  _fuse_session_new_317: {
    parameters: ["buffer", "buffer", "usize", "buffer", "pointer"],
    result: "pointer",
    optional: true,
  },
  // Like _fuse_session_new_317.
  fuse_session_new_versioned: {
    parameters: ["buffer", "buffer", "usize", "buffer", "pointer"],
    result: "pointer",
    optional: true,
  },

  // void fuse_opt_free_args(struct fuse_args *args)
  fuse_opt_free_args: { parameters: ["buffer"], result: "void" },
  // int fuse_session_mount(struct fuse_session *se, const char *mountpoint)
  fuse_session_mount: { parameters: ["pointer", "buffer"], result: "i32" },
  // void fuse_session_unmount(struct fuse_session *se)
  fuse_session_unmount: { parameters: ["pointer"], result: "void" },
  // void fuse_session_destroy(struct fuse_session *se)
  fuse_session_destroy: { parameters: ["pointer"], result: "void" },
  // void fuse_session_exit(struct fuse_session *se)
  fuse_session_exit: { parameters: ["pointer"], result: "void" },
  // int fuse_session_exited(struct fuse_session *se)
  fuse_session_exited: { parameters: ["pointer"], result: "i32" },
  // int fuse_session_fd(struct fuse_session *se)
  fuse_session_fd: { parameters: ["pointer"], result: "i32" },
  // int fuse_session_receive_buf(struct fuse_session *se, struct fuse_buf *buf): the number of
  // bytes received, 0 at the end, or -errno
  fuse_session_receive_buf: { parameters: ["pointer", "buffer"], result: "i32" },
  // void fuse_session_process_buf(struct fuse_session *se, const struct fuse_buf *buf)
  fuse_session_process_buf: { parameters: ["pointer", "buffer"], result: "void" },

  // const struct fuse_ctx *fuse_req_ctx(fuse_req_t req)
  fuse_req_ctx: { parameters: ["pointer"], result: "pointer" },

  // void fuse_reply_none(fuse_req_t req)
  fuse_reply_none: { parameters: ["pointer"], result: "void" },
  // int fuse_reply_err(fuse_req_t req, int err)
  fuse_reply_err: { parameters: ["pointer", "i32"], result: "i32" },
  // int fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
  fuse_reply_entry: { parameters: ["pointer", "buffer"], result: "i32" },
  // int fuse_reply_create(fuse_req_t req, const struct fuse_entry_param *e,
  //   const struct fuse_file_info *fi)
  fuse_reply_create: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  // int fuse_reply_attr(fuse_req_t req, const struct stat *attr, double attr_timeout)
  fuse_reply_attr: { parameters: ["pointer", "buffer", "f64"], result: "i32" },
  // int fuse_reply_readlink(fuse_req_t req, const char *link)
  fuse_reply_readlink: { parameters: ["pointer", "buffer"], result: "i32" },
  // int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
  fuse_reply_open: { parameters: ["pointer", "buffer"], result: "i32" },
  // int fuse_reply_write(fuse_req_t req, size_t count)
  fuse_reply_write: { parameters: ["pointer", "usize"], result: "i32" },
  // int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size)
  fuse_reply_buf: { parameters: ["pointer", "buffer", "usize"], result: "i32" },
  // int fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count)
  fuse_reply_iov: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  // int fuse_reply_statfs(fuse_req_t req, const struct statvfs *stbuf)
  fuse_reply_statfs: { parameters: ["pointer", "buffer"], result: "i32" },
  // int fuse_reply_xattr(fuse_req_t req, size_t count)
  fuse_reply_xattr: { parameters: ["pointer", "usize"], result: "i32" },
  // int fuse_reply_lseek(fuse_req_t req, off_t off), since 3.8
  fuse_reply_lseek: { parameters: ["pointer", "i64"], result: "i32", optional: true },
  // size_t fuse_add_direntry(fuse_req_t req, char *buf, size_t bufsize, const char *name,
  //   const struct stat *stbuf, off_t off)
  fuse_add_direntry: {
    parameters: ["pointer", "buffer", "usize", "buffer", "buffer", "i64"],
    result: "usize",
  },
  // size_t fuse_add_direntry_plus(fuse_req_t req, char *buf, size_t bufsize, const char *name,
  //   const struct fuse_entry_param *e, off_t off)
  fuse_add_direntry_plus: {
    parameters: ["pointer", "buffer", "usize", "buffer", "buffer", "i64"],
    result: "usize",
  },

  // int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off,
  //   off_t len): 0 or -errno. On another thread, because the kernel waits for pages that are being
  // read or written, and so for answers of this one.
  fuse_lowlevel_notify_inval_inode: {
    parameters: ["pointer", "u64", "i64", "i64"],
    result: "i32",
    nonblocking: true,
  },

  // void fuse_set_log_func(fuse_log_func_t func), since 3.7; without it messages go to stderr
  fuse_set_log_func: { parameters: ["function"], result: "void", optional: true },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions, by their C names. */
export type Symbols = Deno.StaticForeignLibraryInterface<typeof libfuseSymbols>;

/** `struct fuse_session *`. */
export type SessionPointer = NonNullable<Deno.PointerValue>;

/** An opened libfuse3. */
export interface Libfuse3 {
  readonly symbols: Symbols;
  /** Its release, such as "3.14.0". */
  readonly version: string;
  /**
   * Calls whichever form of `fuse_session_new` there is.
   *
   * @param args `struct fuse_args`; afterwards its members belong to the library, and
   *   `fuse_opt_free_args` frees them.
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
 * Opens libfuse3, once per process. It is never closed: calls through a closed library still run,
 * into unmapped memory.
 *
 * @throws {MountError} If it is missing or lacks a function; the message names what was tried and
 *   the remedy.
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
    const version = readVersion(symbols);
    return opened = { symbols, version, newSession: chooseNewSession(symbols) };
  }
  throw new MountError(`Cannot load libfuse3: ${REMEDY}; tried ${failures.join(", ")}`);
}

/** Why a library that exists cannot be loaded, such as one for another machine; "" if absent. */
function describeLoading(soname: string, error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // Source: the messages of glibc's dlopen(3).
  const isAbsent = text.includes(`${soname}: cannot open shared object file: No such file`);
  return isAbsent ? "" : ` (${text.length > 200 ? `${text.slice(0, 200)}…` : text})`;
}

function readVersion(symbols: Symbols): string {
  const pointer = symbols.fuse_pkgversion();
  const text = pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
  const version = /^\d+\.\d+(\.\d+)?/.exec(text)?.[0];
  if (version === undefined) throw new MountError(`Cannot use libfuse3: its version is "${text}"`);
  return version;
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
