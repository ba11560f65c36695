/**
 * The library's public face: restores and checks revisions from within another program.
 *
 * Needs Deno's permissions to read, to write and to use FFI. The codec in `wasm/` must have been
 * compiled (`deno task wasm`).
 *
 * @example
 * ```ts no-assert
 * import { ChunkCorruptError, restore } from "./mod.ts";
 *
 * async function restoreTo(target: string): Promise<void> {
 *   try {
 *     const revision = "/srv/backy/vm0/last";
 *     const report = await restore({ revision, output: target, threads: 2 });
 *     console.log(`${report.imageBytes} bytes in ${report.elapsedMs} ms`);
 *   } catch (error) {
 *     if (!(error instanceof ChunkCorruptError)) throw error;
 *     console.log(`chunk ${error.chunkId} is damaged (${error.reason}), seqs ${error.seqs}`);
 *   }
 * }
 * ```
 *
 * @module
 */

export {
  check,
  type CheckedRevision,
  type CheckEvent,
  type CheckOptions,
  type CheckReport,
} from "./check/check.ts";
export type { DamagedChunk, DamagedPlace } from "./check/damage_places.ts";
export * from "./errors.ts";
export type { BadRange } from "./restore/damage.ts";
export { dryRun } from "./restore/dry_run.ts";
export type { ImageExtent } from "./work/extent.ts";
export type { PlanSummary } from "./restore/plan.ts";
export type { PoolProgress } from "./work/pool.ts";
export type { DryRunReport, LentChunks, RestoreReport } from "./restore/report.ts";
export { restore, type RestoreEvent, type RestoreOptions } from "./restore/restore.ts";
export { type Catalog, type CatalogEntry, readCatalog } from "./store/catalog.ts";
export { readRevisionInfo, type RevisionInfo } from "./store/revision_info.ts";
export { readRevisionMap, type RevisionMap } from "./store/revision_map.ts";
export {
  type SelectedRevision,
  type SelectedRevisions,
  selectRevision,
  selectRevisions,
} from "./store/select_revision.ts";
export { locateRevision, requireStore, type RevisionLocation } from "./store/store.ts";
export type { StreamFormat } from "./target/stream_format.ts";
export type { SparseMode } from "./target/target.ts";
