/**
 * What a file system implements: one handler for each kind of request, all but two optional.
 *
 * A handler returns its answer or a promise of it. Requests run concurrently and are answered in
 * the order in which their handlers finish. To fail a request, a handler throws a `FuseError`.
 * Anything else it throws is a bug: `onError` gets it, and the caller gets EIO. Names are UTF-8: a
 * request with any other name fails with EINVAL before it gets here.
 *
 * `operations.ts` has a row for each handler; `dispatcher.ts` calls them.
 *
 * @module
 */

import type {
  DirectoryEntry,
  DirectoryEntryPlus,
  Entry,
  FileSystemSpace,
  OpenedDirectory,
  OpenedFile,
  TimedAttributes,
} from "./answers.ts";

/** An answer, at once or later. */
export type Answer<T> = T | PromiseLike<T>;

/** Who made a request. */
export interface Caller {
  /** User id. */
  readonly uid: number;
  /** Group id. */
  readonly gid: number;
  /** Thread id in this process's pid namespace; 0 if it is not visible there. */
  readonly pid: number;
  /** File mode creation mask. */
  readonly umask: number;
}

/** The request itself, for handlers that need to know more than what it asks for. */
export interface Request {
  /** Who asks. @throws {FuseError} ENOTCONN if first read after the answer. */
  readonly caller: Caller;
}

/** Attributes for `setattr` to change; the others stay as they are. */
export interface AttributeChanges {
  /** Permission bits; ignore the file type. */
  mode?: number;
  /** User id of the owner. */
  uid?: number;
  /** Group id of the owner. */
  gid?: number;
  /** Length in bytes. */
  size?: number;
  /** Time of the last access; "now" is the file system's time. */
  atimeMs?: number | "now";
  /** Time of the last change to the content. */
  mtimeMs?: number | "now";
  /** Time of the last change to content or attributes. */
  ctimeMs?: number;
}

/** A request on an inode. */
export interface OnInode {
  /** Inode number. */
  readonly ino: number;
}

/** A request on an open file or directory. */
export interface OnHandle extends OnInode {
  /** What the answer to its opening gave. */
  readonly handle: number;
}

/** A request on a name in a directory. */
export interface OnName {
  /** Inode number of the directory. */
  readonly parent: number;
  /** The name, without "/" and NUL. */
  readonly name: string;
}

/** A request that carries flags of its system call. */
export interface WithFlags {
  /** Or-ed flags of the C interface. */
  readonly flags: number;
}

/**
 * A file system.
 *
 * A request without a handler gets the errno that fits: for changes EROFS if there is no `write`
 * either, else EPERM; ENOTTY for `ioctl`. It gets ENOSYS where the kernel then does the work itself
 * or does not ask again: `flush`, `fsync`, `access`, `lseek`, extended attributes, locks, `poll`,
 * `copy_file_range`.
 */
export interface Handlers {
  /** Finds a name in a directory; `null` if it does not exist. */
  lookup(op: OnName, request: Request): Answer<Entry | null>;
  /** Returns the attributes of an inode; `handle` is that of an open file, or `null`. */
  getattr(op: OnInode & { handle: number | null }, request: Request): Answer<TimedAttributes>;
  /**
   * Drops `lookups` of the kernel's references to an inode. There is no answer. When a mount ends,
   * it may not be called.
   */
  forget?(op: OnInode & { lookups: number }): void;
  /** Changes attributes; returns all of them. */
  setattr?(
    op: OnInode & { handle: number | null; changes: AttributeChanges },
    request: Request,
  ): Answer<TimedAttributes>;
  /** Returns the target of a symbolic link. */
  readlink?(op: OnInode, request: Request): Answer<string>;
  /** Creates a device node, FIFO or socket, or a file where `create` is absent. */
  mknod?(op: OnName & { mode: number; rdev: number }, request: Request): Answer<Entry>;
  /** Creates a directory. */
  mkdir?(op: OnName & { mode: number }, request: Request): Answer<Entry>;
  /** Creates a symbolic link. */
  symlink?(op: OnName & { target: string }, request: Request): Answer<Entry>;
  /** Gives an inode one more name. */
  link?(op: OnInode & { newParent: number; newName: string }, request: Request): Answer<Entry>;
  /** Removes a name of anything but a directory. The inode lives until it is forgotten. */
  unlink?(op: OnName, request: Request): Answer<void>;
  /** Removes a directory, which must be empty. */
  rmdir?(op: OnName, request: Request): Answer<void>;
  /** Renames. `flags` as in renameat2(2): RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
  rename?(
    op: OnName & { newParent: number; newName: string } & WithFlags,
    request: Request,
  ): Answer<void>;

  /**
   * Opens a file. `flags` as in open(2), without O_CREAT, O_EXCL and O_NOCTTY. With O_TRUNC it must
   * truncate the file: there will be no `setattr` for that. Without a handler every file can be
   * opened.
   */
  open?(op: OnInode & WithFlags, request: Request): Answer<OpenedFile>;
  /** Creates a file and opens it. */
  create?(
    op: OnName & { mode: number } & WithFlags,
    request: Request,
  ): Answer<{ entry: Entry; file: OpenedFile }>;
  /**
   * Returns bytes of a file: exactly `size` of them, or fewer where the file ends (the caller sees
   * zeros in place of other missing ones). It returns one view or several, which are joined. They
   * may lie in shared or WebAssembly memory. They are read as soon as the handler returns, or in
   * the microtask after its promise, and not later.
   */
  read?(
    op: OnHandle & { offset: number; size: number } & WithFlags,
    request: Request,
  ): Answer<Uint8Array | readonly Uint8Array[]>;
  /**
   * Writes `data`. It lies in libfuse's memory and is lent until the answer, across awaits too;
   * then the view is detached (its length becomes 0), so copy what is needed longer.
   *
   * @returns The number of bytes written; nothing means all.
   */
  write?(
    op: OnHandle & { offset: number; data: Uint8Array<ArrayBuffer> },
    request: Request,
  ): Answer<number | void>;
  /** A descriptor of the file is closed. An error becomes that of close(2). */
  flush?(op: OnHandle, request: Request): Answer<void>;
  /**
   * The last descriptor of the file is closed, or its opening was interrupted (then `request` is
   * `null`). Nobody sees an error.
   */
  release?(op: OnHandle & WithFlags, request: Request | null): Answer<void>;
  /** Writes a file to storage; `dataOnly` leaves out what fdatasync(2) does. */
  fsync?(op: OnHandle & { dataOnly: boolean }, request: Request): Answer<void>;
  /** Allocates or frees a range of a file; `mode` as in fallocate(2). */
  fallocate?(
    op: OnHandle & { mode: number; offset: number; length: number },
    request: Request,
  ): Answer<void>;
  /**
   * Finds data (`whence` 3, SEEK_DATA) or a hole (4, SEEK_HOLE). Returns its offset. Programs look
   * for holes only in files whose `blocks` are fewer than their size needs. What was written
   * through a shared memory mapping may not have been sent to `write` yet.
   *
   * @throws {FuseError} ENXIO behind the end, or if there is no more data.
   */
  lseek?(op: OnHandle & { offset: number; whence: number }, request: Request): Answer<number>;

  /** Opens a directory. Without a handler every directory can be opened. */
  opendir?(op: OnInode & WithFlags, request: Request): Answer<OpenedDirectory>;
  /**
   * Returns the entries after `offset`; 0 is the beginning. They are taken one by one until the
   * reply is full: code after a generator's `yield` runs only if that entry was taken. "." and ".."
   * may be among them.
   */
  readdir?(
    op: OnHandle & { offset: number; size: number },
    request: Request,
  ): Answer<Iterable<DirectoryEntry>>;
  /**
   * Like `readdir`, with attributes, which saves the kernel a `lookup` for each entry. It needs
   * `readdir` beside it.
   */
  readdirplus?(
    op: OnHandle & { offset: number; size: number },
    request: Request,
  ): Answer<Iterable<DirectoryEntryPlus>>;
  /** The last descriptor of the directory is closed; as `release`. */
  releasedir?(op: OnHandle & WithFlags, request: Request | null): Answer<void>;
  /** Writes a directory's entries to storage. */
  fsyncdir?(op: OnHandle & { dataOnly: boolean }, request: Request): Answer<void>;

  /** Returns the space of the file system. */
  statfs?(op: OnInode, request: Request): Answer<FileSystemSpace>;
  /** Checks access. Not called with `default_permissions`. `mask`: R_OK 4, W_OK 2, X_OK 1. */
  access?(op: OnInode & { mask: number }, request: Request): Answer<void>;
  /**
   * Sets an extended attribute. `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. `value` belongs to the
   * handler.
   */
  setxattr?(
    op: OnInode & { name: string; value: Uint8Array<ArrayBuffer> } & WithFlags,
    request: Request,
  ): Answer<void>;
  /**
   * Returns an extended attribute. `size` is the caller's room, 0 if it asks for the length; the
   * handler need not keep to it, nor in `listxattr`.
   *
   * @throws {FuseError} ENODATA if the attribute does not exist.
   */
  getxattr?(op: OnInode & { name: string; size: number }, request: Request): Answer<Uint8Array>;
  /** Returns the names of all extended attributes. */
  listxattr?(op: OnInode & { size: number }, request: Request): Answer<readonly string[]>;
  /** Removes an extended attribute. @throws {FuseError} ENODATA if it does not exist. */
  removexattr?(op: OnInode & { name: string }, request: Request): Answer<void>;
}

/** Name of a handler, which is that of a member of `struct fuse_lowlevel_ops`. */
export type HandlerName = keyof Handlers;
