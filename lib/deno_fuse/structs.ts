/**
 * The C structs that pass between this process and libfuse3, as tables of byte offsets.
 *
 * Values are those of 64-bit Linux with glibc; where x86_64 and aarch64 differ, both are given.
 * Names are C's. A test compiles a probe against the installed headers (fuse3/fuse_lowlevel.h,
 * sys/stat.h, sys/statvfs.h) and compares. `parameters.ts` reads such structs, `reply.ts` writes
 * them.
 *
 * @module
 */

/** Inode number of the root of every mount. Source: fuse_lowlevel.h. */
export const FUSE_ROOT_ID = 1;

/**
 * Members of `struct fuse_lowlevel_ops` in their order, each a pointer of 8 bytes. Releases only
 * append: `copy_file_range` came with 3.4, `lseek` with 3.8, `tmpfile` with 3.17, `statx` with
 * 3.18.
 */
export const LOWLEVEL_OPS = [
  "init",
  "destroy",
  "lookup",
  "forget",
  "getattr",
  "setattr",
  "readlink",
  "mknod",
  "mkdir",
  "unlink",
  "rmdir",
  "symlink",
  "rename",
  "link",
  "open",
  "read",
  "write",
  "flush",
  "release",
  "fsync",
  "opendir",
  "readdir",
  "releasedir",
  "fsyncdir",
  "statfs",
  "setxattr",
  "getxattr",
  "listxattr",
  "removexattr",
  "access",
  "create",
  "getlk",
  "setlk",
  "bmap",
  "ioctl",
  "poll",
  "write_buf",
  "retrieve_reply",
  "forget_multi",
  "flock",
  "fallocate",
  "readdirplus",
  "copy_file_range",
  "lseek",
] as const;

/** Name of a member of `struct fuse_lowlevel_ops`. */
export type LowlevelOp = typeof LOWLEVEL_OPS[number];

/** `struct stat`; `st_nlink` and `st_blksize` are 8 bytes wide on x86_64 and 4 on aarch64. */
const STAT_X86_64 = {
  st_dev: 0,
  st_ino: 8,
  st_nlink: 16,
  st_mode: 24,
  st_uid: 28,
  st_gid: 32,
  st_rdev: 40,
  st_size: 48,
  st_blksize: 56,
  st_blocks: 64,
  st_atim: 72,
  st_mtim: 88,
  st_ctim: 104,
  bytes: 144,
} as const;

const STAT_AARCH64 = {
  st_dev: 0,
  st_ino: 8,
  st_mode: 16,
  st_nlink: 20,
  st_uid: 24,
  st_gid: 28,
  st_rdev: 32,
  st_size: 48,
  st_blksize: 56,
  st_blocks: 64,
  st_atim: 72,
  st_mtim: 88,
  st_ctim: 104,
  bytes: 128,
} as const;

/** `struct stat` of the machine this runs on. Source: bits/struct_stat.h. */
export const STAT: { readonly [K in keyof typeof STAT_X86_64]: number } =
  Deno.build.arch === "aarch64" ? STAT_AARCH64 : STAT_X86_64;

/** `struct timespec`: the type of `st_atim`, `st_mtim` and `st_ctim`. */
export const TIMESPEC = { tv_sec: 0, tv_nsec: 8, bytes: 16 } as const;

/** `struct fuse_entry_param`. Source: fuse_lowlevel.h; its size follows that of `struct stat`. */
export const ENTRY_PARAM = {
  ino: 0,
  generation: 8,
  attr: 16,
  attr_timeout: 16 + STAT.bytes,
  entry_timeout: 24 + STAT.bytes,
  bytes: 32 + STAT.bytes,
} as const;

/**
 * `struct fuse_file_info`. Source: fuse_common.h. C has no offsets of bit fields: they begin at
 * `bits`, see {@linkcode FileInfoBit}. The size is that of 3.17, which appended members (3.14: 40
 * bytes); an older library reads less of it.
 */
export const FILE_INFO = {
  flags: 0,
  bits: 4,
  fh: 16,
  lock_owner: 24,
  poll_events: 32,
  bytes: 64,
} as const;

/**
 * Positions of one-bit members of `struct fuse_file_info`, from `bits` on. These two never moved;
 * their neighbours did, in 3.14.1 and back in 3.17 (libfuse issue 1029, pull request 1081).
 */
export const FileInfoBit = { direct_io: 1, keep_cache: 2 } as const;

/** `struct fuse_conn_info`: what is the same in all releases. Source: fuse_common.h. */
export const CONN_INFO = {
  proto_major: 0,
  proto_minor: 4,
  max_write: 8,
  max_read: 12,
  max_readahead: 16,
  capable: 20,
  want: 24,
  max_background: 28,
  congestion_threshold: 32,
  time_gran: 36,
  bytes: 128,
} as const;

/**
 * `struct fuse_buf`. Source: fuse_common.h. 3.14 has 40 bytes; more are given here, because 3.17
 * appended `mem_size`.
 */
export const FUSE_BUF = { size: 0, flags: 8, mem: 16, fd: 24, pos: 32, bytes: 64 } as const;

/** `struct fuse_args`. Source: fuse_opt.h. */
export const FUSE_ARGS = { argc: 0, argv: 8, allocated: 16, bytes: 24 } as const;

/** `struct fuse_ctx`. Source: fuse_lowlevel.h. */
export const FUSE_CTX = { uid: 0, gid: 4, pid: 8, umask: 12, bytes: 16 } as const;

/** `struct fuse_forget_data`. Source: fuse_lowlevel.h. */
export const FORGET_DATA = { ino: 0, nlookup: 8, bytes: 16 } as const;

/** `struct libfuse_version` (3.17 and later): the interface that a program was written for. */
export const LIBFUSE_VERSION = { major: 0, minor: 4, hotfix: 8, padding: 12, bytes: 16 } as const;

/** `struct statvfs` of glibc. Source: bits/statvfs.h. */
export const STATVFS = {
  f_bsize: 0,
  f_frsize: 8,
  f_blocks: 16,
  f_bfree: 24,
  f_bavail: 32,
  f_files: 40,
  f_ffree: 48,
  f_favail: 56,
  f_flag: 72,
  f_namemax: 80,
  bytes: 112,
} as const;

/** Bits of the `to_set` argument of `setattr`. Source: fuse_lowlevel.h. */
export const SetAttr = {
  FUSE_SET_ATTR_MODE: 1 << 0,
  FUSE_SET_ATTR_UID: 1 << 1,
  FUSE_SET_ATTR_GID: 1 << 2,
  FUSE_SET_ATTR_SIZE: 1 << 3,
  FUSE_SET_ATTR_ATIME: 1 << 4,
  FUSE_SET_ATTR_MTIME: 1 << 5,
  FUSE_SET_ATTR_ATIME_NOW: 1 << 7,
  FUSE_SET_ATTR_MTIME_NOW: 1 << 8,
  FUSE_SET_ATTR_CTIME: 1 << 10,
} as const;
