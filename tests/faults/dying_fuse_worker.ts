/**
 * A mount's worker (`lib/pages/worker.ts`) that dies of its first job.
 *
 * @module
 */

import "../../lib/pages/worker.ts";

declare const self: { onmessage: ((event: MessageEvent) => void) | null };

self.onmessage = () => {
  throw new TypeError("a bug");
};
