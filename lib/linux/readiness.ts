/**
 * Waits until descriptors can be read from or written to: one thread of the runtime's pool for all
 * of them, by epoll(7).
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { releaseFd } from "./files.ts";
import { lastErrno, libc } from "./libc.ts";
import { openPipe, tryWrite } from "./pipes.ts";

/**
 * `struct epoll_event`, source: sys/epoll.h, bits/epoll.h: packed on x86_64, and only there.
 * Checked against the compiler's in a test.
 */
export const EPOLL_EVENT = Deno.build.arch === "x86_64"
  ? { events: 0, data: 4, bytes: 12 } as const
  : { events: 0, data: 8, bytes: 16 } as const;

/** Source: sys/epoll.h. */
const EPOLLIN = 1, EPOLLOUT = 4, EPOLLERR = 8, EPOLLHUP = 0x10, EPOLLONESHOT = 0x4000_0000;
const EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3, EPOLL_CLOEXEC = 0o2000000;

/** Events that one wait returns at most; the next wait returns the others. */
const EVENTS_MAX = 64;

/**
 * So long this thread itself waits if nothing else is going on, before another does: a client that
 * asks for one thing after the other has its answers in half the time.
 */
const BRIEF_MS = 1;

/** After so many turns another thread waits all the same: timers and signals have their turn. */
const BRIEF_TURNS = 16;

/** Continuations of promises that whoever was woken needs until it waits again. */
const SETTLING_TICKS = 100;

/** Something that has happened. */
interface WatchEvent {
  /** Of the watch. */
  readonly id: number;
  /** Bits of epoll(7). */
  readonly events: number;
}

/** The wait was given up: {@linkcode WatchedFd.remove} was called. */
export class RemovedError extends Error {}

/** A descriptor that can be waited for. */
export interface WatchedFd {
  /**
   * Waits until there is something to read, or a failure or end that reading tells; one caller at a
   * time. May wake spuriously. @throws {RemovedError} @throws {OsError} If the kernel cannot.
   */
  readable(): Promise<void>;
  /** The same for writing; may be waited for at the same time. @throws {RemovedError} */
  writable(): Promise<void>;
  /** Ends waits. To be called once, before the descriptor is closed. */
  remove(): void;
}

/** Descriptors that are waited for together. The thread that waits ends with the last of them. */
export class Readiness {
  readonly #watches = new Map<number, Watch>();
  #nextId = 1;
  /** How many wait until they can read. */
  #readers = 0;
  #epoll: Epoll | null = null;
  #waiting: Promise<void> = Promise.resolve();
  readonly #isIdle: () => boolean;

  /**
   * @param isIdle Whether the caller has nothing under way on this thread or on others; default:
   *   never. This thread may then wait itself, for a millisecond.
   */
  constructor(isIdle: () => boolean = () => false) {
    this.#isIdle = isIdle;
  }

  /** Settles when the thread has ended, once all descriptors were removed. */
  get ended(): Promise<void> {
    return this.#waiting;
  }

  /** @param fd Stays the caller's. @throws {OsError} If there are no descriptors left. */
  add(fd: number): WatchedFd {
    if (this.#epoll === null) {
      this.#epoll = new Epoll();
      this.#waiting = this.#wait(this.#epoll);
    }
    const epoll = this.#epoll;
    const id = this.#nextId++;
    const watch = new Watch({
      control: (operation, events) => epoll.control(operation, { fd, id, events }),
      noteReaders: (added) => void (this.#readers += added),
    });
    this.#watches.set(id, watch);
    return {
      readable: () => watch.wait("readable"),
      writable: () => watch.wait("writable"),
      remove: () => {
        if (!this.#watches.delete(id)) return;
        watch.end();
        if (this.#watches.size === 0) epoll.interrupt();
      },
    };
  }

  async #wait(epoll: Epoll): Promise<void> {
    // With none left, another may have been added before the thread took notice.
    for (let turn = 1; this.#watches.size > 0 || !epoll.isInterrupted; turn++) {
      let events: WatchEvent[] = [];
      if (turn % BRIEF_TURNS !== 0) {
        events = epoll.poll(0);
        if (events.length === 0 && this.#isQuiet()) events = epoll.poll(BRIEF_MS);
      }
      if (events.length === 0) events = await epoll.wait();
      for (const { id, events: what } of events) this.#watches.get(id)?.wake(what);
      // Those who were woken act, and wait again.
      for (let tick = 0; tick < SETTLING_TICKS && !this.#isQuiet(); tick++) await undefined;
    }
    this.#epoll = null;
    epoll[Symbol.dispose]();
  }

  /** Whether nothing can happen before something can be read. */
  #isQuiet(): boolean {
    return this.#readers === this.#watches.size && this.#readers > 0 && this.#isIdle();
  }
}

/** What a watch tells its owner. */
interface WatchOwner {
  /** An operation of epoll(7), and the events that are waited for. */
  readonly control: (operation: number, events: number) => void;
  /** So many more wait until they can read. */
  readonly noteReaders: (added: number) => void;
}

/** What is waited for at one descriptor. */
class Watch {
  readonly #owner: WatchOwner;
  readonly #waits = new Map<"readable" | "writable", PromiseWithResolvers<void>>();
  #isKnown = false;

  constructor(owner: WatchOwner) {
    this.#owner = owner;
  }

  wait(what: "readable" | "writable"): Promise<void> {
    if (this.#waits.has(what)) throw new TypeError(`Somebody waits until it is ${what} already`);
    const wait = Promise.withResolvers<void>();
    this.#waits.set(what, wait);
    if (what === "readable") this.#owner.noteReaders(1);
    try {
      this.#arm();
    } catch (error) {
      // By the promise: had this been thrown, end() would reject it later, with nobody to see that.
      wait.reject(error);
    }
    return wait.promise;
  }

  wake(events: number): void {
    this.#settle("readable", events & (EPOLLIN | EPOLLERR | EPOLLHUP));
    this.#settle("writable", events & (EPOLLOUT | EPOLLERR | EPOLLHUP));
    // One event was all that was asked for.
    if (this.#waits.size > 0) this.#arm();
  }

  end(): void {
    if (this.#isKnown) this.#owner.control(EPOLL_CTL_DEL, 0);
    if (this.#waits.has("readable")) this.#owner.noteReaders(-1);
    for (const { reject } of this.#waits.values()) reject(new RemovedError("It is closed"));
    this.#waits.clear();
  }

  #settle(what: "readable" | "writable", events: number): void {
    const wait = this.#waits.get(what);
    if (events === 0 || !wait) return;
    this.#waits.delete(what);
    if (what === "readable") this.#owner.noteReaders(-1);
    wait.resolve();
  }

  #arm(): void {
    const events = (this.#waits.has("readable") ? EPOLLIN : 0) |
      (this.#waits.has("writable") ? EPOLLOUT : 0);
    this.#owner.control(this.#isKnown ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, events | EPOLLONESHOT);
    this.#isKnown = true;
  }
}

/** An epoll(7) instance, and a pipe by which its wait is interrupted. */
class Epoll implements Disposable {
  readonly #fd: number;
  readonly #pipe: { readonly readFd: number; readonly writeFd: number };
  /** Written to by the waiting thread; kept from collection by the instance. */
  readonly #events = new Uint8Array(EVENTS_MAX * EPOLL_EVENT.bytes);
  /** Used by each call: memory for it takes longer than the call. */
  readonly #controlStruct = new Uint8Array(EPOLL_EVENT.bytes);
  readonly #controlFields = new DataView(this.#controlStruct.buffer);
  #isInterrupted = false;

  constructor() {
    this.#fd = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#fd < 0) throw osError(lastErrno(), { syscall: "epoll_create1", path: "" });
    try {
      this.#pipe = openPipe();
    } catch (error) {
      releaseFd(this.#fd);
      throw error;
    }
    // There is something to read, for whoever asks for it.
    tryWrite(this.#pipe.writeFd, new Uint8Array(1));
    this.control(EPOLL_CTL_ADD, { fd: this.#pipe.readFd, id: 0, events: 0 });
  }

  /** Whether a wait was to end. */
  get isInterrupted(): boolean {
    return this.#isInterrupted;
  }

  control(operation: number, watch: { fd: number; id: number; events: number }): void {
    this.#controlFields.setUint32(EPOLL_EVENT.events, watch.events, true);
    this.#controlFields.setUint32(EPOLL_EVENT.data, watch.id, true);
    if (libc.epoll_ctl(this.#fd, operation, watch.fd, this.#controlStruct) === 0) return;
    throw osError(lastErrno(), { syscall: "epoll_ctl", path: "" });
  }

  /** Ends one wait, this one or the next. */
  interrupt(): void {
    this.#isInterrupted = true;
    const events = EPOLLIN | EPOLLONESHOT;
    this.control(EPOLL_CTL_MOD, { fd: this.#pipe.readFd, id: 0, events });
  }

  /** Waits on another thread. @returns What has happened; maybe nothing. */
  async wait(): Promise<WatchEvent[]> {
    instances.add(this);
    const count = await libc.epoll_waitAsync(this.#fd, this.#events, EVENTS_MAX, -1);
    instances.delete(this);
    // That thread's errno is lost: asked again, it fails for the same reason.
    return count < 0 ? this.poll(0) : this.#read(count);
  }

  /** Waits on this thread. */
  poll(timeoutMs: number): WatchEvent[] {
    const count = libc.epoll_wait(this.#fd, this.#events, EVENTS_MAX, timeoutMs);
    const errno = count < 0 ? lastErrno() : Errno.EINTR;
    if (errno !== Errno.EINTR) throw osError(errno, { syscall: "epoll_wait", path: "" });
    return this.#read(Math.max(0, count));
  }

  #read(count: number): WatchEvent[] {
    const fields = new DataView(this.#events.buffer);
    return Array.from({ length: count }, (_, index) => {
      const at = index * EPOLL_EVENT.bytes;
      const id = fields.getUint32(at + EPOLL_EVENT.data, true);
      return { id, events: fields.getUint32(at + EPOLL_EVENT.events, true) };
    });
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#fd, this.#pipe.readFd, this.#pipe.writeFd]) releaseFd(fd);
  }
}

/** Those that a thread waits for: a nonblocking call does not keep its memory from collection. */
const instances = new Set<Epoll>();
