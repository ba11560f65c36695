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
import type { Handlers, Request } from "./handlers.ts";
import type { Libfuse3, SessionPointer } from "./libfuse3.ts";
import {
  type AnyOperation,
  type OperationName,
  OPERATIONS,
  OTHER_PARAMETERS,
} from "./operations.ts";
import type { ErrorListener } from "./mount_options.ts";
import { type AnyParameter, readParameters } from "./parameters.ts";
import { PendingRequest } from "./pending_request.ts";
import { freeMemory, type ReceiveBuffer } from "./receive_loop.ts";
import type { Replier, RequestPointer } from "./reply.ts";
import type { LowlevelOp } from "./structs.ts";

/**
 * Makes a listener that never throws: nobody is left to tell of its own errors, and C must not see
 * them.
 */
export function guardListener(listener: ErrorListener): ErrorListener {
  return (error, operation) => {
    try {
      listener(error, operation);
    } catch {
      // See above.
    }
  };
}

// deno-lint-ignore no-explicit-any -- callbacks of all kinds are kept in one place
export type Callback = Deno.UnsafeCallback<any>;

/** Connects libfuse's callbacks with a file system's handlers. */
export class Dispatcher {
  readonly #library: Libfuse3;
  readonly #replier: Replier;
  readonly #handlers: Handlers;
  readonly #onError: ErrorListener;
  readonly #pending = new Set<PendingRequest>();
  /** Where the request lies that libfuse is processing; callbacks are expected only meanwhile. */
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
   * Answers what is pending when the mount is gone: nobody waits for it, but libfuse frees requests
   * only so. Handlers that still run find that their answer is not wanted any more.
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
        const handled: HandledOperation = { name, operation, handler };
        add(name, operation.parameters, (req, args) => this.#start(handled, req, args));
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

  #start(handled: HandledOperation, req: RequestPointer, args: readonly unknown[]): void {
    const { operation } = handled;
    const request = new PendingRequest(this.#library, req);
    this.#pending.add(request);
    let op: unknown;
    let answer: unknown;
    try {
      op = readParameters(operation.parameters, args);
      answer = handled.handler(op, request);
    } catch (error) {
      this.#fail(handled, request, error);
      if (operation.isLending) endLoan(op, 0n);
      return;
    }
    if (!isPromiseLike(answer)) {
      this.#finish(handled, request, op, answer);
      if (operation.isLending) endLoan(op, 0n);
      return;
    }
    // The handler reads on while other requests are received: the memory is its own until it has
    // finished.
    const memory = operation.isLending ? this.#processed!.takeMemory() : 0n;
    Promise.resolve(answer).then(
      (result) => this.#finish(handled, request, op, result),
      (error) => this.#fail(handled, request, error),
    ).then(() => operation.isLending && endLoan(op, memory));
  }

  #finish(handled: HandledOperation, request: PendingRequest, op: unknown, result: unknown): void {
    this.#pending.delete(request);
    const req = request.take();
    let status = -Errno.ENOTCONN;
    if (req) {
      try {
        // Its last act is to send the answer: if it throws, nothing was sent.
        status = handled.operation.reply(this.#replier, req, result, op);
      } catch (error) {
        this.#sendError(handled, req, error);
      }
    }
    if (status < 0 && handled.operation.undo) this.#undo(handled, op, result);
  }

  #fail(handled: HandledOperation, request: PendingRequest, error: unknown): void {
    this.#pending.delete(request);
    const req = request.take();
    if (req) this.#sendError(handled, req, error);
    else this.#reportBug(handled, error);
  }

  #sendError(handled: HandledOperation, req: RequestPointer, error: unknown): void {
    this.#replier.error(req, error instanceof FuseError ? error.errno : Errno.EIO);
    this.#reportBug(handled, error);
  }

  #undo(handled: HandledOperation, op: unknown, result: unknown): void {
    try {
      const done = handled.operation.undo?.(this.#handlers, result, op);
      if (!isPromiseLike(done)) return;
      Promise.resolve(done).catch((error) => this.#reportBug(handled, error));
    } catch (error) {
      this.#reportBug(handled, error);
    }
  }

  /** Reports what a handler threw, unless it is an answer. */
  #reportBug({ name }: HandledOperation, error: unknown): void {
    if (!(error instanceof FuseError)) this.#onError(error, name);
  }
}

type HandlerFunction = (op: unknown, request: Request) => unknown;

type Run = (req: RequestPointer, args: readonly unknown[]) => void;

type Forget = Parameters<NonNullable<Handlers["forget"]>>[0];

/** A row of the table with this file system's handler. */
interface HandledOperation {
  readonly name: OperationName;
  readonly operation: AnyOperation;
  readonly handler: HandlerFunction;
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/**
 * Detaches the view that a handler was lent, then frees the memory behind it, if it was taken from
 * its buffer.
 */
function endLoan(op: unknown, memory: bigint): void {
  const buffer = (op as { data?: Uint8Array<ArrayBuffer> } | undefined)?.data?.buffer;
  // Moving the buffer's (no) bytes into a new one is what detaches it.
  if (buffer && !buffer.detached) buffer.transfer(0);
  if (memory !== 0n) freeMemory(memory);
}
