/**
 * What names, inodes and open files of a mount mean. Each method answers one kind of request.
 *
 * The root directory holds a file for each revision and the symbolic link `last`. Files can be read
 * and written to, but their size, owner and times are fixed, and so are the directory's entries.
 * There is no handler for requests that would change those: `deno-fuse` refuses them with EPERM
 * (mkdir(2), link(2): "the file system does not support"), and fallocate with EOPNOTSUPP. Pure;
 * before: `lib/deno_fuse`, next: `lib/image_access/image.ts`.
 *
 * Failures of chunks and maps become errno values here (`errno.ts`); any other error is a bug and
 * thrown as it is.
 *
 * @module
 */

import {
  type Answer,
  type AttributeChanges,
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
import type { OpenImage } from "../image_access/image.ts";
import { MapChangedError } from "../image_access/image_map.ts";
import type { ReadBytes } from "../image_access/read_bytes.ts";
import { OpenFlag } from "../linux/files.ts";
import { Whence } from "../linux/file_space.ts";
import {
  extendedAttribute,
  extendedNames,
  lastAttributes,
  type Owner,
  revisionAttributes,
  rootAttributes,
} from "./attributes.ts";
import { failWithErrno, withErrno } from "./errno.ts";
import { LAST_NAME, type RevisionDirectory } from "./revision_directory.ts";
import { LAST_INO, type RevisionNode, ROOT_INO } from "./revision_nodes.ts";

/** What lseek(2) looks for. */
const SEEKABLE: ReadonlyMap<number, "data" | "hole"> = new Map([
  [Whence.SEEK_DATA, "data"],
  [Whence.SEEK_HOLE, "hole"],
]);

/** Unit in which space is counted. */
const BLOCK_BYTES = 4096;

/** The parts of a file system. */
export interface FilesystemOptions {
  readonly directory: RevisionDirectory;
  readonly owner: Owner;
  /** Returns the size and the free space of the file system that changes are stored in. */
  readonly readSpace: () => { totalBytes: number; availableBytes: number };
}

/** The handlers of a mount. */
export class Filesystem implements Handlers {
  readonly #options: FilesystemOptions;
  readonly #directory: RevisionDirectory;
  readonly #files = new Map<number, OpenImage>();
  readonly #listings = new Map<number, readonly DirectoryEntry[]>();
  #nextHandle = 1;
  #sent: ReadBytes[] = [];

  constructor(options: FilesystemOptions) {
    this.#options = options;
    this.#directory = options.directory;
  }

  /** Number of revisions that are served. */
  get revisionCount(): number {
    return this.#directory.count;
  }

  lookup({ parent, name }: OnName): Entry | null {
    if (parent !== ROOT_INO) throw new FuseError(Errno.ENOTDIR);
    const node = this.#directory.find(name);
    if (node) {
      const timed = this.#revisionAttributes(node);
      // A revision that may still be written must be looked up each time.
      const isFinal = node.entry.info.isComplete && node.image.map.isSettled;
      return isFinal ? timed : { ...timed, entryTimeoutMs: 0, attributesTimeoutMs: 0 };
    }
    if (name !== LAST_NAME) return null;
    const last = this.#directory.findLast();
    return last && { attributes: lastAttributes(this.#options.owner, last) };
  }

  getattr({ ino }: OnInode): TimedAttributes {
    return this.#attributesOf(ino);
  }

  /**
   * Accepts only what changes nothing. Times are not kept, but setting them must not fail: `touch`,
   * `cp -p` and the kernel do so on files that they may write to.
   */
  setattr({ ino, changes }: OnInode & { changes: AttributeChanges }): TimedAttributes {
    const timed = this.#attributesOf(ino);
    const { attributes } = timed;
    const permissions = attributes.mode & ~FileType.S_IFMT;
    const isSame = (changes.size ?? attributes.size) === attributes.size &&
      ((changes.mode ?? permissions) & ~FileType.S_IFMT) === permissions &&
      (changes.uid ?? attributes.uid) === attributes.uid &&
      (changes.gid ?? attributes.gid) === attributes.gid;
    if (!isSame) throw new FuseError(Errno.EPERM);
    return timed;
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
    // The kernel truncates by `setattr` before, unless it was told that `open` does.
    if (flags & OpenFlag.O_TRUNC) throw new FuseError(Errno.EPERM);
    // On ESTALE the kernel looks the name up again, see path_openat() in its fs/namei.c.
    if (this.#directory.find(node.entry.name) !== node) throw new FuseError(Errno.ESTALE);
    const opened = withErrno(() => node.image.open());
    if (!(opened instanceof Promise)) return this.#addFile(opened);
    return opened.then((file) => this.#addFile(file), (error) => {
      if (!(error instanceof MapChangedError)) return failWithErrno(error);
      this.#directory.replace(node);
      throw new FuseError(Errno.ESTALE, { cause: error });
    });
  }

  release({ handle }: OnHandle): void {
    this.#files.get(handle)?.close();
    this.#files.delete(handle);
  }

  /** Does nothing: no change is held back until a descriptor is closed. */
  flush(_op: OnHandle): void {}

  /** Does nothing: changes last only as long as the mount, so they need not reach a disk. */
  fsync(_op: OnHandle): void {}

  fsyncdir(_op: OnHandle): void {}

  read(
    { handle, offset, size }: OnHandle & { offset: number; size: number },
  ): Answer<readonly Uint8Array[]> {
    const file = this.#fileAt(handle);
    const bytes = withErrno(() => file.read(offset, size));
    if (!(bytes instanceof Promise)) return this.#send(bytes);
    return bytes.then((bytes) => this.#send(bytes), (error) => failWithErrno(error));
  }

  /** Writes up to the image's end. Behind it EFBIG, as for a file that must not grow. */
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
    const done = withErrno(() => image.write(offset, data.subarray(0, count)), { isWrite });
    return done ? done.then(() => count, (error) => failWithErrno(error, { isWrite })) : count;
  }

  /**
   * Finds holes by the map and by what was written. Writes through a shared memory mapping count
   * when they arrive, at munmap(2) or msync(2): the kernel does not write them back before it asks.
   */
  lseek({ handle, offset, whence }: OnHandle & { offset: number; whence: number }): number {
    const { image } = this.#fileAt(handle);
    const wanted = SEEKABLE.get(whence);
    if (wanted === undefined) throw new FuseError(Errno.EINVAL);
    const found = withErrno(() => image.seek(offset, wanted));
    if (found === null) throw new FuseError(Errno.ENXIO);
    return found;
  }

  opendir({ ino }: OnInode): OpenedDirectory {
    if (ino !== ROOT_INO) throw new FuseError(Errno.ENOTDIR);
    this.#directory.refreshAll();
    const handle = this.#nextHandle++;
    this.#listings.set(handle, this.#list());
    return { handle };
  }

  /** The listing stays the same from `opendir` to `releasedir`, so that its offsets do. */
  *readdir({ handle, offset }: OnHandle & { offset: number }): Generator<DirectoryEntry> {
    const listing = this.#listings.get(handle);
    if (!listing) throw new FuseError(Errno.EBADF);
    for (let index = offset; index < listing.length; index++) yield listing[index]!;
  }

  releasedir({ handle }: OnHandle): void {
    this.#listings.delete(handle);
  }

  /** Space of the file system that changes are stored in. Reads no revision map. */
  statfs(_op: OnInode): FileSystemSpace {
    const { totalBytes, availableBytes } = withErrno(() => this.#options.readSpace());
    const freeBlocks = Math.floor(availableBytes / BLOCK_BYTES);
    return {
      blockBytes: BLOCK_BYTES,
      blocks: Math.floor(totalBytes / BLOCK_BYTES),
      freeBlocks,
      availableBlocks: freeBlocks,
      inodes: this.revisionCount,
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
    return extendedNames(node.entry.info);
  }

  /**
   * Keeps the pages of an answer until it has been sent: that happens right after the handler
   * returns or its promise settles, and so before the next turn of the event loop.
   */
  #send(bytes: ReadBytes): readonly Uint8Array[] {
    this.#sent.push(bytes);
    if (this.#sent.length === 1) {
      setTimeout(() => {
        for (const bytes of this.#sent.splice(0)) bytes.release();
      }, 0);
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

  #attributesOf(ino: number): TimedAttributes {
    const { owner } = this.#options;
    if (ino === ROOT_INO) return { attributes: rootAttributes(owner, this.#directory.modifiedMs) };
    if (ino !== LAST_INO) return this.#revisionAttributes(this.#nodeAt(ino));
    const { last } = this.#directory;
    if (last === null) throw new FuseError(Errno.ENOENT);
    return { attributes: lastAttributes(owner, last) };
  }

  /**
   * A file's space is known only when its map has been read: a listing must not read a thousand
   * maps. Until then the kernel has to ask each time, so that programs that open a file and then
   * look at its space, as cp and tar do, see that it has holes.
   */
  #revisionAttributes(node: RevisionNode): TimedAttributes {
    const attributes = withErrno(() => revisionAttributes(this.#options.owner, node));
    return node.image.dataBytes === null ? { attributes, attributesTimeoutMs: 0 } : { attributes };
  }

  #addFile(file: OpenImage): OpenedFile {
    const handle = this.#nextHandle++;
    this.#files.set(handle, file);
    // The kernel's cache stays right: content changes only by writes through the kernel, and an
    // image of another map has another inode number.
    return { handle, keepCache: true, directIo: false };
  }

  /**
   * Returns the revision of an inode number.
   *
   * @throws {FuseError} ESTALE if it was replaced and nobody has it open: the kernel then looks its
   *   name up again.
   */
  #nodeAt(ino: number): RevisionNode {
    const node = this.#directory.at(ino);
    const isCurrent = node && (node.image.isOpen || this.#directory.isPresent(node));
    if (node && isCurrent) return node;
    throw new FuseError(this.#directory.wasGiven(ino) ? Errno.ESTALE : Errno.ENOENT);
  }

  /** Returns the revision of an inode number; `null` for the root and `last`. */
  #revisionAt(ino: number): RevisionNode | null {
    return ino === ROOT_INO || ino === LAST_INO ? null : this.#nodeAt(ino);
  }

  #fileAt(handle: number): OpenImage {
    const file = this.#files.get(handle);
    if (!file) throw new FuseError(Errno.EBADF);
    return file;
  }
}
