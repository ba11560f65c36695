/**
 * What comes before a restore's first write: finds the revision, takes the purge locks, reads the
 * map, makes the plan (`plan.ts`) and has the target checked (`target_check.ts`). Changes nothing,
 * except that it creates lock files that are absent.
 *
 * @module
 */

import { requireSimd } from "../work/worker_room.ts";
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
import { requireStore, type RevisionLocation } from "../store/store.ts";
import type { CheckedTarget } from "../target/target.ts";
import { quote } from "../wording.ts";
import { type ImageExtent, rangeOfImage, wholeImage } from "../work/extent.ts";
import type { RestoreEvent, RestoreOptions } from "./options.ts";
import { type PlanOptions, planSteps, type RestorePlan } from "./plan.ts";
import { checkTarget, hasRecords } from "./target_check.ts";

/** A restore that can begin. Disposing it releases the locks, and the target if it is not open. */
export interface PreparedRestore extends Disposable {
  /** The revision's name. */
  readonly name: string;
  readonly plan: RestorePlan;
  /** Makes a plan of all that the target will hold, whether the base has it or not. */
  readonly planAll: () => Promise<RestorePlan>;
  /** Backup directories to read chunks from, the revision's own first. */
  readonly sources: readonly string[];
  readonly target: CheckedTarget;
  /** @throws {RevisionError} If the revision's map has changed since the plan was made. */
  readonly requireSameMap: () => Promise<void>;
}

/** Planning is an event from here on: 4 TiB, which take up to a second. */
const PLANNING_TOLD_SEQS = 1_048_576;

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
    // The target holds the base's partition, which helps only if it lies at the same offset.
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
  const target = stack.use(await checkTarget(options, { found, base, baseMap, plan }));
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

/** Finds a revision, and warns if it is unfinished or distrusted. */
async function findRevision(
  path: string,
  options: {
    spec?: string | undefined;
    relativeTo?: string;
    signal: AbortSignal | undefined;
    onEvent: (event: RestoreEvent) => void;
  },
): Promise<RevisionLocation> {
  const { onEvent, ...how } = options;
  const revision = await selectRevision(path, how);
  for (const text of revision.warnings) onEvent({ type: "warning", text });
  return revision;
}

async function readMap(
  { mapPath }: RevisionLocation,
  { slices, onEvent }: { slices: Slices; onEvent: (event: RestoreEvent) => void },
): Promise<StoredRevisionMap> {
  let progress: MapProgress = { doneBytes: 0, totalBytes: 0 };
  onEvent({ type: "reading-map", path: mapPath, progress: () => progress });
  return await slices.run(readMapSteps(mapPath, {
    onProgress: (doneBytes, totalBytes) => progress = { doneBytes, totalBytes },
  }));
}

function* requireSameMap(map: StoredRevisionMap, { name, mapPath }: RevisionLocation): Steps<void> {
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
  requireSimd();
  const { partitionOfImage } = await import("./partition.ts");
  const onWarning = (text: string) => onEvent({ type: "warning", text });
  return partitionOfImage(map, partition, { sectorBytes, sources, onWarning });
}

/** @throws {UsageError} If the parts of the image that are asked for contradict each other. */
function requireConsistent(options: RestoreOptions): void {
  const { range, partition } = options;
  if (range && partition !== undefined) {
    throw new UsageError("Cannot restore a range and a partition: each is a part of the image");
  }
  if (hasRecords(options) && (range || partition !== undefined)) {
    throw new UsageError("Cannot make a diff of a part of an image: a diff covers the whole image");
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
