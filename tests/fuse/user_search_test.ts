/** Searches for a mount's users that get stuck. */

import { assertEquals } from "../assert.ts";
import { findUsers, type SearchMessage } from "../../lib/fuse/user_search.ts";

const MOUNT = { mountpoint: "/mnt", device: "0:99", id: 36 };

Deno.test("findUsers() starts no more threads while one may be stuck", async () => {
  let workerCount = 0;
  const createWorker = () => {
    workerCount++;
    return {
      onmessage: null,
      onerror: null,
      onmessageerror: null,
      postMessage: ({ lookingAt }: SearchMessage) => void Atomics.store(lookingAt, 0, 17),
      terminate: () => {},
    };
  };
  const stuck = ["perhaps pid 17, which hangs"];
  assertEquals(await findUsers("users", MOUNT, createWorker), stuck);
  assertEquals(await findUsers("users", MOUNT, createWorker), stuck);
  assertEquals(await findUsers("keepers", MOUNT, createWorker), stuck);
  assertEquals(workerCount, 1);
});
