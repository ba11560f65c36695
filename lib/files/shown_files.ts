/**
 * The files of a revision, once they are mounted by `files.ts`: until somebody unmounts them, or
 * they are ended.
 *
 * @module
 */

import type { ImageServer } from "./image_server.ts";
import { pause, undoAll, type UndoOptions, type UndoStep } from "./undo.ts";
import { MountStep } from "./undo_steps.ts";

/** How often it is looked whether the file systems were unmounted. */
const WATCH_MS = 500;

/** The files of a revision, mounted. */
export class ShownFiles {
  /** The directory that has them. */
  readonly root: string;
  /** Where file systems are mounted, in order. */
  readonly paths: readonly string[];
  /** Volumes that can be reached by hand as long as this lasts. */
  readonly byHandCount: number;
  /** File systems that were not mounted. */
  readonly failureCount: number;
  /** Resolves when all file systems were unmounted, or the server has ended by itself. */
  readonly gone: Promise<"unmounted" | "server ended">;
  readonly #steps: UndoStep[];
  readonly #options: UndoOptions;
  #isEnding = false;

  constructor(
    found: Pick<ShownFiles, "root" | "paths" | "byHandCount" | "failureCount">,
    { steps, server, options }: {
      readonly steps: UndoStep[];
      readonly server: ImageServer;
      readonly options: UndoOptions;
    },
  ) {
    this.root = found.root;
    this.paths = found.paths;
    this.byHandCount = found.byHandCount;
    this.failureCount = found.failureCount;
    this.#steps = steps;
    this.#options = options;
    this.gone = Promise.race([
      server.ended.then(() => this.#isEnding ? "unmounted" : "server ended"),
      this.#untilUnmounted(),
    ]);
  }

  /** Undoes everything, in order. @returns Whether that needed no force. */
  async end(): Promise<boolean> {
    this.#isEnding = true;
    return await undoAll(this.#steps, this.#options);
  }

  async #untilUnmounted(): Promise<"unmounted"> {
    const mounts = this.#steps.filter((step) => step instanceof MountStep)
      .filter(({ mountpoint }) => this.paths.includes(mountpoint));
    while (!this.#isEnding) {
      await pause(WATCH_MS);
      if (mounts.length > 0 && !mounts.some(({ isMounted }) => isMounted)) break;
    }
    return "unmounted";
  }
}
