/**
 * What all workers have in common: they are started one by one, say when they are ready, and may
 * die.
 *
 * Used by the crew of a restore or check (`lib/work/crew.ts`) and by the loader of decoded chunks
 * (`lib/pages/chunk_loader.ts`). `worker_room.ts` says how many workers fit.
 *
 * @module
 */

import { reasonOf } from "../linux/errno.ts";

/** The part of the web's `Worker` that is used, so that tests can put another in its place. */
export interface WorkerPort<Sent, Received> {
  onmessage: ((event: MessageEvent<Received>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
  postMessage(message: Sent): void;
  terminate(): void;
}

/**
 * Sets a worker's handlers, instead of those it had.
 *
 * @param handlers.onDeath Gets the reason. Never called for a worker that was terminated.
 */
export function watchWorker<Received>(
  worker: WorkerPort<never, Received>,
  handlers: { onMessage: (message: Received) => void; onDeath: (reason: string) => void },
): void {
  const { onMessage, onDeath } = handlers;
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = (event) => {
    // Without this the error would end the process.
    event.preventDefault();
    onDeath(event.message);
  };
  worker.onmessageerror = () => onDeath("its message was lost");
}

/**
 * Starts workers one by one, and stops where one cannot be created.
 *
 * @param count How many.
 * @param start Creates a worker. Resolves to `null` when it is ready, or to what keeps it from
 *   becoming ready; throws if it cannot be created.
 * @param shouldStop Whether no more are wanted; asked before each.
 * @returns What `start` resolved to, for each worker, or why it threw. Never rejected.
 */
export async function startWorkers(
  count: number,
  start: () => Promise<string | null>,
  shouldStop: () => boolean,
): Promise<(string | null)[]> {
  const starting: Promise<string | null>[] = [];
  for (let index = 0; index < count && !shouldStop(); index++) {
    try {
      starting.push(start());
    } catch (error) {
      starting.push(Promise.resolve(reasonOf(error)));
      break;
    }
    // Creating a worker takes some 15 ms, in which a signal cannot be heard.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return await Promise.all(starting);
}
