/**
 * A request between its callback and its answer.
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { FuseError } from "./errors.ts";
import type { Caller, Request } from "./handlers.ts";
import type { Libfuse3 } from "./libfuse3.ts";
import type { RequestPointer } from "./reply.ts";
import { FUSE_CTX } from "./structs.ts";

/** Holds a `fuse_req_t`, which libfuse frees with the answer: it can be taken once. */
export class PendingRequest implements Request {
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

  isInterrupted(): boolean {
    return this.#req === null || this.#library.symbols.fuse_req_interrupted(this.#req) !== 0;
  }
}
