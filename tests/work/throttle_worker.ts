/**
 * A worker of `throttle_test.ts`: pays for bytes through a throttle that it shares.
 *
 * @module
 */

import { Throttle, type ThrottleHandle } from "../../lib/work/throttle.ts";

/** What the worker is to do. */
export interface ThrottleJob {
  readonly handle: ThrottleHandle;
  readonly payments: number;
  readonly bytes: number;
}

self.onmessage = ({ data }: MessageEvent<ThrottleJob>) => {
  const throttle = new Throttle(data.handle, { shouldStop: () => false });
  for (let i = 0; i < data.payments; i++) throttle.pay(data.bytes);
  self.postMessage("done");
};

declare const self: {
  onmessage: (event: MessageEvent<ThrottleJob>) => void;
  postMessage(message: string): void;
};
