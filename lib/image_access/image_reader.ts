/**
 * One revision opened for reading, for programs that want bytes of an image and no restore. Finds
 * the revision, takes the purge lock, and reads through `image_access.ts`.
 *
 * @module
 */

import { type LockEvent, PurgeLock } from "../store/purge_lock.ts";
import { selectRevision } from "../store/select_revision.ts";
import { requireStore } from "../store/store.ts";
import { CHUNK_BYTES } from "../store/layout.ts";
import { roomForWorkers } from "../work/worker_room.ts";
import { quote } from "../wording.ts";
import type { OpenImage } from "./image.ts";
import { ImageAccess } from "./image_access.ts";
import { joined } from "./read_bytes.ts";

/** Default of {@linkcode OpenImageOptions.cacheBytes}. */
const CACHE_BYTES = 64 * 1024 * 1024;

/** How an image is opened. */
export interface OpenImageOptions {
  /**
   * Decoding workers, >= 1; a limit of the system may make them fewer. Default: one per CPU, but 2
   * to 24. None is started before the first read that needs one.
   */
  readonly threads?: number | undefined;
  /** Bytes of decoded chunks that are kept; at least 16 MiB, default 64 MiB. */
  readonly cacheBytes?: number;
  /** Whether each chunk's content is compared with its id; default true. */
  readonly verify?: boolean;
  /** How long to wait for the purge lock; default: for ever, 0: not at all. */
  readonly lockTimeoutMs?: number | undefined;
  /** Aborting it ends the wait for the lock; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Hears of waiting for the lock, and of what is doubtful about the revision or the store. */
  readonly onEvent?: (event: ImageEvent) => void;
}

/** What whoever opens, serves or mounts images is told. */
export type ImageEvent =
  | LockEvent
  /** Nothing to worry about, in one line. */
  | { readonly type: "notice"; readonly text: string }
  /** A revision is doubtful, a read or write failed, a lock is impossible: one line. */
  | { readonly type: "warning"; readonly text: string };

/** Part of an image: `length` bytes from `offset` on, fewer where the image ends. */
export interface ImageRange {
  /** First byte, >= 0. */
  readonly offset: number;
  /** Number of bytes, >= 0. */
  readonly length: number;
}

/**
 * Opens a revision's image for reading. Nothing is written, except for an absent lock file.
 *
 * @example Prints the boot sector's signature.
 * ```ts no-assert
 * import { openImage } from "../mod.ts";
 *
 * async function bootSignature(dir: string): Promise<Uint8Array> {
 *   using image = await openImage(dir, "last");
 *   return await image.read(510, 2);
 * }
 * ```
 *
 * @param revision A backup directory; or a revision map or `DIR/SPEC`, as a restore takes them,
 *   then without `spec`.
 * @param spec Chooses the revision in the directory, such as "last" or "last(tag:daily)".
 * @returns The image; dispose of it. Until then the purge lock is held.
 * @throws {StoreFormatError} If it is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision, or its map is not valid.
 * @throws {UsageError} If the spec is not understood.
 * @throws {LockError} If the purge lock could not be taken.
 * @throws {ResourceError} If there is no room for one worker.
 */
export async function openImage(
  revision: string,
  spec?: string,
  options: OpenImageOptions = {},
): Promise<ImageReader> {
  const { cacheBytes = CACHE_BYTES, verify = true, lockTimeoutMs: timeoutMs, signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  const warn = (text: string) => onEvent({ type: "warning", text });
  const found = await selectRevision(revision, { spec, signal });
  for (const text of found.warnings) warn(text);
  const { basedir, name } = found;
  requireStore(basedir);
  using stack = new DisposableStack();
  stack.use(await PurgeLock.acquire({ basedir, timeoutMs, signal, onEvent }));
  const { threads, notice } = roomForWorkers(options.threads);
  if (notice !== null) onEvent({ type: "notice", text: notice });
  const images = stack.use(
    new ImageAccess({ basedir, cacheBytes, threads, verify, onFailure: warn }),
  );
  const image = await images.image(found).open();
  return new RevisionReader(name, image, stack.move());
}

/** An image that is open for reading. Disposing of it closes it and gives up the purge lock. */
export interface ImageReader extends Disposable {
  /** The revision's uuid. */
  readonly name: string;
  /** Size of the image in bytes. */
  readonly size: number;
  /** The whole image as a new stream; see {@linkcode ImageReader.readableRange}. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * Reads bytes. Reads may overlap; whoever reads in sequence has the next chunks decoded ahead.
   *
   * @param offset First byte, >= 0.
   * @param length Number of bytes, >= 0.
   * @returns The bytes, owned by the caller; fewer than asked for where the image ends.
   * @throws {ChunkMissingError} If a chunk cannot be read. The next read tries again.
   * @throws {ChunkCorruptError} If a chunk is not what its name says.
   * @throws {RangeError} If a number is not a whole number of at least 0.
   * @throws {TypeError} If the image is closed.
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Returns a part of the image as a stream, in pieces of at most 4 MiB. It reads only what is
   * taken from it, and fails as {@linkcode ImageReader.read} does.
   */
  readableRange(range: ImageRange): ReadableStream<Uint8Array<ArrayBuffer>>;
}

class RevisionReader implements ImageReader {
  readonly name: string;
  readonly size: number;
  readonly #image: OpenImage;
  readonly #resources: Disposable;
  #isOpen = true;

  constructor(name: string, image: OpenImage, resources: Disposable) {
    this.name = name;
    this.size = image.image.size;
    this.#image = image;
    this.#resources = resources;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    requireRange({ offset, length });
    if (!this.#isOpen) throw new TypeError(`Cannot read image ${quote(this.name)}: it is closed`);
    return joined(await this.#image.read(offset, length));
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.readableRange({ offset: 0, length: this.size });
  }

  readableRange(range: ImageRange): ReadableStream<Uint8Array<ArrayBuffer>> {
    requireRange(range);
    const end = Math.min(range.offset + range.length, this.size);
    let at = range.offset;
    return new ReadableStream({
      pull: async (controller) => {
        if (at >= end) return controller.close();
        // Up to the end of a chunk, so that none is needed for two pieces.
        const piece = Math.min(end - at, CHUNK_BYTES - at % CHUNK_BYTES);
        controller.enqueue(await this.read(at, piece));
        at += piece;
      },
    }, { highWaterMark: 0 });
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#image.close();
    this.#resources[Symbol.dispose]();
  }
}

function requireRange(range: ImageRange): void {
  for (const [name, value] of Object.entries(range)) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new RangeError(`Cannot read with ${name} ${value}: not a whole number of at least 0`);
  }
}
