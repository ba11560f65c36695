/**
 * Steps 2 to 7 of a request seen as a whole: callback, handler, exactly one answer.
 *
 * libfuse calls the callbacks made here inside `fuse_session_process_buf`, on the thread of this
 * isolate. Each reads its arguments, calls the handler and answers at once, or, where the handler
 * returns a promise, when it has settled. Nothing is ever thrown into C. Neighbours: `session.ts`
 * receives requests and hands them to {@linkcode Dispatcher.process}; `inode_operations.ts` and
 * `file_operations.ts` describe each kind.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { FuseError } from "./errors.ts";
import { FILE_OPERATIONS } from "./file_operations.ts";
import type { Handlers, Request } from "./handlers.ts";
import { INODE_OPERATIONS } from "./inode_operations.ts";
import type { Libfuse3, SessionPointer } from "./libfuse3.ts";
import type { Operation } from "./operation.ts";
import { PendingRequest } from "./pending_request.ts";
import { freeMemory, type ReceiveBuffer } from "./receive_buffer.ts";
import type { Replier, RequestPointer } from "./reply.ts";
import { readForgets } from "./request.ts";
import type { LowlevelOp } from "./structs.ts";

/** Is told what handlers throw beside {@linkcode FuseError}. */
export type ErrorListener = (error: unknown, operation: string) => void;

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
   * Makes a callback for each request that has an answer here. The caller closes them after the
   * session's end.
   */
  createCallbacks(): Map<LowlevelOp, Callback> {
    const callbacks = new Map<LowlevelOp, Callback>();
    for (const operation of [...INODE_OPERATIONS, ...FILE_OPERATIONS]) {
      const { name, parameters } = operation;
      if (name === "lseek" && !this.#library.symbols.fuse_reply_lseek) continue;
      const run = this.#handlers[name]?.bind(this.#handlers) as HandlerFunction | undefined;
      const absent = operation.absent === "read-only" ? this.#readOnlyErrno : operation.absent;
      if (run) {
        const start = (req: RequestPointer, args: readonly unknown[]) =>
          this.#start(operation, run, req, args);
        callbacks.set(name, this.#createCallback(name, parameters, start));
      } else if (absent !== null) {
        const refuse = (req: RequestPointer) => void this.#replier.error(req, absent);
        callbacks.set(name, this.#createCallback(name, parameters, refuse));
      }
    }
    callbacks.set("ioctl", this.#createIoctlCallback());
    if (this.#handlers.forget) this.#addForgetCallbacks(callbacks);
    return callbacks;
  }

  get #readOnlyErrno(): number {
    return this.#handlers.write ? Errno.EPERM : Errno.EROFS;
  }

  #createIoctlCallback(): Callback {
    const parameters = [
      "u64", // fuse_ino_t ino
      "u32", // unsigned int cmd
      "pointer", // void *arg
      "pointer", // struct fuse_file_info *fi
      "u32", // unsigned flags
      "pointer", // const void *in_buf
      "usize", // size_t in_bufsz
      "usize", // size_t out_bufsz
    ] as const;
    return this.#createCallback(
      "ioctl",
      parameters,
      (req) => this.#replier.error(req, Errno.ENOTTY),
    );
  }

  #addForgetCallbacks(callbacks: Map<LowlevelOp, Callback>): void {
    const forget = [
      "u64", // fuse_ino_t ino
      "u64", // uint64_t nlookup
    ] as const;
    const forgetMulti = [
      "usize", // size_t count
      "pointer", // struct fuse_forget_data *forgets
    ] as const;
    callbacks.set(
      "forget",
      this.#createCallback("forget", forget, (req, [ino, lookups]) => {
        this.#forget([{ ino: Number(ino), lookups: Number(lookups) }]);
        this.#replier.none(req);
      }),
    );
    callbacks.set(
      "forget_multi",
      this.#createCallback("forget_multi", forgetMulti, (req, [count, forgets]) => {
        this.#forget(readForgets(forgets as Deno.PointerValue, count as bigint));
        this.#replier.none(req);
      }),
    );
  }

  #forget(forgets: readonly { ino: number; lookups: number }[]): void {
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
    parameters: Operation["parameters"],
    run: (req: RequestPointer, args: readonly unknown[]) => void,
  ): Callback {
    return new Deno.UnsafeCallback(
      { parameters: ["pointer", ...parameters], result: "void" },
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

  #start(
    operation: Operation,
    run: HandlerFunction,
    req: RequestPointer,
    args: readonly unknown[],
  ): void {
    const request = new PendingRequest(this.#library, req);
    this.#pending.add(request);
    let op: unknown;
    let answer: unknown;
    try {
      op = operation.read(args);
      answer = run(op, request);
    } catch (error) {
      this.#fail(operation, request, error);
      if (operation.isLending) endLoan(op, 0n);
      return;
    }
    if (!isPromiseLike(answer)) {
      this.#finish(operation, request, op, answer);
      if (operation.isLending) endLoan(op, 0n);
      return;
    }
    // The handler reads on while other requests are received: the memory is its own until it has
    // finished.
    const memory = operation.isLending ? this.#processed!.takeMemory() : 0n;
    Promise.resolve(answer).then(
      (result) => this.#finish(operation, request, op, result),
      (error) => this.#fail(operation, request, error),
    ).then(() => operation.isLending && endLoan(op, memory));
  }

  #finish(operation: Operation, request: PendingRequest, op: unknown, result: unknown): void {
    this.#pending.delete(request);
    const req = request.take();
    let status = -Errno.ENOTCONN;
    if (req) {
      try {
        // Its last act is to send the answer: if it throws, nothing was sent.
        status = operation.reply(this.#replier, req, result, op);
      } catch (error) {
        this.#sendError(operation, req, error);
      }
    }
    if (status < 0 && operation.undo) this.#undo(operation, op, result);
  }

  #fail(operation: Operation, request: PendingRequest, error: unknown): void {
    this.#pending.delete(request);
    const req = request.take();
    if (req) this.#sendError(operation, req, error);
    else if (!(error instanceof FuseError)) this.#onError(error, operation.name);
  }

  #sendError(operation: Operation, req: RequestPointer, error: unknown): void {
    if (error instanceof FuseError) {
      this.#replier.error(req, error.errno);
      return;
    }
    this.#replier.error(req, Errno.EIO);
    this.#onError(error, operation.name);
  }

  #undo(operation: Operation, op: unknown, result: unknown): void {
    const report = (error: unknown) => {
      if (!(error instanceof FuseError)) this.#onError(error, operation.name);
    };
    try {
      const done = operation.undo?.(this.#handlers, result, op);
      if (isPromiseLike(done)) Promise.resolve(done).catch(report);
    } catch (error) {
      report(error);
    }
  }
}

type HandlerFunction = (op: unknown, request: Request) => unknown;

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
