/**
 * The kinds of task that workers know, as a table. A new kind is a file with its task and its
 * `Work`, and a line here.
 *
 * @module
 */

import { CheckWork } from "./check_work.ts";
import type { StartMessage } from "./messages.ts";
import { RandomAccessWork } from "./random_access_work.ts";
import { StreamWork } from "./stream_work.ts";
import { SurveyWork } from "./survey_work.ts";
import type { Notify, Work } from "./work.ts";

/** The class that does a task, by the task's `kind`. */
const WORK_OF = {
  write: RandomAccessWork,
  update: RandomAccessWork,
  stream: StreamWork,
  check: CheckWork,
  survey: SurveyWork,
};

/** What workers do, with all they need for it. */
export type Task = ConstructorParameters<typeof WORK_OF[keyof typeof WORK_OF]>[0]["task"];

/** Makes a worker's part of a task. */
export function workOn(start: StartMessage<Task>, notify: Notify): Work<Task> {
  const Kind = WORK_OF[start.task.kind] as new (
    start: StartMessage<Task>,
    notify: Notify,
  ) => Work<Task>;
  return new Kind(start, notify);
}
