/**
 * The worker of `user_search.ts`: searches once.
 *
 * @module
 */

import { describeKeepers, describeMountUsers } from "./mount_users.ts";
import type { SearchMessage } from "./user_search.ts";

declare const self: {
  onmessage: ((event: MessageEvent<SearchMessage>) => void) | null;
  postMessage(users: readonly string[]): void;
};

const SEARCHES = { users: describeMountUsers, keepers: describeKeepers };

self.onmessage = ({ data }) => {
  const { kind, mount, lookingAt } = data;
  const onLook = (pid: number) => Atomics.store(lookingAt, 0, pid);
  self.postMessage(SEARCHES[kind](mount, { onLook }));
};
