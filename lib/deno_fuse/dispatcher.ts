/**
 * Connects libfuse's callbacks with a file system's handlers: each request gets exactly one answer.
 *
 * libfuse calls the callbacks made here inside `fuse_session_process_buf`, on this thread. Each
 * reads its parameters, calls the handler and answers at once or, where the handler returns a
 * promise, when that has settled. Nothing is ever thrown into C. `receive_loop.ts` receives
 * requests and hands them to {@linkcode Dispatcher.process}; `operations.ts` has the kinds of
 * requests.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { FuseError } from "./errors.ts";
import type { Caller, Handlers, Request } from "./handlers.ts";
import type { Libfuse3, SessionPointer } from "./libfuse3.ts";
import {
  type AnyOperation,
  type OperationName,
  OPERATIONS,
  OTHER_PARAMETERS,
} from "./operations.ts";
import type { ErrorListener } from "./mount_options.ts";
import { type AnyParameter, readParameters } from "./parameters.ts";
import { freeMemory, type ReceiveBuffer } from "./receive_loop.ts";
import type { Replier, RequestPointer } from "./reply.ts";
import { FUSE_CTX, type LowlevelOp } from "./structs.ts";

/** Makes a listener that never throws: its errors have nowhere to go, and C must not see them. */
export function guardListener(listener: ErrorListener): ErrorListener {
  return (error, operation) => {
    try {
      listener(error, operation);
    } catch {
      // Nowhere to go.
    }
  };
}

// deno-lint-ignore no-explicit-any -- callbacks with all kinds of parameters
export type Callback = Deno.UnsafeCallback<any>;

/** Connects libfuse's callbacks with a file system's handlers. */
export class Dispatcher {
  readonly #library: Libfuse3;
  readonly #replier: Replier;
  readonly #handlers: Handlers;
  readonly #onError: ErrorListener;
  readonly #pending = new Set<PendingRequest>();
  /** Holds the request that libfuse is processing. Otherwise `null`, and no callback may run. */
  #processed: ReceiveBuffer | null = null;

  /** @param onError Must not throw, see {@linkcode guardListener}. */
  constructor(library: Libfuse3, replier: Replier, handlers: Handlers, onError: ErrorListener) {
    this.#library = library;
    this.#replier = replier;
    this.#handlers = handlers;
    this.#onError = onError;
  }

  /** Lets libfuse process a received request: it calls callbacks before this returns. */
  process(session: SessionPointer, buffer: ReceiveBuffer): void {
    this.#processed = buffer;
    try {
      this.#library.symbols.fuse_session_process_buf(session, buffer.struct);
    } finally {
      this.#processed = null;
    }
  }

  /**
   * Answers what is pending when the mount is gone: nobody waits for it, but only an answer frees a
   * request. Handlers that still run will find that theirs is no longer wanted.
   */
  end(): void {
    for (const request of this.#pending) {
      const req = request.take();
      if (req) this.#replier.error(req, Errno.ENOTCONN);
    }
    this.#pending.clear();
  }

  /**
   * Makes a callback for each request that is answered here; libfuse answers the others by itself.
   * The caller closes them after the session's end.
   */
  createCallbacks(): Map<LowlevelOp, Callback> {
    const callbacks = new Map<LowlevelOp, Callback>();
    const add = (name: LowlevelOp, parameters: readonly AnyParameter[], run: Run) =>
      callbacks.set(name, this.#createCallback(name, parameters, run));
    for (const [key, operation] of Object.entries<AnyOperation>(OPERATIONS)) {
      const name = key as OperationName;
      if (name === "lseek" && !this.#library.symbols.fuse_reply_lseek) continue;
      const handler = this.#handlers[name]?.bind(this.#handlers) as HandlerFunction | undefined;
      if (handler) {
        const bound: BoundOperation = { name, operation, handler };
        add(name, operation.parameters, (req, args) => this.#start(bound, req, args));
      } else if (operation.absent !== undefined) {
        const errno = operation.absent === "read-only" ? this.#readOnlyErrno : operation.absent;
        add(name, operation.parameters, (req) => this.#replier.error(req, errno));
      }
    }
    const { forget, forget_multi, ioctl } = OTHER_PARAMETERS;
    add("ioctl", ioctl, (req) => this.#replier.error(req, Errno.ENOTTY));
    if (this.#handlers.forget) {
      add("forget", forget, (req, args) => {
        this.#forget([readParameters(forget, args) as Forget]);
        this.#replier.none(req);
      });
      add("forget_multi", forget_multi, (req, args) => {
        this.#forget((readParameters(forget_multi, args) as { forgets: Forget[] }).forgets);
        this.#replier.none(req);
      });
    }
    return callbacks;
  }

  get #readOnlyErrno(): number {
    return this.#handlers.write ? Errno.EPERM : Errno.EROFS;
  }

  #forget(forgets: readonly Forget[]): void {
    for (const op of forgets) {
      try {
        this.#handlers.forget?.(op);
      } catch (error) {
        this.#onError(error, "forget");
      }
    }
  }

  /** Wraps a function so that C may call it: whatever it throws is reported. */
  #createCallback(
    name: LowlevelOp,
    parameters: readonly AnyParameter[],
    run: Run,
  ): Callback {
    const types = parameters.flatMap((parameter) => parameter.types);
    return new Deno.UnsafeCallback(
      { parameters: ["pointer", ...types], result: "void" },
      (req: Deno.PointerValue, ...args: unknown[]) => {
        try {
          if (!this.#processed) {
            this.#replier.error(req!, Errno.EIO);
            throw new Error("Callback outside fuse_session_process_buf");
          }
          run(req!, args);
        } catch (error) {
          this.#onError(error, name);
        }
      },
    );
  }

  #start(bound: BoundOperation, req: RequestPointer, args: readonly unknown[]): void {
    const { operation } = bound;
    const request = new PendingRequest(this.#library, req);
    this.#pending.add(request);
    let op: unknown;
    let answer: unknown;
    try {
      op = readParameters(operation.parameters, args);
      answer = bound.handler(op, request);
    } catch (error) {
      this.#fail(bound, request, error);
      if (operation.isLending) endLoan(op, 0n);
      return;
    }
    if (!isPromiseLike(answer)) {
      this.#finish(bound, request, op, answer);
      if (operation.isLending) endLoan(op, 0n);
      return;
    }
    // While the handler runs, others are received: until it finishes, the memory is its own.
    const memory = operation.isLending ? this.#processed!.takeMemory() : 0n;
    Promise.resolve(answer).then(
      (result) => this.#finish(bound, request, op, result),
      (error) => this.#fail(bound, request, error),
    ).then(() => operation.isLending && endLoan(op, memory));
  }

  #finish(bound: BoundOperation, request: PendingRequest, op: unknown, result: unknown): void {
    this.#pending.delete(request);
    const req = request.take();
    let status = -Errno.ENOTCONN;
    if (req) {
      try {
        // Sending is the last thing it does: if it throws, nothing was sent.
        status = bound.operation.reply(this.#replier, req, result, op);
      } catch (error) {
        this.#sendError(bound, req, error);
      }
    }
    if (status < 0 && bound.operation.undo) this.#undo(bound, op, result);
  }

  #fail(bound: BoundOperation, request: PendingRequest, error: unknown): void {
    this.#pending.delete(request);
    const req = request.take();
    if (req) this.#sendError(bound, req, error);
    else this.#reportBug(bound, error);
  }

  #sendError(bound: BoundOperation, req: RequestPointer, error: unknown): void {
    this.#replier.error(req, error instanceof FuseError ? error.errno : Errno.EIO);
    this.#reportBug(bound, error);
  }

  #undo(bound: BoundOperation, op: unknown, result: unknown): void {
    try {
      const done = bound.operation.undo?.(this.#handlers, result, op);
      if (!isPromiseLike(done)) return;
      Promise.resolve(done).catch((error) => this.#reportBug(bound, error));
    } catch (error) {
      this.#reportBug(bound, error);
    }
  }

  /** Reports what a handler threw, unless that is an answer. */
  #reportBug({ name }: BoundOperation, error: unknown): void {
    if (!(error instanceof FuseError)) this.#onError(error, name);
  }
}

/**
 * A request between its callback and its answer. Holds a `fuse_req_t`, which libfuse frees with the
 * answer: it can be taken once.
 */
class PendingRequest implements Request {
  readonly #library: Libfuse3;
  #req: RequestPointer | null;
  #caller: Caller | undefined;

  constructor(library: Libfuse3, req: RequestPointer) {
    this.#library = library;
    this.#req = req;
  }

  /** Returns the pointer to the first who asks, who must answer; `null` to all others. */
  take(): RequestPointer | null {
    const req = this.#req;
    this.#req = null;
    return req;
  }

  get caller(): Caller {
    if (this.#caller) return this.#caller;
    if (this.#req === null) throw new FuseError(Errno.ENOTCONN);
    const view = new Deno.UnsafePointerView(this.#library.symbols.fuse_req_ctx(this.#req)!);
    return this.#caller = {
      uid: view.getUint32(FUSE_CTX.uid),
      gid: view.getUint32(FUSE_CTX.gid),
      pid: view.getInt32(FUSE_CTX.pid),
      umask: view.getUint32(FUSE_CTX.umask),
    };
  }
}

type HandlerFunction = (op: unknown, request: Request) => unknown;

type Run = (req: RequestPointer, args: readonly unknown[]) => void;

type Forget = Parameters<NonNullable<Handlers["forget"]>>[0];

/** A row of the table with this file system's handler. */
interface BoundOperation {
  readonly name: OperationName;
  readonly operation: AnyOperation;
  readonly handler: HandlerFunction;
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/**
 * Detaches the view that a handler was lent, then frees the memory behind it.
 *
 * @param memory 0n if the receive buffer still owns it.
 */
function endLoan(op: unknown, memory: bigint): void {
  const buffer = (op as { data?: Uint8Array<ArrayBuffer> } | undefined)?.data?.buffer;
  // Moving no bytes into a new buffer detaches this one.
  if (buffer && !buffer.detached) buffer.transfer(0);
  if (memory !== 0n) freeMemory(memory);
}
