/**
 * What can be done with the files of a mount. Each method answers one kind of request.
 *
 * `tree.ts` says which files there are. Images and partitions can be read and written to, but their
 * size, owner and times are fixed, and so are the directories' entries. There is no handler for
 * requests that would change those: `deno-fuse` refuses them with EPERM (mkdir(2), link(2): "the
 * file system does not support"), and fallocate with EOPNOTSUPP. Pure; before: `lib/deno_fuse`,
 * next: `lib/image_access/image.ts`.
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
  type Request,
  type TimedAttributes,
  type WithFlags,
} from "../deno_fuse/mod.ts";
import type { OpenImage } from "../image_access/image.ts";
import { MapChangedError } from "../image_access/image_map.ts";
import type { ReadBytes } from "../image_access/read_bytes.ts";
import { OpenFlag } from "../linux/files.ts";
import { Whence } from "../linux/file_space.ts";
import { attributesOf, type Owner } from "./attributes.ts";
import { failWithErrno, withErrno } from "./errno.ts";
import { type CountChunks, EXTENDED_PREFIX, extendedAttributes } from "./extended_attributes.ts";
import { ROOT_INO } from "./inodes.ts";
import type { RevisionDirectory } from "./revision_directory.ts";
import type { RevisionNode } from "./revision_nodes.ts";
import { type FilePlace, type Place, Tree } from "./tree.ts";
import { noteWrite, type StaleRange, type View } from "./views.ts";

/** What lseek(2) looks for. */
const SEEKABLE: ReadonlyMap<number, "data" | "hole"> = new Map([
  [Whence.SEEK_DATA, "data"],
  [Whence.SEEK_HOLE, "hole"],
]);

/** Unit in which space is counted. */
const BLOCK_BYTES = 4096;

const encoder = new TextEncoder();

/**
 * How long a request waits until the kernel has dropped what it has cached. It takes microseconds,
 * but the kernel waits for pages that are being read or written, and two writes through different
 * files may wait for each other.
 */
const INVALIDATION_MS = 1000;

/** The parts of a file system. */
export interface FilesystemOptions {
  readonly directory: RevisionDirectory;
  readonly owner: Owner;
  /** Returns the size and the free space of the file system that changes are stored in. */
  readonly readSpace: () => { totalBytes: number; availableBytes: number };
  readonly countChunks: CountChunks;
  /** Makes the kernel drop what it has cached of a file; resolves when it has. */
  readonly invalidate: (range: StaleRange) => Promise<void>;
}

/** An image or a partition that somebody has open. */
interface OpenPlace {
  readonly place: FilePlace;
  readonly image: OpenImage;
  /** Whether it can be changed through a shared memory mapping, see mmap(2). */
  readonly isMappable: boolean;
}

/** The handlers of a mount. */
export class Filesystem implements Handlers {
  readonly #options: FilesystemOptions;
  readonly #directory: RevisionDirectory;
  readonly #tree: Tree;
  readonly #files = new Map<number, OpenPlace>();
  readonly #listings = new Map<number, readonly DirectoryEntry[]>();
  #nextHandle = 1;
  #sent: ReadBytes[] = [];

  constructor(options: FilesystemOptions) {
    this.#options = options;
    this.#directory = options.directory;
    this.#tree = new Tree(options.directory);
  }

  /** Number of revisions that are served. */
  get revisionCount(): number {
    return this.#directory.count;
  }

  lookup({ parent, name }: OnName): Answer<Entry | null> {
    const found = withErrno(() => this.#tree.find(parent, name));
    if (!(found instanceof Promise)) return this.#entryOf(found);
    return found.then(
      (place) => this.#entryOf(place),
      (error) => this.#failWithTable(parent, error),
    );
  }

  getattr({ ino }: OnInode): TimedAttributes {
    return this.#attributesOf(this.#tree.at(ino));
  }

  /**
   * Accepts only what changes nothing. Times are not kept, but setting them must not fail: `touch`,
   * `cp -p` and the kernel do so on files that they may write to.
   */
  setattr({ ino, changes }: OnInode & { changes: AttributeChanges }): TimedAttributes {
    const timed = this.#attributesOf(this.#tree.at(ino));
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
    // What `last` leads to may have changed since it was looked up.
    if (this.#tree.isLastLink(ino)) this.#directory.findLast();
    const place = this.#tree.at(ino);
    if (place.kind !== "link") throw new FuseError(Errno.EINVAL);
    return place.target;
  }

  open({ ino, flags }: OnInode & WithFlags): Answer<OpenedFile> {
    const place = this.#tree.at(ino);
    if (place.kind === "link") throw new FuseError(Errno.ELOOP);
    if (place.kind !== "file") throw new FuseError(Errno.EISDIR);
    // The kernel truncates by `setattr` before, unless it was told that `open` does.
    if (flags & OpenFlag.O_TRUNC) throw new FuseError(Errno.EPERM);
    // On ESTALE the kernel looks the name up again, see path_openat() in its fs/namei.c.
    if (!this.#tree.isCurrent(place)) throw new FuseError(Errno.ESTALE);
    const isMappable = (flags & OpenFlag.O_ACCMODE) === OpenFlag.O_RDWR;
    const opened = withErrno(() => place.node.image.open());
    if (!(opened instanceof Promise)) {
      return this.#addFile({ place, image: opened, isMappable });
    }
    return opened.then(
      (image) => this.#addFile({ place, image, isMappable }),
      (error) => this.#failWithMap(place.node, error),
    );
  }

  release({ handle }: OnHandle, request?: Request | null): void {
    const file = this.#files.get(handle);
    if (!file) return;
    file.image.close();
    file.place.view.close({ wasRefused: request === null });
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
    const { place: { view }, image } = this.#fileAt(handle);
    const count = view.bytes === null ? size : Math.min(size, Math.max(0, view.bytes - offset));
    const bytes = withErrno(() => image.read(view.start + offset, count));
    if (!(bytes instanceof Promise)) return this.#send(bytes);
    return bytes.then((bytes) => this.#send(bytes), (error) => failWithErrno(error));
  }

  /** Writes up to the file's end. Behind it EFBIG, as for a file that must not grow. */
  write(
    { handle, offset, data }: OnHandle & { offset: number; data: Uint8Array<ArrayBuffer> },
  ): Answer<number> {
    const { place, image: { image } } = this.#fileAt(handle);
    const { start, bytes } = place.view;
    const count = Math.min(data.length, (bytes ?? image.size) - offset);
    if (count <= 0) {
      if (data.length === 0) return 0;
      throw new FuseError(Errno.EFBIG);
    }
    const isWrite = true;
    const written = data.subarray(0, count);
    const done = withErrno(() => image.write(start + offset, written), { isWrite });
    const finish = () => this.#whenSeen(place, { offset: start + offset, length: count });
    return done ? done.then(finish, (error) => failWithErrno(error, { isWrite })) : finish();
  }

  /**
   * Finds holes by the map and by what was written. The kernel asks before it writes back what a
   * program has changed in a shared memory mapping, so it is made to do so in a hole first.
   */
  lseek({ handle, offset, whence }: OnHandle & { offset: number; whence: number }): Answer<number> {
    const { place, image: { image } } = this.#fileAt(handle);
    const wanted = SEEKABLE.get(whence);
    if (wanted === undefined) throw new FuseError(Errno.EINVAL);
    const find = (from: number, wanted: "data" | "hole") =>
      withErrno(() => place.view.seek(image, from, wanted));
    const answer = () => {
      const found = find(offset, wanted);
      if (found === null) throw new FuseError(Errno.ENXIO);
      return found;
    };
    if (!this.#mayBeMapped(place.view)) return answer();
    const size = place.view.bytes ?? image.size;
    const start = wanted === "data" ? offset : answer();
    const end = find(start, "data") ?? size;
    if (start < 0 || start >= end) return answer();
    return this.#dropped([{ ino: place.ino, offset: start, length: end - start }]).then(answer);
  }

  opendir({ ino }: OnInode): Answer<OpenedDirectory> {
    const place = this.#tree.at(ino);
    const listed = withErrno(() => this.#tree.list(place));
    const open = (entries: Awaited<typeof listed>) => {
      const handle = this.#nextHandle++;
      const parent = { name: "..", ino: ROOT_INO, type: FileType.S_IFDIR };
      const all = [{ ...parent, name: ".", ino }, parent, ...entries].map(
        ({ name, ino, type }, index) => ({ name, ino, mode: type, nextOffset: index + 1 }),
      );
      this.#listings.set(handle, all);
      return { handle };
    };
    if (!(listed instanceof Promise)) return open(listed);
    return listed.then(open, (error) => this.#failWithTable(ino, error));
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

  getxattr({ ino, name }: OnInode & { name: string }): Answer<Uint8Array> {
    // Programs ask each file for attributes of access control, which must not read a table.
    if (!name.startsWith(EXTENDED_PREFIX)) throw new FuseError(Errno.ENODATA);
    const all = extendedAttributes(this.#tree.at(ino), this.#options.countChunks);
    const value = Object.hasOwn(all, name) ? all[name]! : null;
    if (value === null) throw new FuseError(Errno.ENODATA);
    const text = withErrno(() => typeof value === "string" ? value : value());
    if (typeof text === "string") return encoder.encode(text);
    return text.then(
      (text) => encoder.encode(text),
      (error) => this.#failWithTable(ino, error),
    );
  }

  listxattr({ ino }: OnInode): readonly string[] {
    return Object.keys(extendedAttributes(this.#tree.at(ino), this.#options.countChunks));
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

  #entryOf(place: Place | null): Entry | null {
    if (place === null) return null;
    const timed = this.#attributesOf(place);
    if (!("node" in place) || place.kind === "link") return timed;
    const { node: { entry, image } } = place;
    // A revision that may still be written must be looked up each time.
    const isFinal = entry.info.isComplete && image.map.isSettled;
    if (!isFinal) return { ...timed, entryTimeoutMs: 0, attributesTimeoutMs: 0 };
    // The table may be written at any time.
    const isPartition = place.kind === "file" && place.partition !== null;
    return isPartition ? { ...timed, entryTimeoutMs: 0 } : timed;
  }

  #attributesOf(place: Place): TimedAttributes {
    const { owner } = this.#options;
    const directoryMs = this.#directory.modifiedMs;
    return withErrno(() => attributesOf(place, { owner, directoryMs }));
  }

  #addFile(file: OpenPlace): OpenedFile {
    const handle = this.#nextHandle++;
    this.#files.set(handle, file);
    file.place.node.openedViews.add(file.place.view);
    // Content changes only by writes through the kernel, and an image of another map has another
    // inode number. So only writes through other files make the kernel's cache wrong.
    return { handle, ...file.place.view.open(), directIo: false };
  }

  /** Returns the number of bytes written as soon as all files that are open show them. */
  #whenSeen(
    { node, view }: FilePlace,
    range: { offset: number; length: number },
  ): Answer<number> {
    const stale = noteWrite(node.openedViews, view, range);
    if (stale.length === 0) return range.length;
    return this.#dropped(stale).then(() => range.length);
  }

  /** Whether a shared memory mapping may hold changes of a file that have not arrived. */
  #mayBeMapped(view: View): boolean {
    for (const { place, isMappable } of this.#files.values()) {
      if (isMappable && place.view === view) return true;
    }
    return false;
  }

  /** Resolves when the kernel has written back and dropped what it has cached, or is late. */
  async #dropped(ranges: readonly StaleRange[]): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, INVALIDATION_MS);
    await Promise.race([Promise.all(ranges.map((range) => this.#options.invalidate(range))), late]);
    clearTimeout(timer);
  }

  /** Fails a request that needs the map of a revision, which may be another by now. */
  #failWithMap(node: RevisionNode, error: unknown): never {
    if (!(error instanceof MapChangedError)) return failWithErrno(error);
    this.#directory.replace(node);
    throw new FuseError(Errno.ESTALE, { cause: error });
  }

  /** Fails a request that needs the partition table of a directory. */
  #failWithTable(ino: number, error: unknown): never {
    const place = error instanceof MapChangedError ? this.#tree.at(ino) : null;
    return place && "node" in place ? this.#failWithMap(place.node, error) : failWithErrno(error);
  }

  #fileAt(handle: number): OpenPlace {
    const file = this.#files.get(handle);
    if (!file) throw new FuseError(Errno.EBADF);
    return file;
  }
}
