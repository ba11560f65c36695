/**
 * Images in a Ceph cluster, by librados and librbd (`librbd.ts`): what the main thread does with
 * them, and operations in flight for all threads, which may share an image.
 *
 * Functions that ask the cluster run on another thread or are polled, because they may take as long
 * as the cluster likes. What such a call uses stays as it is if nobody waits for it any more.
 *
 * @module
 */

import { OsError } from "./os_error.ts";
import { Errno, osError } from "./errno.ts";
import { cString, libc } from "./libc.ts";
import { openLibrbd } from "./librbd.ts";

type Pointer = NonNullable<Deno.PointerValue>;

/** Who connects to which cluster. */
export interface CephIdentity {
  /** Name of the cluster, by which its configuration is found: "ceph". */
  readonly cluster: string;
  /** Such as "client.admin". */
  readonly name: string;
}

/** Buffers of calls on other threads, which the runtime may collect meanwhile: kept here. */
const pinned = new Set<readonly unknown[]>();

/** Waits for a call on another thread. @throws {OsError} If it returns a negative errno. */
async function called(
  name: string,
  result: Promise<number | bigint>,
  ...buffers: readonly unknown[]
): Promise<number> {
  pinned.add(buffers);
  try {
    return succeeded(name, await result);
  } finally {
    pinned.delete(buffers);
  }
}

/** @returns The result. @throws {OsError} If it is a negative errno. */
function succeeded(name: string, result: number | bigint): number {
  const value = Number(result);
  if (value < 0) throw osError(-value, { syscall: name, path: "" });
  return value;
}

/** A place for C to put a number or a pointer. */
class Out {
  readonly words = new BigUint64Array(1);
  readonly bytes = new Uint8Array(this.words.buffer);

  get number(): number {
    return Number(this.words[0]!);
  }

  get pointer(): Pointer {
    return pointerAt(this.number);
  }
}

function pointerAt(address: number): Pointer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new TypeError("Cannot use a null pointer");
  return pointer;
}

/** A client of a cluster. */
export class CephClient {
  readonly #pointer: Pointer;

  /** @throws {LibrbdError} @throws {OsError} */
  constructor({ cluster, name }: CephIdentity) {
    const out = new Out();
    const { rados } = openLibrbd();
    succeeded(
      "rados_create2",
      rados.rados_create2(out.bytes, cString(cluster), cString(name), 0n),
    );
    this.#pointer = out.pointer;
  }

  /**
   * Reads a configuration file.
   *
   * @param path `null`: the file that CEPH_CONF names, or the usual ones.
   * @throws {OsError} If there is none or it is malformed.
   */
  readConfiguration(path: string | null): void {
    const file = path === null ? null : cString(path);
    const { rados } = openLibrbd();
    succeeded("rados_conf_read_file", rados.rados_conf_read_file(this.#pointer, file));
  }

  /** Heeds the options in CEPH_ARGS. @throws {OsError} */
  readEnvironment(): void {
    const { rados } = openLibrbd();
    succeeded("rados_conf_parse_env", rados.rados_conf_parse_env(this.#pointer, null));
  }

  /** Returns the value of an option; "" if this release does not know it. */
  valueOf(option: string): string {
    const buffer = new Uint8Array(4096);
    const { rados } = openLibrbd();
    const result = rados.rados_conf_get(
      this.#pointer,
      cString(option),
      buffer,
      BigInt(buffer.length),
    );
    return result < 0 ? "" : new TextDecoder().decode(buffer.subarray(0, buffer.indexOf(0)));
  }

  /** Sets an option, if this release knows it. */
  set(option: string, value: string): void {
    openLibrbd().rados.rados_conf_set(this.#pointer, cString(option), cString(value));
  }

  /** @throws {OsError} */
  async connect(): Promise<void> {
    await called("rados_connect", openLibrbd().rados.rados_connect(this.#pointer));
  }

  /** Number of this client in the cluster, which lists it as "client.NUMBER". */
  get id(): number {
    return Number(openLibrbd().rados.rados_get_instance_id(this.#pointer));
  }

  /** Opens a pool. @param namespace "" for the default one. @throws {OsError} */
  async openPool(pool: string, namespace: string): Promise<RbdPool> {
    const { rados } = openLibrbd();
    const out = new Out(), name = cString(pool);
    const call = rados.rados_ioctx_create(this.#pointer, name, out.bytes);
    await called("rados_ioctx_create", call, name, out);
    rados.rados_ioctx_set_namespace(out.pointer, cString(namespace));
    // Where a pool is full, writes would otherwise wait until it has room, and say nothing.
    const setFullTry = rados.rados_set_pool_full_try ?? rados.rados_set_osdmap_full_try;
    setFullTry?.(out.pointer);
    return new RbdPool(out.pointer);
  }

  /** Disconnects. Call it once, when nothing of the client is in use any more. */
  shutDown(): void {
    openLibrbd().rados.rados_shutdown(this.#pointer);
  }
}

/** A pool, or a namespace in it. */
export class RbdPool {
  readonly #pointer: Pointer;

  constructor(pointer: Pointer) {
    this.#pointer = pointer;
  }

  /** Creates an image with the cluster's default features. @throws {OsError} */
  async create(image: string, bytes: number): Promise<void> {
    const { rbd } = openLibrbd();
    const options = new Out(), name = cString(image);
    rbd.rbd_image_options_create(options.bytes);
    const call = rbd.rbd_create4(this.#pointer, name, BigInt(bytes), options.pointer);
    await called("rbd_create4", call, name);
    rbd.rbd_image_options_destroy(options.pointer);
  }

  /** Opens an image to read and write, which makes this process one of its watchers. */
  async open(image: string): Promise<RbdImage> {
    const out = new Out(), name = cString(image);
    const call = openLibrbd().rbd.rbd_open(this.#pointer, name, out.bytes, null);
    await called("rbd_open", call, name, out);
    return new RbdImage(out.pointer);
  }

  /** Call it once, when no image of it is open. */
  close(): void {
    openLibrbd().rados.rados_ioctx_destroy(this.#pointer);
  }
}

/** Bits of an image's features and flags. Source: rbd/features.h, rbd/librbd.h. */
const FEATURE_EXCLUSIVE_LOCK = 1n << 2n, FEATURE_FAST_DIFF = 1n << 4n;
const FLAGS_INVALID_MAP = 0b11n;

/** `struct rbd_image_watcher_t`: `char *addr; int64_t id; uint64_t cookie;`. */
const WATCHER_BYTES = 24;
/** Room for so many watchers or bytes of names at first. */
const FIRST_WATCHERS = 16, FIRST_NAME_BYTES = 4096;
const RBD_LOCK_MODE_EXCLUSIVE = 0;

/** A client that has an image open for writing. */
export interface Watcher {
  /** As `ceph osd blocklist` takes it. */
  readonly address: string;
  readonly clientId: number;
}

/** An opened image. Its owner closes it once; other threads may use it by its address. */
export class RbdImage {
  readonly #pointer: Pointer;
  /** For other threads. */
  readonly address: number;

  constructor(pointer: Pointer) {
    this.#pointer = pointer;
    this.address = Number(Deno.UnsafePointer.value(pointer));
  }

  /** Its size as this client knows it; changes of other clients arrive soon. */
  get bytes(): number {
    const out = new Out();
    succeeded("rbd_get_size", openLibrbd().rbd.rbd_get_size(this.#pointer, out.bytes));
    return out.number;
  }

  get hasExclusiveLock(): boolean {
    return (this.#features & FEATURE_EXCLUSIVE_LOCK) !== 0n;
  }

  /** Lists the clients that have it open for writing, this one too. @throws {OsError} */
  async watchers(): Promise<Watcher[]> {
    const { rbd } = openLibrbd();
    const count = new BigUint64Array([BigInt(FIRST_WATCHERS)]);
    const countBytes = new Uint8Array(count.buffer);
    for (;;) {
      const room = Number(count[0]!);
      const watchers = new Uint8Array(room * WATCHER_BYTES);
      try {
        const call = rbd.rbd_watchers_list(this.#pointer, watchers, countBytes);
        await called("rbd_watchers_list", call, watchers, countBytes);
      } catch (error) {
        const isTooLittle = error instanceof OsError && error.errno === Errno.ERANGE;
        if (!isTooLittle || Number(count[0]!) <= room) throw error;
        continue;
      }
      const fields = new DataView(watchers.buffer);
      const found = Array.from({ length: Number(count[0]!) }, (_, index) => {
        const at = index * WATCHER_BYTES;
        const text = pointerAt(Number(fields.getBigUint64(at, true)));
        const address = Deno.UnsafePointerView.getCString(text);
        return { address, clientId: Number(fields.getBigInt64(at + 8, true)) };
      });
      rbd.rbd_watchers_list_cleanup(watchers, count[0]!);
      return found;
    }
  }

  /**
   * Lists the names of locks that people or programs have put on it (`rbd lock add`), as
   * "client.4122 (name)". @throws {OsError}
   */
  async manualLocks(): Promise<string[]> {
    const { rbd } = openLibrbd();
    for (let room = FIRST_NAME_BYTES;; room *= 4) {
      const exclusive = new Uint8Array(4);
      const [tag, clients, cookies, addresses] = Array.from(
        { length: 4 },
        () => new Uint8Array(room),
      ) as [
        Uint8Array<ArrayBuffer>,
        Uint8Array<ArrayBuffer>,
        Uint8Array<ArrayBuffer>,
        Uint8Array<ArrayBuffer>,
      ];
      const lengths = Array.from(
        { length: 4 },
        () => new Uint8Array(new BigUint64Array([BigInt(room)]).buffer),
      );
      const call = rbd.rbd_list_lockers(
        this.#pointer,
        exclusive,
        tag,
        lengths[0]!,
        clients,
        lengths[1]!,
        cookies,
        lengths[2]!,
        addresses,
        lengths[3]!,
      );
      try {
        const buffers = [exclusive, tag, clients, cookies, addresses, ...lengths];
        const count = await called("rbd_list_lockers", call, ...buffers);
        const namesIn = (list: Uint8Array) => new TextDecoder().decode(list).split("\0");
        const names = namesIn(cookies);
        return namesIn(clients).slice(0, count)
          .map((client, index) => ({ client, name: names[index] ?? "" }))
          // What a client with the exclusive lock writes there.
          .filter(({ name }) => !/^auto \d+$/.test(name))
          .map(({ client, name }) => `${client} (${name})`);
      } catch (error) {
        if (!(error instanceof OsError && error.errno === Errno.ERANGE)) throw error;
      }
    }
  }

  /**
   * Takes the exclusive lock until the image is closed; nobody is given it meanwhile. Waits, for
   * half a minute or so, if another client has it and does not answer. @throws {OsError}
   */
  async lock(): Promise<void> {
    const { rbd } = openLibrbd();
    const call = rbd.rbd_lock_acquire(this.#pointer, RBD_LOCK_MODE_EXCLUSIVE);
    await called("rbd_lock_acquire", call);
  }

  /**
   * Finds out where the image, or its parent, may have data, from what the cluster keeps about the
   * image's objects.
   *
   * @param shouldStop Asked now and then; the result is then worthless.
   * @returns First byte, and byte behind the last one, of each range, ascending; `null` if the
   *   cluster does not keep that of this image.
   * @throws {OsError}
   */
  async dataRanges(
    bytes: number,
    shouldStop: () => boolean,
  ): Promise<Float64Array<SharedArrayBuffer> | null> {
    const { rbd } = openLibrbd();
    const flags = new Out();
    succeeded("rbd_get_flags", rbd.rbd_get_flags(this.#pointer, flags.bytes));
    const isKept = (this.#features & FEATURE_FAST_DIFF) !== 0n &&
      (flags.words[0]! & FLAGS_INVALID_MAP) === 0n;
    if (!isKept) return null;
    const found: number[] = [];
    const callback = Deno.UnsafeCallback.threadSafe(
      { parameters: ["u64", "usize", "i32", "pointer"], result: "i32" },
      (offset, length, exists) => {
        if (shouldStop()) return -Errno.ECANCELED;
        const start = Number(offset), end = start + Number(length);
        if (exists === 0) return 0;
        if (found.at(-1) === start) found[found.length - 1] = end;
        else found.push(start, end);
        return 0;
      },
    );
    const size = BigInt(bytes), { pointer } = callback;
    try {
      const call = rbd.rbd_diff_iterate2(this.#pointer, null, 0n, size, 1, 1, pointer, null);
      await called("rbd_diff_iterate2", call);
    } finally {
      callback.close();
    }
    const ranges = new Float64Array(new SharedArrayBuffer(found.length * 8));
    ranges.set(found);
    return ranges;
  }

  /** Waits until the cluster has stored all that was written before. @throws {OsError} */
  async flush(): Promise<void> {
    const { rbd } = openLibrbd();
    await completed(RbdOperation.begin(
      "rbd_aio_flush",
      (completion) => rbd.rbd_aio_flush(this.#pointer, completion),
    ));
  }

  /** Begins to close the image; call it once. It waits for what is in flight. @throws {OsError} */
  beginClose(): RbdOperation {
    const { rbd } = openLibrbd();
    return RbdOperation.begin(
      "rbd_aio_close",
      (completion) => rbd.rbd_aio_close(this.#pointer, completion),
    );
  }

  get #features(): bigint {
    const out = new Out();
    succeeded("rbd_get_features", openLibrbd().rbd.rbd_get_features(this.#pointer, out.bytes));
    return out.words[0]!;
  }
}

/** Longest pause between two looks at an operation on the main thread. */
const MAX_POLL_MS = 20;

/**
 * Waits for an operation while the event loop goes on.
 *
 * @param isTaken Whether somebody else has taken the operation meanwhile; then waiting ends.
 * @throws {OsError} If it fails.
 */
export async function completed(
  operation: RbdOperation,
  isTaken: () => boolean = () => false,
): Promise<void> {
  for (let pollMs = 1; !operation.isComplete; pollMs = Math.min(2 * pollMs, MAX_POLL_MS)) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    if (isTaken()) return;
  }
  operation.take();
}

const nap = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits for an operation without the event loop.
 *
 * @returns Whether it is complete; `false` if waiting was given up. (librbd's own wait cannot be.)
 */
export function waitFor(operation: RbdOperation, shouldStop: () => boolean): boolean {
  while (!operation.isComplete) {
    if (shouldStop()) return false;
    Atomics.wait(nap, 0, 0, 1);
  }
  return true;
}

/** Something that librbd does in its own threads. */
export class RbdOperation {
  readonly #name: string;
  readonly #completion: Pointer;

  private constructor(name: string, completion: Pointer) {
    this.#name = name;
    this.#completion = completion;
  }

  /** Begins an operation. @throws {OsError} If it cannot begin. */
  static begin(name: string, start: (completion: Pointer) => number): RbdOperation {
    const { rbd } = openLibrbd();
    const out = new Out();
    succeeded(
      "rbd_aio_create_completion",
      rbd.rbd_aio_create_completion(null, null, out.bytes),
    );
    const operation = new RbdOperation(name, out.pointer);
    const result = start(out.pointer);
    if (result < 0) operation.abandon();
    succeeded(name, result);
    return operation;
  }

  get isComplete(): boolean {
    return openLibrbd().rbd.rbd_aio_is_complete(this.#completion) !== 0;
  }

  /**
   * Frees a complete operation. Call this or {@linkcode abandon} once.
   *
   * @returns Its result, >= 0.
   * @throws {OsError} If it failed.
   */
  take(): number {
    const result = openLibrbd().rbd.rbd_aio_get_return_value(this.#completion);
    this.abandon();
    return succeeded(this.#name, result);
  }

  /** Takes no more interest in an operation, which goes on. */
  abandon(): void {
    openLibrbd().rbd.rbd_aio_release(this.#completion);
  }
}

/** Whether this release can zero ranges exactly. */
export function canWriteZeroes(): boolean {
  return openLibrbd().rbd.rbd_aio_write_zeroes !== null;
}

/** RBD_WRITE_ZEROES_FLAG_THICK_PROVISION: what is zeroed keeps, or gets, its storage. */
const THICK = 1;

/** An image as a thread that does not own it uses it. Ranges must lie within the image. */
export class RbdAccess implements Disposable {
  readonly #image: Pointer;
  /** What is read goes here first: unlike a worker's own memory, it outlives the worker. */
  #buffer: Pointer | null = null;
  #bufferBytes = 0;

  /** @param address Of an {@linkcode RbdImage}, which must stay open. */
  constructor(address: number) {
    this.#image = pointerAt(address);
  }

  /**
   * Begins to write bytes, of which librbd makes a copy (`rbd_disable_zero_copy_writes`).
   *
   * @throws {OsError} If it cannot begin.
   */
  beginWrite(bytes: Uint8Array<ArrayBuffer>, offset: number): RbdOperation {
    const { rbd } = openLibrbd();
    const start = BigInt(offset), length = BigInt(bytes.length);
    return RbdOperation.begin(
      "rbd_aio_write",
      (completion) => rbd.rbd_aio_write(this.#image, start, length, bytes, completion),
    );
  }

  /** Begins to zero a range. @throws {OsError} If it cannot begin. */
  beginZero(offset: number, length: number, { isThick }: { isThick: boolean }): RbdOperation {
    const writeZeroes = openLibrbd().rbd.rbd_aio_write_zeroes!;
    const start = BigInt(offset), flags = isThick ? THICK : 0;
    return RbdOperation.begin(
      "rbd_aio_write_zeroes",
      (completion) => writeZeroes(this.#image, start, BigInt(length), completion, flags, 0),
    );
  }

  /**
   * Reads bytes.
   *
   * @param shouldStop Ends the wait for them.
   * @returns Number of bytes read; `null` if it was stopped.
   * @throws {OsError} If reading fails.
   */
  read(
    into: Uint8Array<ArrayBuffer>,
    offset: number,
    shouldStop: () => boolean,
  ): number | null {
    const { rbd } = openLibrbd();
    const buffer = this.#bufferOf(into.length);
    const start = BigInt(offset), length = BigInt(into.length);
    const operation = RbdOperation.begin(
      "rbd_aio_read",
      (completion) => rbd.rbd_aio_read(this.#image, start, length, buffer, completion),
    );
    if (!waitFor(operation, shouldStop)) {
      operation.abandon();
      // It may be written to for as long as the process lives.
      this.#buffer = null;
      this.#bufferBytes = 0;
      return null;
    }
    const count = operation.take();
    Deno.UnsafePointerView.copyInto(buffer, into.subarray(0, count));
    return count;
  }

  [Symbol.dispose](): void {
    if (this.#buffer !== null) libc.free(this.#buffer);
    this.#buffer = null;
    this.#bufferBytes = 0;
  }

  #bufferOf(bytes: number): Pointer {
    if (this.#buffer !== null && this.#bufferBytes >= bytes) return this.#buffer;
    this[Symbol.dispose]();
    const buffer = libc.malloc(BigInt(bytes));
    if (buffer === null) throw osError(Errno.ENOMEM, { syscall: "malloc", path: "" });
    this.#buffer = buffer;
    this.#bufferBytes = bytes;
    return buffer;
  }
}
