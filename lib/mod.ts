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
  type CheckedState,
  type CheckEvent,
  type CheckOptions,
  type CheckReport,
} from "./check/check.ts";
export type { CheckProgress } from "./check/options.ts";
export type { DamagedChunk, DamagedPlace, RevisionDamage } from "./check/damage_places.ts";
export type { DirectoryReport } from "./check/directory_check.ts";
export * from "./errors.ts";
export { type BackupMount, mountBackup, type MountEvent, type MountOptions } from "./fuse/mount.ts";
export type { SectorBytes } from "./image/partition_table.ts";
export {
  type ImageEvent,
  type ImageRange,
  type ImageReader,
  openImage,
  type OpenImageOptions,
} from "./image_access/image_reader.ts";
export type { BadChunkEvent, BadRange, Loss } from "./restore/damage.ts";
export { dryRun } from "./restore/dry_run.ts";
export type { RunningWork, TargetWork } from "./restore/options.ts";
export type { PlanSummary } from "./restore/plan.ts";
export type { DryRunReport, LentChunks, RestoreReport } from "./restore/report.ts";
export { restore, type RestoreEvent, type RestoreOptions } from "./restore/restore.ts";
export {
  type Catalog,
  type CatalogEntry,
  readCatalog,
  type SkippedRevision,
} from "./store/catalog.ts";
export type { FileState } from "./linux/file_state.ts";
export type { LockEvent } from "./store/purge_lock.ts";
export { readRevisionInfo, type RevisionInfo } from "./store/revision_info.ts";
export {
  type MapProgress,
  type ReadMapOptions,
  readRevisionMap,
  type RevisionMap,
  type StoredRevisionMap,
} from "./store/revision_map.ts";
export {
  type FoundRevision,
  type SelectedRevision,
  type SelectedRevisions,
  type SelectOptions,
  selectRevision,
  selectRevisions,
} from "./store/select_revision.ts";
export { locateRevision, requireStore, type RevisionLocation } from "./store/store.ts";
export type { StreamFormat } from "./target/stream_format.ts";
export type { DirectMode, SparseMode } from "./target/target.ts";
export type { NoticeEvent } from "./work/crew.ts";
export type { ImageExtent } from "./work/extent.ts";
export type { ChunkReason, OnError } from "./work/messages.ts";
export type { PoolProgress } from "./work/pool.ts";
