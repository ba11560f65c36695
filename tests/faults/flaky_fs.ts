/**
 * A file system that fails on demand: it shows a directory, in which files can be created and
 * written. Every operation first reads a control file.
 *
 * `flaky_fs.ts MOUNTPOINT DIRECTORY CONTROL`; it says "ready" on standard error. Nothing is cached,
 * so each system call arrives here.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import {
  type Attributes,
  type Entry,
  Errno,
  FileType,
  FUSE_ROOT_ID,
  FuseError,
  type Handlers,
  mount,
  type OpenedFile,
} from "../../lib/deno_fuse/mod.ts";

/** What goes wrong, as JSON in the control file. */
export interface Faults {
  /** Each operation takes this long. */
  readonly delayMs?: number;
  /** Only names that contain this are affected. */
  readonly match?: string;
  /** Every n-th read fails; 1 for all. */
  readonly readEvery?: number;
  readonly readErrno?: number;
  /** Reads return only a part of what was asked for. */
  readonly shortReads?: boolean;
  /** Writes that touch this byte or a later one fail. */
  readonly writeFrom?: number;
  readonly writeErrno?: number;
  /** Bytes, as text in Latin-1: reads and writes with them get `onRead` and `onWrite`. */
  readonly marker?: string;
  /**
   * What happens to writes that contain the marker or touch the range: an error, or success without
   * writing.
   */
  readonly onWrite?: "fail" | "lose";
  /** What happens to such reads. */
  readonly onRead?: "fail";
  /** Bytes of the file: from the first to before the second. */
  readonly range?: readonly [number, number];
  /** Writes accept only a part of what is given. */
  readonly shortWrites?: boolean;
  readonly openErrno?: number;
  readonly truncateErrno?: number;
  /** Changes of a file's size are not answered until this is unset. */
  readonly truncateWaits?: boolean;
  readonly fsyncErrno?: number;
  /** Closing fails. */
  readonly closeErrno?: number;
}

/** Largest short read: less than a chunk file. */
const SHORT_BYTES = 50_000;

type Op<N extends keyof Handlers> = Parameters<NonNullable<Handlers[N]>>[0];

class FlakyFs implements Handlers {
  readonly #directory: string;
  readonly #control: string;
  readonly #paths: string[] = ["", ""];
  readonly #files = new Map<number, { file: Deno.FsFile; path: string }>();
  #nextHandle = 1;
  #reads = 0;

  constructor(directory: string, control: string) {
    this.#directory = directory;
    this.#control = control;
  }

  /** The faults for a path; none if it is not affected. */
  async #faultsOf(path: string): Promise<Faults> {
    const faults = JSON.parse(Deno.readTextFileSync(this.#control) || "{}") as Faults;
    if (!path.includes(faults.match ?? "")) return {};
    if (faults.delayMs) await new Promise((resolve) => setTimeout(resolve, faults.delayMs));
    return faults;
  }

  #pathOf(ino: number): string {
    return this.#directory + this.#paths[ino]!;
  }

  #inoOf(path: string): number {
    const known = this.#paths.indexOf(path, FUSE_ROOT_ID);
    return known < 0 ? this.#paths.push(path) - 1 : known;
  }

  #attributesOf(ino: number): Attributes {
    const { isDirectory, mode, size, blocks, mtime } = orErrno(() =>
      Deno.lstatSync(this.#pathOf(ino))
    );
    return {
      ino,
      mode: (isDirectory ? FileType.S_IFDIR : FileType.S_IFREG) | ((mode ?? 0o644) & 0o7777),
      size: isDirectory ? 0 : size,
      blocks: blocks ?? 0,
      mtimeMs: mtime?.getTime() ?? 0,
    };
  }

  #entry(path: string): Entry {
    return { attributes: this.#attributesOf(this.#inoOf(path)) };
  }

  lookup({ parent, name }: Op<"lookup">): Entry | null {
    const path = `${this.#paths[parent]}/${name}`;
    try {
      Deno.lstatSync(this.#directory + path);
    } catch {
      return null;
    }
    return this.#entry(path);
  }

  getattr({ ino }: Op<"getattr">) {
    return { attributes: this.#attributesOf(ino) };
  }

  async setattr({ ino, changes }: Op<"setattr">) {
    const path = this.#pathOf(ino);
    if (changes.size !== undefined) {
      fail((await this.#faultsOf(path)).truncateErrno);
      while ((await this.#faultsOf(path)).truncateWaits) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      orErrno(() => Deno.truncateSync(path, changes.size));
    }
    return { attributes: this.#attributesOf(ino) };
  }

  async open({ ino }: Op<"open">): Promise<OpenedFile> {
    const path = this.#pathOf(ino);
    fail((await this.#faultsOf(path)).openErrno);
    return this.#open(path);
  }

  #open(path: string): OpenedFile {
    const file = orErrno(() => {
      try {
        return Deno.openSync(path, { read: true, write: true });
      } catch {
        return Deno.openSync(path);
      }
    });
    const handle = this.#nextHandle++;
    this.#files.set(handle, { file, path });
    return { handle, directIo: true };
  }

  create({ parent, name, mode }: Op<"create">) {
    const path = `${this.#paths[parent]}/${name}`;
    orErrno(() => Deno.writeFileSync(this.#directory + path, new Uint8Array(), { mode }));
    return { entry: this.#entry(path), file: this.#open(this.#directory + path) };
  }

  release({ handle }: Op<"release">) {
    this.#files.get(handle)?.file.close();
    this.#files.delete(handle);
  }

  async flush({ handle }: Op<"flush">) {
    fail((await this.#faultsOf(this.#files.get(handle)!.path)).closeErrno);
  }

  async fsync({ handle }: Op<"fsync">) {
    fail((await this.#faultsOf(this.#files.get(handle)!.path)).fsyncErrno);
  }

  async read({ handle, offset, size }: Op<"read">) {
    const { file, path } = this.#files.get(handle)!;
    const faults = await this.#faultsOf(path);
    const { readEvery = 0, readErrno = Errno.EIO, shortReads } = faults;
    if (readEvery > 0 && ++this.#reads % readEvery === 0) fail(readErrno);
    const wanted = shortReads ? Math.min(size, 1 + this.#reads++ * 7919 % SHORT_BYTES) : size;
    const bytes = new Uint8Array(wanted);
    file.seekSync(offset, Deno.SeekMode.Start);
    let done = 0;
    while (done < wanted) {
      const count = orErrno(() => file.readSync(bytes.subarray(done)));
      if (count === null) break;
      done += count;
    }
    const found = bytes.subarray(0, done);
    if (faults.onRead === "fail" && isConcerned(faults, found, offset)) fail(Errno.EIO);
    return found;
  }

  async write({ handle, offset, data }: Op<"write">) {
    const { file, path } = this.#files.get(handle)!;
    const faults = await this.#faultsOf(path);
    const { writeFrom, writeErrno = Errno.EIO, shortWrites } = faults;
    if (faults.onWrite !== undefined && isConcerned(faults, data, offset)) {
      if (faults.onWrite === "lose") return data.length;
      fail(writeErrno);
    }
    if (writeFrom !== undefined && offset + data.length > writeFrom) fail(writeErrno);
    const part = shortWrites ? data.subarray(0, Math.max(1, data.length >> 1)) : data;
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < part.length;) {
      done += orErrno(() => file.writeSync(part.subarray(done)));
    }
    return part.length;
  }

  *readdir({ ino, offset }: Op<"readdir">) {
    const folder = this.#paths[ino]!;
    const names = [...Deno.readDirSync(this.#directory + folder)].map(({ name }) => name).sort();
    for (const [index, name] of names.entries()) {
      if (index < offset) continue;
      const { ino, mode } = this.#attributesOf(this.#inoOf(`${folder}/${name}`));
      yield { name, ino, mode, nextOffset: index + 1 };
    }
  }

  statfs() {
    return { blockBytes: 4096, blocks: 1_000_000, freeBlocks: 900_000 };
  }
}

/** Whether bytes at an offset contain the marker or touch the range. */
function isConcerned({ marker, range }: Faults, bytes: Uint8Array, offset: number): boolean {
  if (range && offset < range[1] && offset + bytes.length > range[0]) return true;
  return marker !== undefined && Buffer.from(bytes).includes(marker, 0, "latin1");
}

function fail(errno: number | undefined): void {
  if (errno !== undefined) throw new FuseError(errno);
}

function orErrno<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const [, errno] = /\(os error (\d+)\)/.exec(String(error)) ?? [];
    if (errno === undefined) throw error;
    throw new FuseError(Number(errno));
  }
}

function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  const [mountpoint, directory, control] = Deno.args as [string, string, string];
  const session = await mount(mountpoint, new FlakyFs(directory, control), {
    attributesTimeoutMs: 0,
    entryTimeoutMs: 0,
    onError: (error, operation) => say(`error in ${operation}: ${error}`),
  });
  Deno.addSignalListener("SIGTERM", () => void session.detach());
  say("ready");
  await session.closed;
  Deno.exit();
}
