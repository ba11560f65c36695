/**
 * Searches for the users of a mount on a thread of its own, and not for long: the search
 * (`mount_users.ts`) may have to wait for a process that waits for the mount.
 *
 * @module
 */

import type { Mount } from "../linux/mounts.ts";
import { roomForWorkers } from "../work/worker_room.ts";
import { watchWorker, type WorkerPort } from "../work/worker_start.ts";

/** What a search finds: those who keep a mount busy, or what keeps it alive that is detached. */
export type SearchKind = "users" | "keepers";

/** What the worker is asked. */
export interface SearchMessage {
  readonly kind: SearchKind;
  readonly mount: Pick<Mount, "mountpoint" | "device" | "id">;
  /** One cell, into which the worker writes the id of the process that it looks at. */
  readonly lookingAt: Int32Array<SharedArrayBuffer>;
}

/** A search takes some milliseconds. One that takes longer has met a process that is stuck. */
const SEARCH_MS = 1000;

/**
 * How long nobody searches after a search got stuck; after the next one twice as long, and so on.
 * Its thread stays until the process goes on: `undo()` of files, which tries again and again, would
 * fill the machine with such threads.
 */
const FIRST_REST_MS = 2000;

/** Where the last search got stuck, until when nobody searches, and how long after the next. */
let stuckPid = 0, restEndMs = 0, nextRestMs = FIRST_REST_MS;

/** What a search runs in. */
type SearchWorker = WorkerPort<SearchMessage, readonly string[]>;

/**
 * Finds the users of a mount.
 *
 * @param createWorker Default: `user_search_worker.ts` in a web worker.
 * @returns As `describeMountUsers` or `describeKeepers` do; empty where there is no room for a
 *   thread. If a process cannot be looked at in time, it alone. Never rejected.
 */
export async function findUsers(
  kind: SearchKind,
  { mountpoint, device, id }: SearchMessage["mount"],
  createWorker: () => SearchWorker = createSearchWorker,
): Promise<readonly string[]> {
  if (performance.now() < restEndMs) return describeStuck();
  const lookingAt = new Int32Array(new SharedArrayBuffer(4));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let worker: SearchWorker | undefined;
  try {
    roomForWorkers(1);
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    worker = createWorker();
    watchWorker(worker, { onMessage: resolve, onDeath: (reason) => reject(new Error(reason)) });
    worker.postMessage({ kind, mount: { mountpoint, device, id }, lookingAt });
    timer = setTimeout(() => resolve(giveUp(lookingAt[0]!)), SEARCH_MS);
    return await promise;
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
    worker?.terminate();
  }
}

/** @param pid The process that is looked at; 0 if the search has not come to any. */
function giveUp(pid: number): string[] {
  if (pid === 0) return [];
  stuckPid = pid;
  restEndMs = performance.now() + nextRestMs;
  nextRestMs *= 2;
  return describeStuck();
}

function describeStuck(): string[] {
  return [`perhaps pid ${stuckPid}, which hangs`];
}

function createSearchWorker(): SearchWorker {
  return new Worker(new URL("./user_search_worker.ts", import.meta.url), { type: "module" });
}
