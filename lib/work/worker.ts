/**
 * Step 5 of a restore: one worker. Takes jobs from the shared counter until none is left, and for
 * each reads, decodes and verifies a chunk and writes it to the target from where it was decoded.
 * What is done with a chunk is the matter of the files in `work/`.
 *
 * It reads chunk files, writes to the target's descriptor and touches nothing else. It sleeps only
 * while it waits for its turn on a stream or because its reading is limited. It says first that it
 * is ready, and ends each run of work by one message.
 *
 * @module
 */

import { toWireError } from "../errors.ts";
import { openFileFunctions } from "../linux/libc.ts";
import { Control, type EndMessage, type StartMessage, type WorkerMessage } from "./messages.ts";
import { CheckWork } from "./check_work.ts";
import { RandomAccessWork } from "./random_access_work.ts";
import { StreamWork } from "./stream_work.ts";
import { SurveyWork } from "./survey_work.ts";
import type { Notify, Work } from "./work.ts";

function workOf(start: StartMessage, notify: Notify): Work {
  const { task } = start;
  switch (task.kind) {
    case "write":
    case "update":
      return new RandomAccessWork(start, task, notify);
    case "stream":
      return new StreamWork(start, task, notify);
    case "check":
      return new CheckWork(start, notify);
    case "survey":
      return new SurveyWork(start, task, notify);
  }
}

function work(start: StartMessage): EndMessage {
  const { control } = start;
  try {
    workOf(start, (note) => self.postMessage(note)).run();
    return Atomics.load(control, Control.STOP) === 0 ? { type: "done" } : { type: "stopped" };
  } catch (error) {
    // The others stop too: what they could still write would belong to an incomplete image.
    Atomics.store(control, Control.STOP, 1);
    Atomics.notify(control, Control.TURN);
    return { type: "failed", error: toWireError(error) };
  }
}

declare const self: {
  onmessage: ((event: MessageEvent<StartMessage>) => void) | null;
  postMessage(message: WorkerMessage): void;
};

self.onmessage = (event) => self.postMessage(work(event.data));
openFileFunctions();
self.postMessage({ type: "ready" });
