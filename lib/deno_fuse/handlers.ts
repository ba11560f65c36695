/**
 * What a file system implements: one handler for each kind of request, each typed and optional save
 * two.
 *
 * A handler returns its answer or a promise of it. Requests run concurrently and are answered in
 * the order in which their handlers finish. To fail, a handler throws a {@linkcode FuseError};
 * anything else that it throws is a bug, is reported to `onError` and reaches the caller as EIO.
 * Inode numbers, handles, sizes and offsets are whole numbers up to 2^53; times are milliseconds
 * since 1970, with fractions. Names are UTF-8: a request with another name fails with EINVAL before
 * it comes here.
 *
 * @module
 */

/** An answer, at once or later. */
export type Answer<T> = T | PromiseLike<T>;

/** File types, to be or-ed with permission bits into a mode. Source: bits/stat.h. */
export const FileType = {
  S_IFIFO: 0o010000,
  S_IFCHR: 0o020000,
  S_IFDIR: 0o040000,
  S_IFBLK: 0o060000,
  S_IFREG: 0o100000,
  S_IFLNK: 0o120000,
  S_IFSOCK: 0o140000,
  S_IFMT: 0o170000,
} as const;

/** What `stat` shows of an inode. */
export interface Attributes {
  /** Inode number >= 1; the root's is 1. */
  readonly ino: number;
  /** {@linkcode FileType} and permission bits. */
  readonly mode: number;
  /** Default 1. */
  readonly nlink?: number;
  /** Default 0, as for the group. */
  readonly uid?: number;
  readonly gid?: number;
  /** Device number of a device node. */
  readonly rdev?: number;
  /** Bytes; default 0. */
  readonly size?: number;
  /** 512-byte units taken up; default as many as `size` needs. */
  readonly blocks?: number;
  /** Preferred transfer size in bytes; default 4096. */
  readonly blockBytes?: number;
  /** Default 0, as for the other times. */
  readonly mtimeMs?: number;
  /** Default `mtimeMs`. */
  readonly atimeMs?: number;
  /** Default `mtimeMs`. */
  readonly ctimeMs?: number;
}

/**
 * Attributes, and how long the kernel may rely on them; default is the mount's
 * `attributesTimeoutMs`.
 */
export interface TimedAttributes {
  readonly attributes: Attributes;
  readonly attributesTimeoutMs?: number;
}

/** A name's inode. The kernel counts each as one more reference, until it is forgotten. */
export interface Entry extends TimedAttributes {
  /** How long the kernel may rely on the name; default is the mount's `entryTimeoutMs`. */
  readonly entryTimeoutMs?: number;
  /** Tells inodes apart that have had the same number; for export by NFS. Default 0. */
  readonly generation?: number;
}

/** How a file was opened. */
export interface OpenedFile {
  /** Comes back with each request on the open file; default 0. */
  readonly handle?: number;
  /** Keep what the kernel has cached of the file since it was open before. */
  readonly keepCache?: boolean;
  /** Do not cache. Loop devices on such files hang with some kernels. */
  readonly directIo?: boolean;
  /** Let direct writes to the file run in parallel; ignored by libfuse before 3.14.1. */
  readonly parallelDirectWrites?: boolean;
  readonly nonseekable?: boolean;
  /** Do not call `flush` when it is closed. */
  readonly noFlush?: boolean;
}

/** How a directory was opened. */
export interface OpenedDirectory {
  /** Comes back with each request on the open directory; default 0. */
  readonly handle?: number;
  /** Let the kernel cache what `readdir` returns. */
  readonly cacheReaddir?: boolean;
  /** Keep what the kernel has cached of the directory since it was open before. */
  readonly keepCache?: boolean;
}

/** A line of a directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly ino: number;
  /** Its {@linkcode FileType}; permission bits are ignored. */
  readonly mode: number;
  /** Where reading goes on behind this entry: comes back as `offset`; any number >= 1. */
  readonly nextOffset: number;
}

/** A line of a directory with its inode's attributes; counts as a lookup, save for "." and "..". */
export interface DirectoryEntryPlus extends Entry {
  readonly name: string;
  /** As in {@linkcode DirectoryEntry}. */
  readonly nextOffset: number;
}

/** What `statvfs` shows; all default to 0 save where it says otherwise. */
export interface FileSystemSpace {
  /** Unit of the block counts in bytes; default 4096. */
  readonly blockBytes?: number;
  readonly blocks?: number;
  readonly freeBlocks?: number;
  /** Free blocks that others than root may use; default `freeBlocks`. */
  readonly availableBlocks?: number;
  readonly inodes?: number;
  readonly freeInodes?: number;
  /** Longest name in bytes; default 255. */
  readonly maxNameBytes?: number;
}

/** Who made a request. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** Thread id as seen from this process's pid namespace; 0 if it has none there. */
  readonly pid: number;
  readonly umask: number;
}

/** The request itself, for handlers that want to know more of it than what it asks. */
export interface Request {
  /** @throws {FuseError} ENOTCONN, when it is first asked after the answer. */
  readonly caller: Caller;
  /**
   * Tells whether the caller was interrupted and nobody waits any more; such requests still need an
   * answer.
   */
  isInterrupted(): boolean;
}

/** Properties that `setattr` is to change; what is absent stays. */
export interface AttributeChanges {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atimeMs?: number | "now";
  mtimeMs?: number | "now";
  ctimeMs?: number;
}

/** An inode. */
export interface OnInode {
  readonly ino: number;
}

/** An open file or directory. */
export interface OnHandle extends OnInode {
  readonly handle: number;
}

/** A name in a directory. */
export interface OnName {
  /** Inode number of the directory. */
  readonly parent: number;
  readonly name: string;
}

/** Flags of the system call. */
export interface WithFlags {
  readonly flags: number;
}

/**
 * A file system. Where a handler is absent the request gets the errno that fits: EROFS for changes
 * if there is no `write` either and EPERM otherwise, ENOTTY for `ioctl`, and ENOSYS for what the
 * kernel then does itself or never asks for again (`flush`, `fsync`, `access`, `lseek`, extended
 * attributes, locks, `poll`, `copy_file_range`).
 */
export interface Handlers {
  /**
   * Finds a name. `null`: there is none, and the kernel may rely on that for the mount's
   * `negativeTimeoutMs`.
   */
  lookup(op: OnName, request: Request): Answer<Entry | null>;
  getattr(op: OnInode & { handle: number | null }, request: Request): Answer<TimedAttributes>;
  /**
   * The kernel drops `lookups` references to an inode; there is no answer. At the end of a mount it
   * may be left out.
   */
  forget?(op: OnInode & { lookups: number }): void;
  setattr?(
    op: OnInode & { handle: number | null; changes: AttributeChanges },
    request: Request,
  ): Answer<TimedAttributes>;
  /** Returns the target of a symbolic link. */
  readlink?(op: OnInode, request: Request): Answer<string>;
  mknod?(op: OnName & { mode: number; rdev: number }, request: Request): Answer<Entry>;
  mkdir?(op: OnName & { mode: number }, request: Request): Answer<Entry>;
  unlink?(op: OnName, request: Request): Answer<void>;
  rmdir?(op: OnName, request: Request): Answer<void>;
  symlink?(op: OnName & { target: string }, request: Request): Answer<Entry>;
  /** `flags` are those of renameat2(2): RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename?(
    op: OnName & { newParent: number; newName: string } & WithFlags,
    request: Request,
  ): Answer<void>;
  link?(op: OnInode & { newParent: number; newName: string }, request: Request): Answer<Entry>;
  /**
   * `flags` are those of open(2), without O_CREAT, O_EXCL and O_NOCTTY. Without a handler all files
   * can be opened.
   */
  open?(op: OnInode & WithFlags, request: Request): Answer<OpenedFile>;
  create?(
    op: OnName & { mode: number } & WithFlags,
    request: Request,
  ): Answer<{ entry: Entry; file: OpenedFile }>;
  /**
   * Returns bytes of a file: exactly `size` of them, fewer only where the file ends (what is
   * missing is zeros for the caller), as one view or as several to be joined. Views may lie in
   * shared or WebAssembly memory; they are read before anything else runs, so the memory may be
   * used again after the handler's promise was handled.
   */
  read?(
    op: OnHandle & { offset: number; size: number } & WithFlags,
    request: Request,
  ): Answer<Uint8Array | readonly Uint8Array[]>;
  /**
   * Writes `data`, which lies in libfuse's memory and is lent until the answer: copy what is needed
   * longer, for the view is then detached (its length becomes 0). Between, awaiting is allowed.
   *
   * @returns The number of bytes written; nothing means all.
   */
  write?(
    op: OnHandle & { offset: number; data: Uint8Array<ArrayBuffer> },
    request: Request,
  ): Answer<number | void>;
  /** A descriptor of the file is closed; an error becomes that of close(2). */
  flush?(op: OnHandle, request: Request): Answer<void>;
  /**
   * The file's last descriptor is closed, or its opening was interrupted. An error goes nowhere.
   */
  release?(op: OnHandle & WithFlags, request: Request | null): Answer<void>;
  fsync?(op: OnHandle & { dataOnly: boolean }, request: Request): Answer<void>;
  /** Without a handler all directories can be opened. */
  opendir?(op: OnInode & WithFlags, request: Request): Answer<OpenedDirectory>;
  /**
   * Returns the entries behind `offset`, 0 for all. They are taken one by one until the reply is
   * full; code behind a generator's `yield` runs only if that entry was taken. "." and ".." may be
   * among them.
   */
  readdir?(
    op: OnHandle & { offset: number; size: number },
    request: Request,
  ): Answer<Iterable<DirectoryEntry>>;
  /**
   * As `readdir`, with attributes, which saves the kernel a `lookup` an entry; it needs `readdir`
   * beside it.
   */
  readdirplus?(
    op: OnHandle & { offset: number; size: number },
    request: Request,
  ): Answer<Iterable<DirectoryEntryPlus>>;
  releasedir?(op: OnHandle & WithFlags, request: Request | null): Answer<void>;
  fsyncdir?(op: OnHandle & { dataOnly: boolean }, request: Request): Answer<void>;
  statfs?(op: OnInode, request: Request): Answer<FileSystemSpace>;
  /** `flags` are XATTR_CREATE 1 and XATTR_REPLACE 2; `value` is the handler's to keep. */
  setxattr?(
    op: OnInode & { name: string; value: Uint8Array<ArrayBuffer> } & WithFlags,
    request: Request,
  ): Answer<void>;
  /**
   * Returns an extended attribute. `size` is the caller's room (0: it asks for the length); keeping
   * to it is done here, as for `listxattr`.
   *
   * @throws {FuseError} ENODATA if there is no such attribute.
   */
  getxattr?(op: OnInode & { name: string; size: number }, request: Request): Answer<Uint8Array>;
  listxattr?(op: OnInode & { size: number }, request: Request): Answer<readonly string[]>;
  removexattr?(op: OnInode & { name: string }, request: Request): Answer<void>;
  /** Not called with the mount option `default_permissions`. `mask`: R_OK 4, W_OK 2, X_OK 1. */
  access?(op: OnInode & { mask: number }, request: Request): Answer<void>;
  fallocate?(
    op: OnHandle & { mode: number; offset: number; length: number },
    request: Request,
  ): Answer<void>;
  /** Finds data (`whence` 3, SEEK_DATA) or a hole (4, SEEK_HOLE). Returns its offset. */
  lseek?(op: OnHandle & { offset: number; whence: number }, request: Request): Answer<number>;
}

/** Name of a handler, which is that of a member of `struct fuse_lowlevel_ops`. */
export type HandlerName = keyof Handlers;
