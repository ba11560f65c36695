/**
 * A restore's worker (`lib/work/worker.ts`) that dies in the way that its URL's query names, or
 * waits until another may have died.
 *
 * @module
 */

import { Control } from "../../lib/work/messages.ts";
import "../../lib/work/worker.ts";

/** How a worker dies. */
export type Death =
  /** The codec traps at once, or after some jobs. */
  | "trap"
  | "trap-later"
  /** It traps in the middle of its first job. */
  | "trap-within"
  /** An error that nobody catches. */
  | "uncaught"
  /** A promise that nobody catches. */
  | "rejection";

// `(module (func (export "f") unreachable))`
const TRAP = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0],
  ...[10, 5, 1, 3, 0, 0, 11],
);

/**
 * Calls that take work (zeros or a chunk) before the later trap; each worker makes at least two.
 */
const LATER = 1;

function trap(): void {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(TRAP));
  (exports.f as () => void)();
}

/** Makes the call that counts what was done of a job trap. */
function trapAtCount(): void {
  const { add } = Atomics;
  Atomics.add = ((...args: Parameters<typeof add>) => {
    if (args[0] instanceof BigInt64Array) trap();
    return add(...args);
  }) as typeof add;
}

/** Waits until a worker has taken a job. */
function waitForFirstJob(control: Int32Array<SharedArrayBuffer>): void {
  while (Atomics.load(control, Control.NEXT_JOB) === 0) Atomics.wait(control, Control.TURN, 0, 1);
}

/** Makes calls that take jobs trap after some have succeeded. */
function trapAfter(count: number): void {
  const { add } = Atomics;
  let left = count;
  Atomics.add = ((...args: Parameters<typeof add>) => {
    if (args[0] instanceof Int32Array && left-- <= 0) trap();
    return add(...args);
  }) as typeof add;
}

declare const self: {
  onmessage: ((event: MessageEvent) => void) | null;
};

const work = self.onmessage!;
self.onmessage = (event) => {
  switch (new URL(import.meta.url).search.slice(1) as Death | "late") {
    case "late":
      waitForFirstJob(event.data.control);
      return work(event);
    case "trap":
      trapAfter(0);
      return work(event);
    case "trap-later":
      trapAfter(LATER);
      return work(event);
    case "trap-within":
      trapAtCount();
      return work(event);
    case "uncaught":
      throw new TypeError("a bug");
    case "rejection":
      return void Promise.reject(new TypeError("a bug"));
  }
};
