/**
 * A folder with backup directories (`support/test_store.ts`) and targets, and restores of them in
 * the test's process.
 *
 * @module
 */

import { restore, type RestoreEvent, type RestoreOptions } from "../../lib/restore/restore.ts";
import type { RestoreReport } from "../../lib/restore/report.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { GRANULE_BYTES } from "../../lib/target/target.ts";
import { copyFifo, defaultDirect, makeFifo, Scratch } from "../support/machine.ts";
import { TestStore } from "../support/test_store.ts";

export { CHUNK_BYTES, GRANULE_BYTES };

type Bytes = Uint8Array<ArrayBuffer>;

/** What a restore did. */
export interface SceneRun {
  readonly report: RestoreReport;
  readonly events: readonly RestoreEvent[];
}

/** A folder with backup directories and room for targets beside them. */
export class Scene implements Disposable {
  readonly #scratch = new Scratch();
  readonly store = this.addStore("vm0");
  #count = 0;

  addStore(name: string): TestStore {
    return new TestStore({ at: this.#scratch.file(name) });
  }

  /** Path of a new file beside the backup directories. */
  file(content?: Uint8Array): string {
    return this.#scratch.file(`target ${this.#count++}`, content);
  }

  /** Restores a revision, and collects the events. */
  async restore(options: Partial<RestoreOptions>): Promise<SceneRun> {
    const events: RestoreEvent[] = [];
    const { onEvent } = options;
    const direct = defaultDirect();
    const report = await restore({
      ...(direct && { direct }),
      revision: "",
      output: "/dev/null",
      threads: 2,
      ...options,
      onEvent(event) {
        events.push(event);
        onEvent?.(event);
      },
    });
    return { report, events };
  }

  /** Restores a revision to a pipe, and returns what came out of it. */
  async stream(options: Partial<RestoreOptions>): Promise<SceneRun & { readonly bytes: Bytes }> {
    const fifo = makeFifo(this.file()), to = this.file();
    const copying = copyFifo(fifo, to);
    const run = await this.restore({ ...options, output: fifo });
    await copying;
    return { ...run, bytes: Deno.readFileSync(to) };
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}
