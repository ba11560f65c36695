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
 * Finds the users of a mount.
 *
 * @returns As `describeMountUsers` or `describeKeepers` do; empty where there is no room for a
 *   thread. If a process cannot be looked at in time, it alone. Never rejected.
 */
export async function findUsers(
  kind: SearchKind,
  { mountpoint, device, id }: SearchMessage["mount"],
): Promise<readonly string[]> {
  const lookingAt = new Int32Array(new SharedArrayBuffer(4));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let worker: WorkerPort<SearchMessage, readonly string[]> | undefined;
  try {
    roomForWorkers(1);
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    worker = new Worker(new URL("./user_search_worker.ts", import.meta.url), { type: "module" });
    watchWorker(worker, { onMessage: resolve, onDeath: (reason) => reject(new Error(reason)) });
    worker.postMessage({ kind, mount: { mountpoint, device, id }, lookingAt });
    timer = setTimeout(() => resolve(stuckAt(lookingAt[0]!)), SEARCH_MS);
    return await promise;
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
    worker?.terminate();
  }
}

function stuckAt(pid: number): string[] {
  return pid === 0 ? [] : [`perhaps pid ${pid}, which hangs`];
}
