/**
 * One worker: does the tasks that it is sent, one after another (`tasks.ts`).
 *
 * It reads chunk files, writes to the target and touches nothing else. It sleeps only while it
 * waits for its turn on a stream, or to keep a rate limit. It first says that it is ready, and ends
 * each task with one message.
 *
 * @module
 */

import { memory } from "../../wasm/mod.ts";
import { toWireError } from "../errors.ts";
import { adviseHugePages } from "../linux/files.ts";
import { openFileFunctions } from "../linux/libc.ts";
import { Control, type EndMessage, type StartMessage, type WorkerMessage } from "./messages.ts";
import { type Task, workOn } from "./tasks.ts";

function work(start: StartMessage<Task>): EndMessage {
  const { control } = start;
  try {
    workOn(start, (note) => self.postMessage(note)).run();
    return Atomics.load(control, Control.STOP) === 0 ? { type: "done" } : { type: "stopped" };
  } catch (error) {
    // The others stop too: whatever they wrote would belong to an incomplete image.
    Atomics.store(control, Control.STOP, 1);
    Atomics.notify(control, Control.TURN);
    return { type: "failed", error: toWireError(error) };
  }
}

declare const self: {
  onmessage: ((event: MessageEvent<StartMessage<Task>>) => void) | null;
  postMessage(message: WorkerMessage): void;
};

self.onmessage = (event) => self.postMessage(work(event.data));
// A direct write of 4 MiB is then a few long pieces instead of 1024 pages, of which a virtual disk
// takes 254 in one request: restores to a file took 0.76 of the time.
adviseHugePages(new Uint8Array(memory.buffer));
openFileFunctions();
self.postMessage({ type: "ready" });
