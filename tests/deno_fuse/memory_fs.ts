/**
 * The file system that the tests mount, in memory: they start this file as a program,
 * `memory_fs.ts MOUNTPOINT [OPTIONS AS JSON]`, read its lines on stdout and send it signals.
 *
 * Some file names behave in special ways, see `open`, `read` and `write`.
 *
 * @module
 */

import {
  type Attributes,
  Errno,
  FileType,
  FUSE_ROOT_ID,
  FuseError,
  type FuseSession,
  type Handlers,
  mount,
  type MountOptions,
  type Request,
} from "../../lib/deno_fuse/mod.ts";
import { fillPattern } from "./pattern.ts";

interface Inode {
  readonly ino: number;
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  mtimeMs: number;
  atimeMs: number;
  data: Uint8Array;
  readonly children: Map<string, Inode>;
  readonly xattrs: Map<string, Uint8Array>;
  target: string;
  lookups: number;
}

type Op<N extends keyof Handlers> = Parameters<NonNullable<Handlers[N]>>[0];

const PAGE_BYTES = 65_536;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

class MemoryFs implements Handlers {
  readonly #inodes = new Map<number, Inode>();
  #nextIno = FUSE_ROOT_ID;
  #handles = new Map<number, { ino: number }>();
  #nextHandle = 1;
  readonly root: Inode = this.#createInode(FileType.S_IFDIR | 0o755);
  /** That of the session, once there is one. */
  invalidate: FuseSession["invalidate"] = () => Promise.resolve();
  /** Resolves when that session has ended. */
  closed: Promise<unknown> = new Promise(() => {});

  /** Number of open files; shown by the file "status". */
  get openFiles(): number {
    return this.#handles.size;
  }

  /** Adds a file below the root. */
  add(name: string, data: Uint8Array, mode = FileType.S_IFREG | 0o644): Inode {
    const inode = this.#createInode(mode);
    inode.data = data;
    this.root.children.set(name, inode);
    return inode;
  }

  /** Adds a directory of empty files below the root. */
  addDirectory(name: string, names: readonly string[]): void {
    const directory = this.add(name, new Uint8Array(), FileType.S_IFDIR | 0o755);
    for (const child of names) {
      directory.children.set(child, this.#createInode(FileType.S_IFREG | 0o644));
    }
  }

  #createInode(mode: number): Inode {
    const ino = this.#nextIno++;
    const inode = {
      ino,
      mode,
      uid: 0,
      gid: 0,
      nlink: 1,
      mtimeMs: 1_700_000_000_123,
      atimeMs: 1_700_000_000_123,
      data: new Uint8Array(),
      children: new Map<string, Inode>(),
      xattrs: new Map<string, Uint8Array>(),
      target: "",
      lookups: 0,
    };
    this.#inodes.set(ino, inode);
    return inode;
  }

  #inode(ino: number): Inode {
    const inode = this.#inodes.get(ino);
    if (!inode) throw new FuseError(Errno.ESTALE);
    return inode;
  }

  #attributes(inode: Inode): Attributes {
    const { ino, mode, uid, gid, nlink, mtimeMs, atimeMs, target } = inode;
    return {
      ino,
      mode,
      uid,
      gid,
      nlink,
      mtimeMs,
      atimeMs,
      size: target.length || inode.data.length,
    };
  }

  #entry(inode: Inode) {
    inode.lookups++;
    return { attributes: this.#attributes(inode) };
  }

  #make(
    { parent, name }: { parent: number; name: string },
    mode: number,
    { caller }: Request,
  ): Inode {
    const { children } = this.#inode(parent);
    if (children.has(name)) throw new FuseError(Errno.EEXIST);
    const inode = this.#createInode(mode);
    inode.uid = caller.uid;
    inode.gid = caller.gid;
    children.set(name, inode);
    return inode;
  }

  #nameOf(ino: number): string {
    for (const [name, inode] of this.root.children) if (inode.ino === ino) return name;
    return "";
  }

  lookup({ parent, name }: Op<"lookup">) {
    if (name === "unfindable") throw new FuseError(Errno.EIO);
    if (name === "bug") throw new TypeError("a bug in lookup");
    const inode = this.#inode(parent).children.get(name);
    return inode ? this.#entry(inode) : null;
  }

  forget({ ino, lookups }: Op<"forget">) {
    this.#inode(ino).lookups -= lookups;
  }

  getattr({ ino }: Op<"getattr">) {
    return { attributes: this.#attributes(this.#inode(ino)) };
  }

  setattr({ ino, changes }: Op<"setattr">) {
    const inode = this.#inode(ino);
    const { mode, uid, gid, size, atimeMs, mtimeMs } = changes;
    if (mode !== undefined) inode.mode = inode.mode & FileType.S_IFMT | mode & 0o7777;
    if (uid !== undefined) inode.uid = uid;
    if (gid !== undefined) inode.gid = gid;
    if (size !== undefined) this.#resize(inode, size);
    if (atimeMs !== undefined) inode.atimeMs = atimeMs === "now" ? Date.now() : atimeMs;
    if (mtimeMs !== undefined) inode.mtimeMs = mtimeMs === "now" ? Date.now() : mtimeMs;
    return { attributes: this.#attributes(inode) };
  }

  #resize(inode: Inode, size: number): void {
    const data = new Uint8Array(size);
    data.set(inode.data.subarray(0, size));
    inode.data = data;
  }

  readlink({ ino }: Op<"readlink">) {
    return this.#inode(ino).target;
  }

  mknod(op: Op<"mknod">, request: Request) {
    return this.#entry(this.#make(op, op.mode, request));
  }

  mkdir(op: Op<"mkdir">, request: Request) {
    return this.#entry(this.#make(op, FileType.S_IFDIR | op.mode, request));
  }

  symlink(op: Op<"symlink">, request: Request) {
    const inode = this.#make(op, FileType.S_IFLNK | 0o777, request);
    inode.target = op.target;
    return this.#entry(inode);
  }

  link({ ino, newParent, newName }: Op<"link">) {
    const inode = this.#inode(ino);
    this.#inode(newParent).children.set(newName, inode);
    inode.nlink++;
    return this.#entry(inode);
  }

  unlink({ parent, name }: Op<"unlink">) {
    if (name === "protected") throw new FuseError(Errno.EPERM);
    const { children } = this.#inode(parent);
    const inode = children.get(name);
    if (!inode) throw new FuseError(Errno.ENOENT);
    children.delete(name);
    inode.nlink--;
  }

  rmdir({ parent, name }: Op<"rmdir">) {
    const { children } = this.#inode(parent);
    if (children.get(name)?.children.size) throw new FuseError(Errno.ENOTEMPTY);
    children.delete(name);
  }

  async rename({ parent, name, newParent, newName, flags }: Op<"rename">) {
    await sleep(1);
    const from = this.#inode(parent).children, to = this.#inode(newParent).children;
    if (flags !== 0 && to.has(newName)) throw new FuseError(Errno.EEXIST);
    to.set(newName, from.get(name)!);
    from.delete(name);
  }

  /** "tardy" is opened when the session has ended. The program prints when it begins. */
  async open({ ino, flags }: Op<"open">) {
    if (this.#nameOf(ino) === "tardy") {
      say("opening tardy");
      await this.closed;
    }
    return this.#open(ino, flags);
  }

  #open(ino: number, flags: number) {
    const handle = this.#nextHandle++;
    this.#handles.set(handle, { ino });
    if (flags & 0o1000) this.#resize(this.#inode(ino), 0); // O_TRUNC
    const isStatus = this.#nameOf(ino) === "status";
    return { handle, keepCache: !isStatus, directIo: isStatus };
  }

  create(op: Op<"create">, request: Request) {
    const inode = this.#make(op, FileType.S_IFREG | op.mode, request);
    return { entry: this.#entry(inode), file: this.#open(inode.ino, 0) };
  }

  release({ handle }: Op<"release">) {
    this.#handles.delete(handle);
  }

  /**
   * Answers with views of up to 64 KiB each. "slow" waits until there is a file "go", "stuck" for
   * ever; of both the program prints when it begins. "damaged" fails after its first 64 KiB;
   * "rejecting" has a bug; "status" tells how many files are open; "greedy" answers with too much.
   */
  async read({ ino, offset, size, handle }: Op<"read">): Promise<Uint8Array | Uint8Array[]> {
    const { data } = this.#inode(ino);
    if (this.#handles.get(handle)?.ino !== ino) throw new FuseError(Errno.EBADF);
    const end = Math.min(offset + size, data.length);
    switch (this.#nameOf(ino)) {
      case "status": {
        const text = JSON.stringify({ openFiles: this.openFiles });
        return new TextEncoder().encode(text).subarray(offset, offset + size);
      }
      case "slow":
        say("reading slow");
        while (!this.root.children.has("go")) await sleep(10);
        break;
      case "stuck":
        say("reading stuck");
        return new Promise(() => {});
      case "damaged":
        if (end > PAGE_BYTES) throw new FuseError(Errno.EIO);
        break;
      case "rejecting":
        await sleep(1);
        throw new TypeError("a bug in read");
      case "greedy":
        return new Uint8Array(size + 1);
      case "whole":
        return data.subarray(offset, end);
    }
    const views: Uint8Array[] = [];
    for (let at = offset; at < end;) {
      const border = Math.min(end, (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES);
      views.push(data.subarray(at, border));
      at = border;
    }
    return views;
  }

  /**
   * "full" has no space, "protected" must not be written, "late" reads the data after a while, and
   * "hoarder" reads it after the answer, when it must be gone. "left" shows the same bytes as
   * "right", which the kernel is told.
   */
  write({ ino, offset, data }: Op<"write">) {
    const inode = this.#inode(ino);
    const name = this.#nameOf(ino);
    if (name === "full") throw new FuseError(Errno.ENOSPC);
    if (name === "protected") throw new FuseError(Errno.EROFS);
    if (offset + data.length > inode.data.length) this.#resize(inode, offset + data.length);
    if (name === "hoarder") {
      setTimeout(() => inode.xattrs.set("user.left", Uint8Array.of(data.length)), 50);
    }
    if (name === "left") {
      inode.data.set(data, offset);
      const right = this.root.children.get("right")!;
      return this.invalidate(right.ino, { offset, length: data.length });
    }
    if (name !== "late") return inode.data.set(data, offset);
    return sleep(20).then(() => {
      inode.data.set(data, offset);
      return data.length;
    });
  }

  #children(ino: number, offset: number): [string, Inode, number][] {
    const self = this.#inode(ino);
    const all: [string, Inode][] = [[".", self], ["..", self], ...self.children];
    return all.slice(offset).map(([name, inode], index) => [name, inode, offset + index + 1]);
  }

  *readdir({ ino, offset }: Op<"readdir">) {
    for (const [name, inode, nextOffset] of this.#children(ino, offset)) {
      yield { name, ino: inode.ino, mode: inode.mode, nextOffset };
    }
  }

  *readdirplus({ ino, offset }: Op<"readdirplus">) {
    for (const [name, inode, nextOffset] of this.#children(ino, offset)) {
      yield { name, attributes: this.#attributes(inode), nextOffset };
      if (name !== "." && name !== "..") inode.lookups++;
    }
  }

  statfs() {
    return { blockBytes: 4096, blocks: 1000, freeBlocks: 400, availableBlocks: 300, inodes: 77 };
  }

  getxattr({ ino, name }: Op<"getxattr">) {
    const inode = this.#inode(ino);
    const value = name === "user.lookups"
      ? new TextEncoder().encode(`${inode.lookups}`)
      : inode.xattrs.get(name);
    if (!value) throw new FuseError(Errno.ENODATA);
    return value;
  }

  setxattr({ ino, name, value }: Op<"setxattr">) {
    this.#inode(ino).xattrs.set(name, value);
  }

  listxattr({ ino }: Op<"listxattr">) {
    return [...this.#inode(ino).xattrs.keys()];
  }

  removexattr({ ino, name }: Op<"removexattr">) {
    if (!this.#inode(ino).xattrs.delete(name)) throw new FuseError(Errno.ENODATA);
  }

  /** A hole from 64 KiB on. */
  lseek({ ino, offset, whence }: Op<"lseek">) {
    const { length } = this.#inode(ino).data;
    if (offset >= length) throw new FuseError(Errno.ENXIO);
    const isData = offset < PAGE_BYTES;
    if (whence === 3 && !isData) throw new FuseError(Errno.ENXIO);
    return whence === 3 || !isData ? offset : Math.min(PAGE_BYTES, length);
  }
}

/** Builds what the tests expect to find. */
function createTestFs(): MemoryFs {
  const fs = new MemoryFs();
  const size = 8 * 1_048_576 + 123;
  fs.add("data", fillPattern(new Uint8Array(size)));
  fs.add("shared", fillPattern(new Uint8Array(new SharedArrayBuffer(size))));
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / 65_536) });
  fs.add("wasm", fillPattern(new Uint8Array(memory.buffer, 0, size)));
  fs.add("whole", fillPattern(new Uint8Array(new SharedArrayBuffer(size))));
  for (const name of ["slow", "stuck", "damaged", "rejecting", "greedy", "tardy"]) {
    fs.add(name, fillPattern(new Uint8Array(200_000)));
  }
  const twins = fillPattern(new Uint8Array(200_000));
  for (const name of ["left", "right"]) fs.add(name, twins);
  fs.add("empty", new Uint8Array());
  fs.add("status", new Uint8Array(1));
  for (const name of ["full", "protected", "late", "hoarder"]) fs.add(name, new Uint8Array());
  fs.add("Straße, 日本", new TextEncoder().encode("name"));
  fs.addDirectory("many", Array.from({ length: 10_000 }, (_, i) => `revision-${i}`));
  return fs;
}

/** Options of this program. */
export interface ProgramOptions extends Partial<Omit<MountOptions, "onError">> {
  /** Collect garbage every few milliseconds, which needs `--v8-flags=--expose-gc`. */
  readonly collectGarbage?: boolean;
  /** Mount a file system with the required handlers only. */
  readonly isBare?: boolean;
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  const { collectGarbage, isBare, ...options } = JSON.parse(Deno.args[1] ?? "{}") as ProgramOptions;
  const full = createTestFs();
  const handlers: Handlers = isBare
    ? { lookup: (op) => full.lookup(op), getattr: (op) => full.getattr(op) }
    : full;
  let session;
  try {
    session = await mount(Deno.args[0]!, handlers, {
      ...options,
      onError: (error, operation) => say(`error in ${operation}: ${error}`),
    });
    const { invalidate, closed } = session;
    full.closed = closed;
    full.invalidate = invalidate.bind(session);
  } catch (error) {
    say(`refused ${(error as Error).name}: ${(error as Error).message}`);
    Deno.exit(1);
  }
  const gc = (globalThis as { gc?: () => void }).gc;
  if (collectGarbage) {
    if (!gc) throw new Error("--expose-gc is missing");
    Deno.unrefTimer(setInterval(gc, 10));
  }
  // Printed after handlers that were too late have finished, too.
  globalThis.addEventListener("unload", () => say(`open files: ${full.openFiles}`));
  let signals = 0;
  const stop = async () => {
    if (++signals > 1) await session.detach();
    else if ((await session.unmount()).busy) say("busy");
  };
  Deno.addSignalListener("SIGTERM", stop);
  say(`ready ${session.libraryVersion} ${session.readAheadBytes}`);
  await session.closed;
  Deno.removeSignalListener("SIGTERM", stop);
  say("closed");
}
