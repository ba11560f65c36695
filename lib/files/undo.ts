/**
 * Undoes what was done, the last first: waits for what is in use, says by whom, and goes on with
 * force when it is told to. The steps are in `undo_steps.ts`.
 *
 * @module
 */

/** One thing to undo. */
export interface UndoStep {
  /** What it is about, for messages: `the mount at "/mnt/1"`. */
  readonly subject: string;
  /**
   * Undoes it, unless somebody is in the way. May be called again.
   *
   * @returns Who is in the way; empty if that cannot be told; `null` if it is undone.
   */
  undo(): Promise<readonly string[] | null>;
  /** Undoes it although somebody is in the way. */
  force(): Promise<void>;
}

/** How {@linkcode undoAll} deals with what is in the way. */
export interface UndoOptions {
  /** Called when something is in use, and again when its users change. */
  readonly onBusy: (subject: string, users: readonly string[]) => void;
  /** Called with what failed; the other steps are undone all the same. */
  readonly onFailure: (error: unknown) => void;
  /** Aborted when nothing is waited for any longer. */
  readonly force: AbortSignal;
}

/** Ends of programs, and looks of udev at a device, take a moment: nobody needs to know. */
const UNTOLD_MS = 1000;
/** Pauses between tries. They get longer, because each looks at all processes. */
const FIRST_PAUSE_MS = 50, LONGEST_PAUSE_MS = 1000;

/**
 * Undoes steps, the last first. Never rejects.
 *
 * @returns Whether all was undone without force.
 */
export async function undoAll(steps: UndoStep[], options: UndoOptions): Promise<boolean> {
  let isClean = true;
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    try {
      if (!await undo(step, options)) isClean = false;
    } catch (error) {
      isClean = false;
      options.onFailure(error);
    }
  }
  return isClean;
}

async function undo(step: UndoStep, { onBusy, force }: UndoOptions): Promise<boolean> {
  const start = performance.now();
  let told: string | null = null;
  for (let pauseMs = FIRST_PAUSE_MS;; pauseMs = Math.min(1.2 * pauseMs, LONGEST_PAUSE_MS)) {
    const users = await step.undo();
    if (users === null) return true;
    if (force.aborted) {
      await step.force();
      return false;
    }
    const text = users.join();
    if (text !== told && performance.now() - start >= UNTOLD_MS) {
      told = text;
      onBusy(step.subject, users);
    }
    await pause(pauseMs, force);
  }
}

/** Waits for a time, or until a signal is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    if (signal?.aborted) finish();
    else signal?.addEventListener("abort", finish);
  });
}
