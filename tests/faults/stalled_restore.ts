/**
 * A restore that stands still in the middle for as long as a test needs: nobody reads its pipe.
 *
 * @module
 */

import type { RestoreOptions } from "../../lib/restore/restore.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { makeFifo } from "../support/machine.ts";
import { until } from "../support/wait.ts";
import { EventWatch, type FaultStore } from "./fault_store.ts";

let count = 0;

/** A restore by one worker into a pipe that is full. */
export class StalledRestore implements AsyncDisposable {
  /** Settles when the restore has ended: to its error, or `null`. */
  readonly ended: Promise<unknown>;
  readonly #path: string;
  readonly #reader: Deno.FsFile;
  readonly #controller = new AbortController();

  private constructor(store: FaultStore, options: Partial<Omit<RestoreOptions, "output">>) {
    this.#path = makeFifo(store.file(`fifo ${++count}`));
    // Linux opens a FIFO for both without waiting, see fifo(7).
    this.#reader = Deno.openSync(this.#path, { read: true, write: true });
    const running = store.restore({
      output: this.#path,
      threads: 1,
      signal: this.#controller.signal,
      ...options,
    });
    this.ended = running.then(() => null, (error) => error);
  }

  /** Starts a restore and waits until it cannot continue. */
  static async start(
    store: FaultStore,
    options: Partial<Omit<RestoreOptions, "output" | "threads">> = {},
  ): Promise<StalledRestore> {
    const watch = new EventWatch();
    const onEvent: RestoreOptions["onEvent"] = (event) => {
      watch.onEvent(event);
      options.onEvent?.(event);
    };
    const stalled = new StalledRestore(store, { ...options, onEvent });
    const { progress } = await watch.until("restoring");
    // Its one worker writes the first chunk as soon as it has it.
    await until(() => progress().decodedBytes >= CHUNK_BYTES, "the first chunk");
    return stalled;
  }

  /** Reads everything until the restore has ended. */
  async readAll(): Promise<Uint8Array<ArrayBuffer>> {
    // A separate reader, which sees the end when the writer closes: nobody else has the pipe open
    // for writing then.
    const file = await Deno.open(this.#path);
    this.#reader.close();
    return await new Response(file.readable).bytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort(new Error("the test is over"));
    await this.ended;
    try {
      this.#reader.close();
    } catch {
      // It was read to its end.
    }
  }
}
