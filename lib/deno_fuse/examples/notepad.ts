/**
 * A directory in memory: its files can be created, written, read and removed.
 *
 * ```sh
 * deno run --allow-ffi --allow-read --allow-sys=uid lib/deno_fuse/examples/notepad.ts /mnt/notepad
 * ```
 *
 * @module
 */

// deno-lint-ignore-file no-console

import {
  type Attributes,
  Errno,
  FileType,
  FUSE_ROOT_ID,
  FuseError,
  type Handlers,
  mount,
  type OnInode,
  type OnName,
  type WithFlags,
} from "deno-fuse";

const O_TRUNC = 0o1000; // asm-generic/fcntl.h

interface Note {
  readonly ino: number;
  data: Uint8Array;
  mtimeMs: number;
  /** References that the kernel holds. */
  lookups: number;
}

class Notepad implements Handlers {
  readonly #names = new Map<string, Note>();
  /** Removed notes too, until the kernel forgets them: somebody may have them open. */
  readonly #notes = new Map<number, Note>();
  #nextIno = FUSE_ROOT_ID + 1;

  lookup({ name }: OnName) {
    const note = this.#names.get(name);
    return note ? this.#entry(note) : null;
  }

  forget({ ino, lookups }: OnInode & { lookups: number }) {
    const note = this.#notes.get(ino);
    if (note && (note.lookups -= lookups) === 0 && !this.#names.values().some((n) => n === note)) {
      this.#notes.delete(ino);
    }
  }

  getattr({ ino }: OnInode) {
    if (ino === FUSE_ROOT_ID) return { attributes: { ino, mode: FileType.S_IFDIR | 0o755 } };
    return { attributes: attributesOf(this.#noteAt(ino)) };
  }

  setattr({ ino, changes }: OnInode & { changes: { size?: number } }) {
    if (changes.size !== undefined) resize(this.#noteAt(ino), changes.size);
    return this.getattr({ ino });
  }

  /** An entry's offset is its inode number: removing others does not move it. */
  *readdir({ offset }: { offset: number }) {
    for (const [name, { ino }] of this.#names) {
      if (ino > offset) yield { name, ino, mode: FileType.S_IFREG, nextOffset: ino };
    }
  }

  create({ name }: OnName) {
    const note = { ino: this.#nextIno++, data: new Uint8Array(), mtimeMs: Date.now(), lookups: 0 };
    this.#names.set(name, note);
    this.#notes.set(note.ino, note);
    return { entry: this.#entry(note), file: {} };
  }

  unlink({ name }: OnName) {
    if (!this.#names.delete(name)) throw new FuseError(Errno.ENOENT);
  }

  open({ ino, flags }: OnInode & WithFlags) {
    if (flags & O_TRUNC) resize(this.#noteAt(ino), 0);
    return { keepCache: true };
  }

  read({ ino, offset, size }: OnInode & { offset: number; size: number }) {
    return this.#noteAt(ino).data.subarray(offset, offset + size);
  }

  write({ ino, offset, data }: OnInode & { offset: number; data: Uint8Array }) {
    const note = this.#noteAt(ino);
    resize(note, Math.max(note.data.length, offset + data.length));
    note.data.set(data, offset); // a copy: `data` is lent until the answer
  }

  #entry(note: Note) {
    note.lookups++;
    return { attributes: attributesOf(note) };
  }

  #noteAt(ino: number): Note {
    const note = this.#notes.get(ino);
    if (!note) throw new FuseError(Errno.ESTALE);
    return note;
  }
}

function attributesOf({ ino, data, mtimeMs }: Note): Attributes {
  return { ino, mode: FileType.S_IFREG | 0o644, size: data.length, mtimeMs };
}

function resize(note: Note, size: number): void {
  const data = new Uint8Array(size);
  data.set(note.data.subarray(0, size));
  note.data = data;
  note.mtimeMs = Date.now();
}

const session = await mount(Deno.args[0] ?? "/mnt/notepad", new Notepad(), {
  fsname: "notepad",
  onError: (error, operation) => console.error(`Bug in ${operation}:`, error),
});
const end = async () => {
  if ((await session.unmount()).busy) console.log("Somebody uses it: close that first");
};
Deno.addSignalListener("SIGINT", end);
console.log(`Mounted at ${session.mountpoint}; Ctrl+C unmounts it`);
await session.closed;
Deno.removeSignalListener("SIGINT", end);
