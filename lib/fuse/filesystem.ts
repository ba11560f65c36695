/**
 * Step 3 of a FUSE read: what names, inodes and open files mean. Each method answers one kind of
 * request.
 *
 * The root directory holds a file for each revision and the symbolic link `last`. Files can be read
 * and written to, but have the size, owner and times that they have, and the directory's entries
 * are what the backup directory holds. There is no handler for requests that would change those:
 * `deno-fuse` refuses them with EPERM (mkdir(2), link(2): "the file system does not support"), and
 * fallocate with EOPNOTSUPP. Pure; before: `lib/deno_fuse`, next: `image.ts`.
 *
 * Failures of chunks and maps become errno values here (`errno.ts`); what is no such failure is a
 * bug and is thrown as it is.
 *
 * @module
 */

import {
  type Answer,
  type AttributeChanges,
  type Attributes,
  type DirectoryEntry,
  type Entry,
  Errno,
  type FileSystemSpace,
  FileType,
  FuseError,
  type Handlers,
  type OnHandle,
  type OnInode,
  type OnName,
  type OpenedDirectory,
  type OpenedFile,
  type TimedAttributes,
  type WithFlags,
} from "deno-fuse";
import { BackyError } from "../errors.ts";
import type { CatalogEntry } from "../store/catalog.ts";
import { errnoFor } from "./errno.ts";
import { EXTENDED_NAMES, extendedAttribute } from "./extended_attributes.ts";
import type { OpenImage } from "../image_access/image.ts";
import { MapChangedError } from "../image_access/image_map.ts";
import type { ReadBytes } from "../image_access/read_bytes.ts";
import {
  LAST_INO,
  LAST_NAME,
  type RevisionDirectory,
  type RevisionNode,
  ROOT_INO,
} from "./revision_directory.ts";

/** Flag of open(2). Source: asm-generic/fcntl.h. */
const O_TRUNC = 0o1000;

/** Unit in which space is counted. */
const BLOCK_BYTES = 4096;

/** What a file system is made of. */
export interface FilesystemOptions {
  readonly directory: RevisionDirectory;
  /** Whom all files belong to. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Asks how full the place is that changes go to, in bytes. */
  readonly readSpace: () => { totalBytes: number; availableBytes: number };
  /**
   * Runs a function when answers that were given before have been sent; default: in the next turn
   * of the event loop.
   */
  readonly afterAnswers?: (run: () => void) => void;
}

/** The handlers of a mount. */
export class Filesystem implements Handlers {
  readonly #options: FilesystemOptions;
  readonly #directory: RevisionDirectory;
  readonly #afterAnswers: (run: () => void) => void;
  readonly #files = new Map<number, OpenImage>();
  readonly #listings = new Map<number, readonly DirectoryEntry[]>();
  #nextHandle = 1;
  #sent: ReadBytes[] = [];

  constructor(options: FilesystemOptions) {
    this.#options = options;
    this.#directory = options.directory;
    this.#afterAnswers = options.afterAnswers ?? ((run) => void setTimeout(run, 0));
  }

  lookup({ parent, name }: OnName): Entry | null {
    if (parent !== ROOT_INO) throw new FuseError(Errno.ENOTDIR);
    const node = this.#directory.find(name);
    if (node) {
      const attributes = this.#revisionAttributes(node);
      // What is still being written must be looked at each time.
      const isFinal = node.entry.info.isComplete && node.image.map.isSettled;
      return { attributes, ...isFinal ? {} : { entryTimeoutMs: 0, attributesTimeoutMs: 0 } };
    }
    if (name !== LAST_NAME) return null;
    this.#directory.findLast();
    const attributes = this.#lastAttributes();
    return attributes && { attributes };
  }

  getattr({ ino }: OnInode): TimedAttributes {
    return { attributes: this.#attributesOf(ino) };
  }

  /**
   * Accepts what changes nothing. Times are not kept, but setting them must not fail: `touch`, `cp
   * -p` and the kernel do so on files that they may write to.
   */
  setattr({ ino, changes }: OnInode & { changes: AttributeChanges }): TimedAttributes {
    const attributes = this.#attributesOf(ino);
    const permissions = attributes.mode & ~FileType.S_IFMT;
    const isSame = (changes.size ?? attributes.size) === attributes.size &&
      ((changes.mode ?? permissions) & ~FileType.S_IFMT) === permissions &&
      (changes.uid ?? attributes.uid) === attributes.uid &&
      (changes.gid ?? attributes.gid) === attributes.gid;
    if (!isSame) throw new FuseError(Errno.EPERM);
    return { attributes };
  }

  readlink({ ino }: OnInode): string {
    if (ino !== LAST_INO) throw new FuseError(Errno.EINVAL);
    const last = this.#directory.findLast();
    if (last === null) throw new FuseError(Errno.ENOENT);
    return last.entry.name;
  }

  open({ ino, flags }: OnInode & WithFlags): Answer<OpenedFile> {
    if (ino === ROOT_INO) throw new FuseError(Errno.EISDIR);
    if (ino === LAST_INO) throw new FuseError(Errno.ELOOP);
    const node = this.#nodeAt(ino);
    // The kernel asks for that by `setattr` first, unless it was told otherwise.
    if (flags & O_TRUNC) throw new FuseError(Errno.EPERM);
    // With ESTALE it looks the name up once more, see path_openat() in its fs/namei.c.
    if (this.#directory.find(node.entry.name) !== node) throw new FuseError(Errno.ESTALE);
    const opened = guard(() => node.image.open());
    if (!(opened instanceof Promise)) return this.#addFile(opened);
    return opened.then((file) => this.#addFile(file), (error) => {
      if (!(error instanceof MapChangedError)) return refuse(error);
      this.#directory.replace(node);
      throw new FuseError(Errno.ESTALE, { cause: error });
    });
  }

  release({ handle }: OnHandle): void {
    this.#files.get(handle)?.close();
    this.#files.delete(handle);
  }

  /** Nothing is held back for a descriptor's end. */
  flush(_op: OnHandle): void {}

  /** Changes last as long as the mount, so there is no disk that they would have to reach. */
  fsync(_op: OnHandle): void {}

  fsyncdir(_op: OnHandle): void {}

  read(
    { handle, offset, size }: OnHandle & { offset: number; size: number },
  ): Answer<readonly Uint8Array[]> {
    const file = this.#fileAt(handle);
    const bytes = guard(() => file.read(offset, size));
    if (!(bytes instanceof Promise)) return this.#send(bytes);
    return bytes.then((bytes) => this.#send(bytes), (error) => refuse(error));
  }

  /** Writes up to the image's end. EFBIG beyond it, as for a file that may not grow. */
  write(
    { handle, offset, data }: OnHandle & { offset: number; data: Uint8Array<ArrayBuffer> },
  ): Answer<number> {
    const { image } = this.#fileAt(handle);
    const count = Math.min(data.length, image.size - offset);
    if (count <= 0) {
      if (data.length === 0) return 0;
      throw new FuseError(Errno.EFBIG);
    }
    const isWrite = true;
    const done = guard(() => image.write(offset, data.subarray(0, count)), { isWrite });
    return done ? done.then(() => count, (error) => refuse(error, { isWrite })) : count;
  }

  opendir({ ino }: OnInode): OpenedDirectory {
    if (ino !== ROOT_INO) throw new FuseError(Errno.ENOTDIR);
    this.#directory.refreshAll();
    const handle = this.#nextHandle++;
    this.#listings.set(handle, this.#list());
    return { handle };
  }

  /** What is listed stays the same from `opendir` to `releasedir`, so that the offsets do. */
  *readdir({ handle, offset }: OnHandle & { offset: number }): Generator<DirectoryEntry> {
    const listing = this.#listings.get(handle);
    if (!listing) throw new FuseError(Errno.EBADF);
    for (let index = offset; index < listing.length; index++) yield listing[index]!;
  }

  releasedir({ handle }: OnHandle): void {
    this.#listings.delete(handle);
  }

  /** The room that changes have in the place they are stored in. No revision map is looked at. */
  statfs(_op: OnInode): FileSystemSpace {
    const { totalBytes, availableBytes } = guard(() => this.#options.readSpace());
    const freeBlocks = Math.floor(availableBytes / BLOCK_BYTES);
    return {
      blockBytes: BLOCK_BYTES,
      blocks: Math.floor(totalBytes / BLOCK_BYTES),
      freeBlocks,
      availableBlocks: freeBlocks,
      inodes: this.#directory.count,
      freeInodes: 0,
      maxNameBytes: 255,
    };
  }

  getxattr({ ino, name }: OnInode & { name: string }): Uint8Array {
    const node = this.#revisionAt(ino);
    const value = node && extendedAttribute(node.entry.info, name);
    if (value === null) throw new FuseError(Errno.ENODATA);
    return value;
  }

  listxattr({ ino }: OnInode): readonly string[] {
    const node = this.#revisionAt(ino);
    if (node === null) return [];
    return EXTENDED_NAMES.filter((name) => extendedAttribute(node.entry.info, name) !== null);
  }

  /**
   * Keeps what was read as it is until the answer was sent, which is done right after a handler or
   * its promise is.
   */
  #send(bytes: ReadBytes): readonly Uint8Array[] {
    this.#sent.push(bytes);
    if (this.#sent.length === 1) {
      this.#afterAnswers(() => {
        for (const bytes of this.#sent.splice(0)) bytes.release();
      });
    }
    return bytes.views;
  }

  #list(): DirectoryEntry[] {
    const { nodes, last } = this.#directory;
    const entries = [
      { name: ".", ino: ROOT_INO, mode: FileType.S_IFDIR },
      { name: "..", ino: ROOT_INO, mode: FileType.S_IFDIR },
      ...(last ? [{ name: LAST_NAME, ino: LAST_INO, mode: FileType.S_IFLNK }] : []),
      ...nodes.map(({ entry, ino }) => ({ name: entry.name, ino, mode: FileType.S_IFREG })),
    ];
    return entries.map((entry, index) => ({ ...entry, nextOffset: index + 1 }));
  }

  #attributesOf(ino: number): Attributes {
    if (ino === ROOT_INO) return this.#rootAttributes();
    const attributes = ino === LAST_INO
      ? this.#lastAttributes()
      : this.#revisionAttributes(this.#nodeAt(ino));
    if (attributes === null) throw new FuseError(Errno.ENOENT);
    return attributes;
  }

  #rootAttributes(): Attributes {
    return {
      ...this.#options.owner,
      ino: ROOT_INO,
      mode: FileType.S_IFDIR | 0o755,
      nlink: 2,
      mtimeMs: this.#directory.modifiedMs,
    };
  }

  #lastAttributes(): Attributes | null {
    const { last } = this.#directory;
    return last && {
      ...this.#options.owner,
      ino: LAST_INO,
      mode: FileType.S_IFLNK | 0o777,
      size: new TextEncoder().encode(last.entry.name).length,
      mtimeMs: mtimeMsOf(last.entry),
    };
  }

  #revisionAttributes({ ino, image, entry }: RevisionNode): Attributes {
    return {
      ...this.#options.owner,
      ino,
      mode: FileType.S_IFREG | 0o644,
      size: guard(() => image.size),
      mtimeMs: mtimeMsOf(entry),
    };
  }

  #addFile(file: OpenImage): OpenedFile {
    const handle = this.#nextHandle++;
    this.#files.set(handle, file);
    // Content changes by writes through the kernel only, and an image of another map has another
    // inode number: so the kernel's cache stays right.
    return { handle, keepCache: true, directIo: false };
  }

  /**
   * Returns the revision of an inode number.
   *
   * @throws {FuseError} ESTALE if it was replaced and nobody has it open: the kernel then looks its
   *   name up once more.
   */
  #nodeAt(ino: number): RevisionNode {
    const node = this.#directory.at(ino);
    const isCurrent = node && (node.image.isOpen || this.#directory.isPresent(node));
    if (node && isCurrent) return node;
    throw new FuseError(this.#directory.wasGiven(ino) ? Errno.ESTALE : Errno.ENOENT);
  }

  /** Returns the revision of an inode number, `null` for what is none. */
  #revisionAt(ino: number): RevisionNode | null {
    return ino === ROOT_INO || ino === LAST_INO ? null : this.#nodeAt(ino);
  }

  #fileAt(handle: number): OpenImage {
    const file = this.#files.get(handle);
    if (!file) throw new FuseError(Errno.EBADF);
    return file;
  }
}

/** The backup's start; 1970 for one whose time is unknown, as a file must have some time. */
function mtimeMsOf({ time }: CatalogEntry): number {
  return time?.getTime() ?? 0;
}

/** Runs a function and gives its failure an errno value. */
function guard<T>(run: () => T, options: { isWrite?: boolean } = {}): T {
  try {
    return run();
  } catch (error) {
    return refuse(error, options);
  }
}

function refuse(error: unknown, options: { isWrite?: boolean } = {}): never {
  if (!(error instanceof BackyError)) throw error;
  throw new FuseError(errnoFor(error, options), { cause: error });
}
