/**
 * Sends a typed answer to the kernel.
 *
 * Each method of {@linkcode Replier} fills a C struct and calls one `fuse_reply_*` function, which
 * sends the answer and frees the request: the pointer must not be used again. All return 0, or a
 * negative errno if the answer could not be delivered: -ENOENT if the caller was interrupted,
 * -ENODEV if the mount is gone. Memory of an answer is read during the call only.
 *
 * `operations.ts` says which request is answered by which method; `dispatcher.ts` makes sure that
 * it happens once.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { cString } from "../linux/libc.ts";
import { IOVEC } from "../linux/stream_socket.ts";
import {
  type Attributes,
  type DirectoryEntry,
  type DirectoryEntryPlus,
  type Entry,
  type FileSystemSpace,
  FileType,
  type OpenedFile,
  type TimedAttributes,
} from "./answers.ts";
import { FuseError } from "./errors.ts";
import type { Libfuse3 } from "./libfuse3.ts";
import { ENTRY_PARAM, FILE_INFO, FileInfoBit, STAT, STATVFS } from "./structs.ts";

/** `fuse_req_t`, which is valid until its answer. */
export type RequestPointer = NonNullable<Deno.PointerValue>;

/** For how long the kernel may rely on answers that do not say so themselves. */
export interface Timeouts {
  readonly entryTimeoutMs: number;
  readonly attributesTimeoutMs: number;
}

/** Linux takes 1024 buffers at once (UIO_MAXIOV, linux/uio.h); the reply's header needs one. */
const MAX_VIEWS = 1023;

/** A struct that each reply fills anew: replies are synchronous, so one of each kind is enough. */
function scratch(bytes: number): { bytes: Uint8Array<ArrayBuffer>; fields: DataView } {
  const buffer = new ArrayBuffer(bytes);
  return { bytes: new Uint8Array(buffer), fields: new DataView(buffer) };
}

const encoder = new TextEncoder();

export class Replier {
  readonly #library: Libfuse3;
  readonly #timeouts: Timeouts;
  readonly #entry = scratch(ENTRY_PARAM.bytes);
  readonly #stat = scratch(STAT.bytes);
  readonly #file = scratch(FILE_INFO.bytes);
  readonly #space = scratch(STATVFS.bytes);

  constructor(library: Libfuse3, timeouts: Timeouts) {
    this.#library = library;
    this.#timeouts = timeouts;
  }

  /** Answers with an errno; 0 is success. */
  error(req: RequestPointer, errno: number): number {
    return this.#library.symbols.fuse_reply_err(req, errno);
  }

  /** Ends a request that has no answer. */
  none(req: RequestPointer): number {
    this.#library.symbols.fuse_reply_none(req);
    return 0;
  }

  entry(req: RequestPointer, entry: Entry | null): number {
    if (!entry) return this.error(req, Errno.ENOENT);
    this.#fillEntry(entry);
    return this.#library.symbols.fuse_reply_entry(req, this.#entry.bytes);
  }

  attributes(req: RequestPointer, { attributes, attributesTimeoutMs }: TimedAttributes): number {
    writeStat(this.#stat.fields, 0, attributes);
    const timeoutMs = attributesTimeoutMs ?? this.#timeouts.attributesTimeoutMs;
    return this.#library.symbols.fuse_reply_attr(req, this.#stat.bytes, timeoutMs / 1000);
  }

  link(req: RequestPointer, target: string): number {
    return this.#library.symbols.fuse_reply_readlink(req, cString(target));
  }

  opened(req: RequestPointer, opened: OpenedFile): number {
    this.#fillFile(opened);
    return this.#library.symbols.fuse_reply_open(req, this.#file.bytes);
  }

  created(req: RequestPointer, { entry, file }: { entry: Entry; file: OpenedFile }): number {
    this.#fillEntry(entry);
    this.#fillFile(file);
    return this.#library.symbols.fuse_reply_create(req, this.#entry.bytes, this.#file.bytes);
  }

  /** Answers with the bytes of one view, or of several joined, `size` at most. */
  data(req: RequestPointer, data: Uint8Array | readonly Uint8Array[], size: number): number {
    if (data instanceof Uint8Array) {
      requireFits(data.length, size);
      return this.#library.symbols.fuse_reply_buf(
        req,
        data as Uint8Array<ArrayBuffer>, // a view of shared memory is as good
        BigInt(data.length),
      );
    }
    requireFits(data.reduce((sum, { length }) => sum + length, 0), size);
    const parts = data.filter(({ length }) => length > 0);
    if (parts.length <= 1) return this.data(req, parts[0] ?? new Uint8Array(), size);
    if (parts.length > MAX_VIEWS) return this.data(req, join(parts), size);
    const { bytes, fields } = scratch(parts.length * IOVEC.bytes);
    parts.forEach((part, index) => {
      const base = Deno.UnsafePointer.value(Deno.UnsafePointer.of(part as Uint8Array<ArrayBuffer>));
      fields.setBigUint64(index * IOVEC.bytes + IOVEC.iov_base, base, true);
      fields.setBigUint64(index * IOVEC.bytes + IOVEC.iov_len, BigInt(part.length), true);
    });
    return this.#library.symbols.fuse_reply_iov(req, bytes, parts.length);
  }

  written(req: RequestPointer, count: number, size: number): number {
    requireFits(count, size);
    return this.#library.symbols.fuse_reply_write(req, BigInt(count));
  }

  /** Answers with the entries that fit into `size` bytes; none means the end of the directory. */
  entries(req: RequestPointer, entries: Iterable<DirectoryEntry>, size: number): number {
    const add = this.#library.symbols.fuse_add_direntry;
    return this.#fillDirectory(req, entries, size, (buffer, room, name, entry) => {
      // libfuse uses only these two attributes.
      this.#stat.fields.setBigUint64(STAT.st_ino, BigInt(entry.ino), true);
      this.#stat.fields.setUint32(STAT.st_mode, entry.mode & FileType.S_IFMT, true);
      return add(req, buffer, room, name, this.#stat.bytes, BigInt(entry.nextOffset));
    });
  }

  /** Like {@linkcode entries}, with attributes. */
  entriesPlus(req: RequestPointer, entries: Iterable<DirectoryEntryPlus>, size: number): number {
    const add = this.#library.symbols.fuse_add_direntry_plus;
    return this.#fillDirectory(req, entries, size, (buffer, room, name, entry) => {
      this.#fillEntry(entry);
      // With inode number 0 the kernel takes no reference, as it must not for these two.
      if (entry.name === "." || entry.name === "..") {
        this.#entry.fields.setBigUint64(ENTRY_PARAM.ino, 0n, true);
      }
      return add(req, buffer, room, name, this.#entry.bytes, BigInt(entry.nextOffset));
    });
  }

  space(req: RequestPointer, space: FileSystemSpace): number {
    const blockBytes = space.blockBytes ?? 4096;
    const { blocks = 0, freeBlocks = 0, inodes = 0, freeInodes = 0 } = space;
    const values: readonly [keyof typeof STATVFS, number][] = [
      ["f_bsize", blockBytes],
      ["f_frsize", blockBytes],
      ["f_blocks", blocks],
      ["f_bfree", freeBlocks],
      ["f_bavail", space.availableBlocks ?? freeBlocks],
      ["f_files", inodes],
      ["f_ffree", freeInodes],
      ["f_favail", freeInodes],
      ["f_namemax", space.maxNameBytes ?? 255],
    ];
    for (const [name, value] of values) {
      this.#space.fields.setBigUint64(STATVFS[name], BigInt(value), true);
    }
    return this.#library.symbols.fuse_reply_statfs(req, this.#space.bytes);
  }

  /**
   * Answers with an extended attribute's value or a list of names.
   *
   * @param size The caller's room in bytes; 0 asks for the length.
   */
  extendedAttribute(req: RequestPointer, value: Uint8Array, size: number): number {
    if (size === 0) {
      return this.#library.symbols.fuse_reply_xattr(req, BigInt(value.length));
    }
    if (value.length > size) return this.error(req, Errno.ERANGE);
    return this.data(req, value, size);
  }

  /** Like {@linkcode extendedAttribute}, with names, each followed by a NUL. */
  extendedNames(req: RequestPointer, names: readonly string[], size: number): number {
    return this.extendedAttribute(req, encoder.encode(names.map((n) => `${n}\0`).join("")), size);
  }

  offset(req: RequestPointer, offset: number): number {
    const reply = this.#library.symbols.fuse_reply_lseek;
    return reply ? reply(req, BigInt(offset)) : this.error(req, Errno.ENOSYS);
  }

  #fillEntry(entry: Entry): void {
    const { fields } = this.#entry;
    const entryTimeoutMs = entry.entryTimeoutMs ?? this.#timeouts.entryTimeoutMs;
    const attributesTimeoutMs = entry.attributesTimeoutMs ?? this.#timeouts.attributesTimeoutMs;
    fields.setBigUint64(ENTRY_PARAM.ino, BigInt(entry.attributes.ino), true);
    fields.setFloat64(ENTRY_PARAM.attr_timeout, attributesTimeoutMs / 1000, true);
    fields.setFloat64(ENTRY_PARAM.entry_timeout, entryTimeoutMs / 1000, true);
    writeStat(fields, ENTRY_PARAM.attr, entry.attributes);
  }

  #fillFile(opened: OpenedFile): void {
    let bits = 0;
    if (opened.directIo) bits |= 1 << FileInfoBit.direct_io;
    if (opened.keepCache) bits |= 1 << FileInfoBit.keep_cache;
    this.#file.fields.setUint32(FILE_INFO.bits, bits, true);
    this.#file.fields.setBigUint64(FILE_INFO.fh, BigInt(opened.handle ?? 0), true);
  }

  #fillDirectory<E extends { readonly name: string }>(
    req: RequestPointer,
    entries: Iterable<E>,
    size: number,
    add: (
      buffer: Uint8Array<ArrayBuffer>,
      room: bigint,
      name: Uint8Array<ArrayBuffer>,
      entry: E,
    ) => bigint,
  ): number {
    const buffer = new Uint8Array(new ArrayBuffer(size));
    let used = 0;
    for (const entry of entries) {
      const room = size - used;
      const needed = Number(add(buffer.subarray(used), BigInt(room), cString(entry.name), entry));
      if (needed > room) {
        // An empty reply would mean that the directory ends here.
        if (used === 0) throw new FuseError(Errno.EINVAL);
        break;
      }
      used += needed;
    }
    return this.data(req, buffer.subarray(0, used), size);
  }
}

function requireFits(count: number, size: number): void {
  if (!(count >= 0 && count <= size)) {
    throw new RangeError(`Cannot answer with ${count} bytes: ${size} were asked for`);
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Writes a `struct stat` over zeros or an older one. */
function writeStat(fields: DataView, base: number, attributes: Attributes): void {
  const { size = 0, mtimeMs = 0, rdev = 0, nlink = 1, blockBytes = 4096 } = attributes;
  fields.setBigUint64(base + STAT.st_ino, BigInt(attributes.ino), true);
  // These two are 8 bytes wide on x86_64, where the upper halves stay 0, and 4 on aarch64.
  fields.setUint32(base + STAT.st_nlink, nlink, true);
  fields.setUint32(base + STAT.st_blksize, blockBytes, true);
  fields.setUint32(base + STAT.st_mode, attributes.mode, true);
  fields.setUint32(base + STAT.st_uid, attributes.uid ?? 0, true);
  fields.setUint32(base + STAT.st_gid, attributes.gid ?? 0, true);
  fields.setBigUint64(base + STAT.st_rdev, BigInt(rdev), true);
  fields.setBigInt64(base + STAT.st_size, BigInt(size), true);
  const blocks = attributes.blocks ?? Math.ceil(size / 512);
  fields.setBigInt64(base + STAT.st_blocks, BigInt(blocks), true);
  writeTime(fields, base + STAT.st_mtim, mtimeMs);
  writeTime(fields, base + STAT.st_atim, attributes.atimeMs ?? mtimeMs);
  writeTime(fields, base + STAT.st_ctim, attributes.ctimeMs ?? mtimeMs);
}

function writeTime(fields: DataView, offset: number, timeMs: number): void {
  const seconds = Math.floor(timeMs / 1000);
  // A double holds today's times to the microsecond; further digits would be noise.
  const microseconds = Math.min(999_999, Math.round((timeMs - seconds * 1000) * 1000));
  fields.setBigInt64(offset, BigInt(seconds), true);
  fields.setBigInt64(offset + 8, BigInt(microseconds * 1000), true);
}
