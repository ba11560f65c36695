/**
 * Slow storage, simulated by a file system in user space (root; for `deno task bench --slow`):
 *
 *     deno run -A tests/bench/slow_storage.ts server DIR MOUNTPOINT LATENCY_MS MB_PER_SECOND
 *
 * shows DIR read-only, as a server in a network would: each request takes LATENCY_MS, any number of
 * them at once, and all bytes pass through one line of MB_PER_SECOND.
 *
 *     deno run -A tests/bench/slow_storage.ts disk DIR MOUNTPOINT
 *
 * shows the one file in DIR, the image of a disk to be mounted through a loop device; its reads
 * take as long as on a hard disk (see `HardDisk`).
 *
 * Prints a line when the mount is there, and ends when it is unmounted.
 *
 * @module
 */

import {
  Errno,
  FileType,
  FUSE_ROOT_ID,
  FuseError,
  type Handlers,
  mount,
  type OnHandle,
  type OnInode,
  type OnName,
} from "deno-fuse";

/** A read: where in a file, and how many bytes. */
interface Extent {
  readonly offset: number;
  readonly size: number;
}

/** Resolves when a request is due; it may be late by the timer's resolution of about 1 ms. */
function until(timeMs: number): Promise<void> {
  const ms = timeMs - performance.now();
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

/** A line that bytes pass one after another. */
class Line {
  readonly #bytesPerMs: number;
  #freeAt = 0;

  constructor(megabytesPerSecond: number) {
    this.#bytesPerMs = megabytesPerSecond * 1000;
  }

  /** Returns when bytes that are ready at `timeMs` have passed. */
  pass(bytes: number, timeMs: number): number {
    this.#freeAt = Math.max(this.#freeAt, timeMs) + bytes / this.#bytesPerMs;
    return this.#freeAt;
  }
}

/**
 * A disk of 7200 rpm with a command queue, by a simple model: it serves one read at a time, the
 * next one behind its head, or the first if there is none. A read that continues another takes only
 * its transfer; any other also half a turn and a seek of 1 ms to 15 ms, by the square root of the
 * distance.
 */
class HardDisk {
  static readonly #HALF_TURN_MS = 4.17;
  static readonly #BYTES_PER_MS = 150_000;
  readonly #bytes: number;
  readonly #queue: (Extent & { readonly arrivedMs: number; readonly done: () => void })[] = [];
  #head = 0;
  #freeAt = 0;
  #isBusy = false;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Resolves when the disk has read. */
  read(extent: Extent): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#queue.push({ ...extent, arrivedMs: performance.now(), done: resolve });
    if (!this.#isBusy) void this.#serve();
    return promise;
  }

  async #serve(): Promise<void> {
    this.#isBusy = true;
    // The first requests of a burst arrive together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const { offset, size, arrivedMs, done } = this.#takeNext();
      const distance = Math.abs(offset - this.#head);
      const seekMs = distance === 0
        ? 0
        : HardDisk.#HALF_TURN_MS + 1 + 14 * Math.sqrt(distance / this.#bytes);
      this.#head = offset + size;
      // Not from now on: the timer may have been late.
      const startMs = Math.max(this.#freeAt, arrivedMs);
      this.#freeAt = startMs + seekMs + size / HardDisk.#BYTES_PER_MS;
      await until(this.#freeAt);
      done();
    }
    this.#isBusy = false;
  }

  #takeNext() {
    let best = 0;
    const rank = ({ offset }: Extent) => offset >= this.#head ? offset - this.#head : Infinity;
    for (const index of this.#queue.keys()) {
      const isNearer = rank(this.#queue[index]!) < rank(this.#queue[best]!);
      const isFirst = rank(this.#queue[best]!) === Infinity &&
        rank(this.#queue[index]!) === Infinity &&
        this.#queue[index]!.offset < this.#queue[best]!.offset;
      if (isNearer || isFirst) best = index;
    }
    return this.#queue.splice(best, 1)[0]!;
  }
}

/** A read-only view of a directory, or of one file, whose answers are late. */
class SlowFiles implements Handlers {
  readonly #paths: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #handles = new Map<number, Deno.FsFile>();
  readonly #answerAt: (bytes: number, extent: Extent | null) => Promise<void>;
  #nextHandle = 1;

  constructor(root: string, answerAt: (bytes: number, extent: Extent | null) => Promise<void>) {
    this.#paths[FUSE_ROOT_ID] = root;
    this.#answerAt = answerAt;
  }

  async lookup({ parent, name }: OnName) {
    await this.#answerAt(0, null);
    const path = `${this.#paths[parent]}/${name}`;
    let ino = this.#numbers.get(path);
    if (ino === undefined) {
      ino = Math.max(FUSE_ROOT_ID + 1, this.#paths.length);
      this.#paths[ino] = path;
      this.#numbers.set(path, ino);
    }
    try {
      return { attributes: this.#attributes(ino) };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  async getattr({ ino }: OnInode) {
    await this.#answerAt(0, null);
    return { attributes: this.#attributes(ino) };
  }

  async open({ ino }: OnInode) {
    await this.#answerAt(0, null);
    const handle = this.#nextHandle++;
    this.#handles.set(handle, Deno.openSync(this.#paths[ino]!));
    // As NFS does while a file is unchanged.
    return { handle, keepCache: true };
  }

  async read({ handle, offset, size }: OnHandle & { offset: number; size: number }) {
    await this.#answerAt(size, { offset, size });
    const file = this.#handles.get(handle);
    if (!file) throw new FuseError(Errno.ESTALE);
    file.seekSync(offset, Deno.SeekMode.Start);
    const buffer = new Uint8Array(size);
    return buffer.subarray(0, file.readSync(buffer) ?? 0);
  }

  release({ handle }: OnHandle) {
    this.#handles.get(handle)?.close();
    this.#handles.delete(handle);
  }

  async readdir({ ino, offset }: OnInode & { offset: number }) {
    await this.#answerAt(0, null);
    return [...Deno.readDirSync(this.#paths[ino]!)].slice(offset).map((
      { name, isFile },
      index,
    ) => ({
      name,
      ino: 1,
      mode: isFile ? FileType.S_IFREG : FileType.S_IFDIR,
      nextOffset: offset + index + 1,
    }));
  }

  #attributes(ino: number) {
    const { isFile, size, mtime } = Deno.statSync(this.#paths[ino]!);
    const mode = isFile ? FileType.S_IFREG | 0o644 : FileType.S_IFDIR | 0o755;
    return { ino, mode, size, blocks: Math.ceil(size / 512), mtimeMs: mtime?.getTime() ?? 0 };
  }
}

/** A directory whose files lie on one disk, at its beginning. */
function slowDisk(dir: string): SlowFiles {
  const [image] = [...Deno.readDirSync(dir)];
  const disk = new HardDisk(Deno.statSync(`${dir}/${image?.name}`).size);
  return new SlowFiles(dir, async (_bytes, extent) => {
    if (extent !== null) await disk.read(extent);
  });
}

function slowServer(dir: string, latencyMs: number, megabytesPerSecond: number): SlowFiles {
  const line = new Line(megabytesPerSecond);
  return new SlowFiles(dir, (bytes) => until(line.pass(bytes, performance.now() + latencyMs)));
}

if (import.meta.main) {
  const [kind, source = "", mountpoint = "", latencyMs, megabytesPerSecond] = Deno.args;
  const files = kind === "disk"
    ? slowDisk(source)
    : slowServer(source, Number(latencyMs), Number(megabytesPerSecond));
  const session = await mount(mountpoint, files, {
    fsname: "slow-storage",
    onError: (error) => {
      throw error;
    },
  });
  Deno.stdout.writeSync(new TextEncoder().encode(`mounted at ${session.mountpoint}\n`));
  await session.closed;
}
