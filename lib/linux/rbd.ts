/**
 * Images in a Ceph cluster, by librados and librbd (`librbd.ts`): what the main thread does with
 * them. All threads may share an image, see `rbd_operations.ts`.
 *
 * Functions that ask the cluster run on another thread or are polled, because they may take as long
 * as the cluster likes. What such a call uses stays as it is if nobody waits for it any more.
 *
 * @module
 */

import { OsError } from "./os_error.ts";
import { Errno } from "./errno.ts";
import { cString } from "./libc.ts";
import { openLibrbd } from "./librbd.ts";
import {
  completed,
  Out,
  type Pointer,
  pointerAt,
  RbdOperation,
  succeeded,
} from "./rbd_operations.ts";

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
    try {
      const call = rbd.rbd_create4(this.#pointer, name, BigInt(bytes), options.pointer);
      await called("rbd_create4", call, name);
    } finally {
      rbd.rbd_image_options_destroy(options.pointer);
    }
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
const FEATURE_STRIPING = 1n << 1n,
  FEATURE_EXCLUSIVE_LOCK = 1n << 2n,
  FEATURE_FAST_DIFF = 1n << 4n;
const FLAGS_INVALID_MAP = 0b11n;

/** `struct rbd_image_watcher_t`: `char *addr; int64_t id; uint64_t cookie;`. */
const WATCHER_BYTES = 24;
/** Room for so many watchers or bytes of names at first. */
const FIRST_WATCHERS = 16, FIRST_NAME_BYTES = 4096;
const RBD_LOCK_MODE_EXCLUSIVE = 0;

/** A place for C to put names, each with a NUL. */
class NameList {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How many bytes there is room for, then how many the names take. */
  readonly length: Out;

  constructor(roomBytes: number) {
    this.bytes = new Uint8Array(roomBytes);
    this.length = new Out(roomBytes);
  }

  get names(): string[] {
    return new TextDecoder().decode(this.bytes).split("\0");
  }
}

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
    const count = new Out(FIRST_WATCHERS);
    for (;;) {
      const room = count.number;
      const watchers = new Uint8Array(room * WATCHER_BYTES);
      try {
        const call = rbd.rbd_watchers_list(this.#pointer, watchers, count.bytes);
        await called("rbd_watchers_list", call, watchers, count);
      } catch (error) {
        const isTooLittle = error instanceof OsError && error.errno === Errno.ERANGE;
        if (!isTooLittle || count.number <= room) throw error;
        continue;
      }
      const fields = new DataView(watchers.buffer);
      const found = Array.from({ length: count.number }, (_, index) => {
        const at = index * WATCHER_BYTES;
        const text = pointerAt(Number(fields.getBigUint64(at, true)));
        const address = Deno.UnsafePointerView.getCString(text);
        return { address, clientId: Number(fields.getBigInt64(at + 8, true)) };
      });
      rbd.rbd_watchers_list_cleanup(watchers, count.words[0]!);
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
      const tag = new NameList(room), clients = new NameList(room);
      const cookies = new NameList(room), addresses = new NameList(room);
      const call = rbd.rbd_list_lockers(
        this.#pointer,
        exclusive,
        tag.bytes,
        tag.length.bytes,
        clients.bytes,
        clients.length.bytes,
        cookies.bytes,
        cookies.length.bytes,
        addresses.bytes,
        addresses.length.bytes,
      );
      try {
        const buffers = [exclusive, tag, clients, cookies, addresses];
        const count = await called("rbd_list_lockers", call, ...buffers);
        const { names } = cookies;
        return clients.names.slice(0, count)
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
   * @returns First byte, and byte behind the last one, of each range, ascending; `null` if that
   *   cannot be told of this image.
   * @throws {OsError}
   */
  async dataRanges(
    bytes: number,
    shouldStop: () => boolean,
  ): Promise<Float64Array<SharedArrayBuffer> | null> {
    const { rbd } = openLibrbd();
    const flags = new Out();
    succeeded("rbd_get_flags", rbd.rbd_get_flags(this.#pointer, flags.bytes));
    // Before Ceph 16.2.8, wrong places are told of an image in stripes.
    // Source: https://tracker.ceph.com/issues/53784
    const isKnown =
      (this.#features & (FEATURE_FAST_DIFF | FEATURE_STRIPING)) === FEATURE_FAST_DIFF &&
      (flags.words[0]! & FLAGS_INVALID_MAP) === 0n;
    if (!isKnown) return null;
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
