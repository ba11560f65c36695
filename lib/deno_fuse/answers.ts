/**
 * What handlers answer with. Inode numbers, handles, sizes and offsets are whole numbers up to
 * 2^53; times are milliseconds since 1970, with fractions.
 *
 * `reply.ts` sends these to the kernel; `handlers.ts` says which request takes which.
 *
 * @module
 */

/** File types, to be or-ed with permission bits into a mode. Source: bits/stat.h. */
export const FileType = {
  S_IFIFO: 0o010000,
  S_IFCHR: 0o020000,
  S_IFDIR: 0o040000,
  S_IFBLK: 0o060000,
  S_IFREG: 0o100000,
  S_IFLNK: 0o120000,
  S_IFSOCK: 0o140000,
  /** Mask of all types. */
  S_IFMT: 0o170000,
} as const;

/** What `stat` shows of an inode. */
export interface Attributes {
  /** Inode number >= 1; the root's is 1. */
  readonly ino: number;
  /** {@linkcode FileType} and permission bits. */
  readonly mode: number;
  /** Number of names; default 1. */
  readonly nlink?: number;
  /** User id of the owner; default 0. */
  readonly uid?: number;
  /** Group id of the owner; default 0. */
  readonly gid?: number;
  /** Device number, for device nodes; default 0. */
  readonly rdev?: number;
  /** Length in bytes; default 0. */
  readonly size?: number;
  /** Space used, in units of 512 bytes; by default what `size` needs. */
  readonly blocks?: number;
  /** Preferred transfer size in bytes; default 4096. */
  readonly blockBytes?: number;
  /** Time of the last change to the content; default 0. */
  readonly mtimeMs?: number;
  /** Time of the last access; default `mtimeMs`. */
  readonly atimeMs?: number;
  /** Time of the last change to content or attributes; default `mtimeMs`. */
  readonly ctimeMs?: number;
}

/** Attributes, and for how long the kernel may rely on them. */
export interface TimedAttributes {
  /** The attributes. */
  readonly attributes: Attributes;
  /** For how long they hold; default is the mount's `attributesTimeoutMs`. */
  readonly attributesTimeoutMs?: number;
}

/**
 * The inode that a name leads to. Each such answer gives the kernel one more reference to the
 * inode, which `forget` takes back.
 */
export interface Entry extends TimedAttributes {
  /** For how long the name leads there; default is the mount's `entryTimeoutMs`. */
  readonly entryTimeoutMs?: number;
}

/** How a file was opened. */
export interface OpenedFile {
  /** Number that each request on the open file carries; default 0. */
  readonly handle?: number;
  /** Keep what the kernel has cached from earlier openings. */
  readonly keepCache?: boolean;
  /** Bypass the kernel's cache. Loop devices on such files hang with some kernels. */
  readonly directIo?: boolean;
}

/** How a directory was opened. */
export interface OpenedDirectory {
  /** Number that each request on the open directory carries; default 0. */
  readonly handle?: number;
}

/** One name in a directory. */
export interface DirectoryEntry {
  /** The name, in UTF-8 without "/" and NUL. */
  readonly name: string;
  /** Inode number that it leads to. */
  readonly ino: number;
  /** Its {@linkcode FileType}; permission bits are ignored. */
  readonly mode: number;
  /** Any number >= 1: the `offset` of the `readdir` that continues after this entry. */
  readonly nextOffset: number;
}

/** One name in a directory with its attributes. Counts as a lookup, except for "." and "..". */
export interface DirectoryEntryPlus extends Entry {
  /** The name, in UTF-8 without "/" and NUL. */
  readonly name: string;
  /** Any number >= 1: the `offset` of the `readdirplus` that continues after this entry. */
  readonly nextOffset: number;
}

/** What `statvfs` shows of a file system. */
export interface FileSystemSpace {
  /** Size of a block in bytes; default 4096. */
  readonly blockBytes?: number;
  /** Number of blocks; default 0. */
  readonly blocks?: number;
  /** Number of free blocks; default 0. */
  readonly freeBlocks?: number;
  /** Number of free blocks for users other than root; default `freeBlocks`. */
  readonly availableBlocks?: number;
  /** Number of inodes; default 0. */
  readonly inodes?: number;
  /** Number of free inodes; default 0. */
  readonly freeInodes?: number;
  /** Length limit of names in bytes; default 255. */
  readonly maxNameBytes?: number;
}
