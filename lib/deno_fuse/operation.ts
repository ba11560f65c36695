/**
 * Step 2 of a request: how one kind of request is read, answered and taken back.
 *
 * The tables are `inode_operations.ts` and `file_operations.ts`; `dispatcher.ts` runs their
 * entries.
 *
 * @module
 */

import type { HandlerName, Handlers } from "./handlers.ts";
import type { Replier, RequestPointer } from "./reply.ts";
import type { LowlevelOp } from "./structs.ts";

/** C types of callback arguments; each is declared as C declares it. */
export type ArgumentType = "i32" | "u32" | "u64" | "i64" | "usize" | "pointer";
/** What Deno makes of them. */
type Arguments<P extends readonly ArgumentType[]> = {
  -readonly [I in keyof P]: P[I] extends "pointer" ? Deno.PointerValue
    : P[I] extends "i32" | "u32" ? number
    : bigint;
};

type Handler<N extends HandlerName> = NonNullable<Handlers[N]>;
type Op<N extends HandlerName> = Parameters<Handler<N>>[0];
type Result<N extends HandlerName> = Awaited<ReturnType<Handler<N>>>;

/** How one kind of request is read and answered. */
export interface OperationSpec<N extends HandlerName, P extends readonly ArgumentType[]> {
  /** What C passes behind `fuse_req_t req`. */
  readonly parameters: P;
  /** @throws {FuseError} If no handler could be asked such a thing. */
  read(...args: Arguments<P>): Op<N>;
  /** Sends the answer. Returns what `fuse_reply_*` returns. */
  reply(replier: Replier, req: RequestPointer, result: Result<N>, op: Op<N>): number;
  /**
   * Takes back what the handler did, because its answer reached nobody: the kernel will not do it.
   */
  undo?(handlers: Handlers, result: Result<N>, op: Op<N>): unknown;
  /**
   * Errno if there is no handler; "read-only" is EROFS or EPERM. If absent, libfuse answers by
   * itself.
   */
  readonly absent?: number | "read-only";
  /** Whether the operation holds a view of libfuse's memory. */
  readonly isLending?: boolean;
}

/** An {@linkcode OperationSpec} whose types the dispatcher need not know. */
export interface Operation {
  readonly name: HandlerName & LowlevelOp;
  readonly parameters: readonly ArgumentType[];
  read(args: readonly unknown[]): unknown;
  reply(replier: Replier, req: RequestPointer, result: unknown, op: unknown): number;
  undo: ((handlers: Handlers, result: unknown, op: unknown) => unknown) | null;
  readonly absent: number | "read-only" | null;
  readonly isLending: boolean;
}

/** Types an entry by its handler. */
export function operation<
  N extends HandlerName & LowlevelOp,
  const P extends readonly ArgumentType[],
>(
  name: N,
  spec: OperationSpec<N, P>,
): Operation {
  const { parameters, absent = null, isLending = false } = spec;
  return {
    name,
    parameters,
    absent,
    isLending,
    read: (args) => spec.read(...args as Arguments<P>),
    reply: (replier, req, result, op) => spec.reply(replier, req, result as Result<N>, op as Op<N>),
    undo: spec.undo
      ? (handlers, result, op) => spec.undo!(handlers, result as Result<N>, op as Op<N>)
      : null,
  };
}

/** Answer of requests that ask for nothing. */
export function replyDone(replier: Replier, req: RequestPointer): number {
  return replier.error(req, 0);
}

/** Takes back the reference that the kernel would have got with an entry. */
export function forgetEntry(handlers: Handlers, ino: number): void {
  handlers.forget?.({ ino, lookups: 1 });
}
