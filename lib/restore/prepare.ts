/**
 * Steps 1 to 3 of a restore: which revision of which backup directory, the purge locks, the map,
 * the plan, and whether the target may be written. Nothing is changed here, but for lock files that
 * were absent.
 *
 * @module
 */

import { RevisionError, UsageError } from "../errors.ts";
import { PurgeLock } from "../store/purge_lock.ts";
import { Slices, type Steps } from "../slices.ts";
import { describeChange } from "../store/map_file.ts";
import {
  isStillThere,
  type MapProgress,
  readMapSteps,
  type RevisionMap,
  type StoredRevisionMap,
} from "../store/revision_map.ts";
import { selectRevision } from "../store/select_revision.ts";
import { requireStore } from "../store/store.ts";
import { preflightTarget } from "../target/preflight.ts";
import { STREAM_FORMATS } from "../target/stream_format.ts";
import {
  type CheckedTarget,
  GRANULE_BYTES,
  type OldContent,
  type SparseMode,
} from "../target/target.ts";
import { refusal } from "../target/wording.ts";
import { quote } from "../wording.ts";
import {
  type ImageExtent,
  rangeOfImage,
  targetEndOf,
  targetOffsetOf,
  wholeImage,
} from "../work/extent.ts";
import type { RestoreEvent, RestoreOptions } from "./options.ts";
import { type PlanOptions, planSteps, type RestorePlan } from "./plan.ts";

/**
 * A restore that could begin. Disposing it gives the locks back, and the target as it was unless it
 * was opened.
 */
export interface PreparedRestore extends Disposable {
  /** The revision's name. */
  readonly name: string;
  readonly plan: RestorePlan;
  /** Makes a plan of all that the target will hold, without regard to a base. */
  readonly planAll: () => Promise<RestorePlan>;
  /** Backup directories to read chunks from, the revision's own first. */
  readonly sources: readonly string[];
  readonly target: CheckedTarget;
  /**
   * @throws {RevisionError} If the revision's map is not the one any more that the plan was made
   *   from.
   */
  readonly requireSameMap: () => Promise<void>;
}

/** A plan of less, 4 TiB, is made within a second. */
const PLANNING_TOLD_SEQS = 1_048_576;

/** Where a revision is read from. */
interface Found {
  readonly name: string;
  readonly basedir: string;
  readonly mapPath: string;
}

/**
 * Prepares a restore.
 *
 * @throws {StoreFormatError} If a directory is not a backup directory that is understood.
 * @throws {RevisionError} If there is no such revision or its map is not valid.
 * @throws {UsageError} If there is no such range or partition, or more than one part of the image
 *   is asked for.
 * @throws {LockError} If a purge lock could not be taken.
 * @throws {ChunkMissingError | ChunkCorruptError} If the partition table cannot be read.
 * @throws {TargetError} If the target is refused.
 */
export async function prepareRestore(options: RestoreOptions): Promise<PreparedRestore> {
  const { also = [], lockTimeoutMs: timeoutMs, signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  const asRecords = hasRecords(options);
  requireConsistent(options);
  const found = await findRevision(options.revision, { spec: options.spec, signal, onEvent });
  const base = options.base === undefined
    ? null
    : await findRevision(options.base, { relativeTo: found.basedir, signal, onEvent });
  const sources = [found.basedir, ...also];
  for (const dir of sources) requireStore(dir);
  using stack = new DisposableStack();
  for (const basedir of sources) {
    stack.use(await PurgeLock.acquire({ basedir, timeoutMs, signal, onEvent }));
  }
  const slices = new Slices({ signal });
  const map = await readMap(found, { slices, onEvent });
  const baseMap = base ? await readMap(base, { slices, onEvent }) : undefined;
  const extent = await extentOf(map, options, { sources, onEvent });
  if (baseMap && options.partition !== undefined) {
    // The target holds what the base has there, which is the same only where it is the same place.
    const held = await extentOf(baseMap, options, {
      sources: [...sources, base!.basedir],
      onEvent,
    });
    requireSameExtent(extent, held, options.partition);
  }
  const makePlan = async (planOptions: PlanOptions) => {
    if (map.seqCount >= PLANNING_TOLD_SEQS) onEvent({ type: "planning" });
    return await slices.run(planSteps(map, planOptions));
  };
  const plan = await makePlan({ extent, base: baseMap, asRecords });
  const target = preflightTarget(options.output, {
    extent: { start: extent.targetStart, end: targetEndOf(extent) },
    sparse: sparseModeOf(options),
    force: options.force ?? false,
    stores: [
      { basedir: found.basedir, revisionPath: found.mapPath },
      ...(base ? [{ basedir: base.basedir, revisionPath: base.mapPath }] : []),
      ...also.map((basedir) => ({ basedir })),
    ],
    oldContent: oldContentOf(options),
    needsRandomAccess: needsRandomAccess(options),
    isRead: Boolean(options.update || options.verifyTarget),
    heldBytes: baseMap && !asRecords ? heldBytesOf(baseMap, extent) : 0,
    data: { atLeast: leastDataBytes(plan, options), atMost: plan.summary.dataBytes },
    areZerosRecords: asRecords,
  });
  stack.use(target);
  if (target.content) {
    const text = `What is on ${quote(target.path)} will be overwritten: ${target.content}`;
    onEvent({ type: "notice", text });
  }
  if (asRecords && target.access === "random") {
    throw refusal(target.path, "a diff is a stream, for a pipe or standard output only");
  }
  const locks = stack.move();
  return {
    name: found.name,
    plan,
    sources,
    target,
    planAll: async () => baseMap ? await makePlan({ extent }) : plan,
    requireSameMap: () => slices.run(requireSameMap(map, found)),
    [Symbol.dispose]: () => locks.dispose(),
  };
}

/** Finds a revision, and warns of what is known against it. */
async function findRevision(
  path: string,
  options: {
    spec?: string | undefined;
    relativeTo?: string;
    signal: AbortSignal | undefined;
    onEvent: (event: RestoreEvent) => void;
  },
): Promise<Found> {
  const { onEvent, ...how } = options;
  const { name, basedir, mapPath, warnings } = await selectRevision(path, how);
  for (const text of warnings) onEvent({ type: "warning", text });
  return { name, basedir, mapPath };
}

async function readMap(
  { mapPath }: Found,
  { slices, onEvent }: { slices: Slices; onEvent: (event: RestoreEvent) => void },
): Promise<StoredRevisionMap> {
  let progress: MapProgress = { doneBytes: 0, totalBytes: 0 };
  onEvent({ type: "reading-map", path: mapPath, progress: () => progress });
  return await slices.run(readMapSteps(mapPath, {
    onProgress: (doneBytes, totalBytes) => progress = { doneBytes, totalBytes },
  }));
}

function* requireSameMap(map: StoredRevisionMap, { name, mapPath }: Found): Steps<void> {
  if (yield* isStillThere(map, mapPath)) return;
  throw new RevisionError(
    `Cannot restore revision ${quote(name)}: its map ${quote(mapPath)}: ${
      describeChange("since it was read")
    }`,
    { path: mapPath },
  );
}

async function extentOf(
  map: RevisionMap,
  { range, partition, sectorBytes }: RestoreOptions,
  { sources, onEvent }: { sources: readonly string[]; onEvent: (event: RestoreEvent) => void },
): Promise<ImageExtent> {
  if (range) return rangeOfImage(map.imageBytes, range);
  if (partition === undefined) return wholeImage(map.imageBytes);
  // Loads the codec into this thread, which few restores need.
  const { partitionOfImage } = await import("./partition.ts");
  const onWarning = (text: string) => onEvent({ type: "warning", text });
  return partitionOfImage(map, partition, { sectorBytes, sources, onWarning });
}

/**
 * @throws {UsageError} If parts of the image are asked for that no restore brings to the target.
 */
function requireConsistent(options: RestoreOptions): void {
  const { range, partition } = options;
  if (range && partition !== undefined) {
    throw new UsageError("Cannot restore a range and a partition: each is a part of the image");
  }
  if (hasRecords(options) && (range || partition !== undefined)) {
    throw new UsageError("Cannot make a diff of a part of an image: it is of the whole");
  }
}

/** @throws {UsageError} If a partition is not where it was in the base. */
function requireSameExtent(extent: ImageExtent, held: ImageExtent, partition: number): void {
  if (extent.start === held.start && extent.end === held.end) return;
  throw new UsageError(
    `Cannot restore partition ${partition} with that base: there it has bytes ${held.start} to ` +
      `${held.end - 1}, here ${extent.start} to ${extent.end - 1}`,
  );
}

/**
 * Bytes that will be written whatever the chunks hold besides. One that is not the chunk of zeros
 * has a granule at least of something else; of the first and the last one that part may lie outside
 * of what is restored.
 */
function leastDataBytes({ summary }: RestorePlan, { update, onError }: RestoreOptions): number {
  return update || onError === "zero" ? 0 : Math.max(0, summary.dataSeqs - 2) * GRANULE_BYTES;
}

/** Bytes that a target must have to hold what the base has of an extent. */
function heldBytesOf(base: RevisionMap, extent: ImageExtent): number {
  return Math.max(0, targetOffsetOf(extent, Math.min(base.imageBytes, extent.end)));
}

/**
 * Whether a target may be trusted to hold zeros: one that holds a base, or will be looked at, holds
 * other things too.
 */
function sparseModeOf({ sparse = "auto", update, base }: RestoreOptions): SparseMode {
  return sparse === "always" && (update || base !== undefined) ? "auto" : sparse;
}

function needsRandomAccess(options: RestoreOptions): boolean {
  const { update, base, verifyTarget } = options;
  return Boolean(update || verifyTarget || (base !== undefined && !hasRecords(options)));
}

function hasRecords({ format = "raw" }: RestoreOptions): boolean {
  return STREAM_FORMATS[format].hasRecords;
}

function oldContentOf({ range, update, base }: RestoreOptions): OldContent {
  if (range) return "patched";
  return update || base !== undefined ? "updated" : "replaced";
}
