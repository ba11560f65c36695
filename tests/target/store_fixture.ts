/**
 * A directory that looks like a backup directory, for tests that only look at names.
 *
 * @module
 */

import type { PreflightOptions } from "../../lib/target/target.ts";
import { TestStore } from "../support/test_store.ts";

/** A backup directory with two revisions and one chunk file, none of them readable as such. */
export class StoreFixture extends TestStore {
  readonly revisionPath = `${this.basedir}/RevisionA`;
  readonly chunkFolder = `${this.basedir}/chunks/ab`;
  readonly chunkPath = `${this.chunkFolder}/abcd.chunk.lzo`;

  constructor() {
    super({ name: "backups of vm0" });
    Deno.mkdirSync(this.chunkFolder, { recursive: true });
    for (const name of ["RevisionA", "RevisionA.rev", "RevisionB", "RevisionB.rev", ".purge"]) {
      Deno.writeTextFileSync(`${this.basedir}/${name}`, `content of ${name}`);
    }
    Deno.writeTextFileSync(this.chunkPath, "content of a chunk");
    Deno.symlinkSync("RevisionA", `${this.basedir}/last`);
  }

  /** Options for a whole image, of one byte unless told otherwise, so that size is no obstacle. */
  options(
    options: Partial<PreflightOptions> & { imageBytes?: number; revisionPath?: string } = {},
  ): PreflightOptions {
    const { imageBytes = 1, revisionPath = this.revisionPath, ...rest } = options;
    return {
      extent: { start: 0, end: imageBytes },
      sparse: "auto",
      force: false,
      stores: [{ basedir: this.basedir, revisionPath }],
      ...rest,
    };
  }
}
