/**
 * What a restore demands of its target, from what the user asked for and the plan.
 *
 * @module
 */

import type { RevisionMap } from "../store/revision_map.ts";
import type { RevisionLocation } from "../store/store.ts";
import { preflightOutput } from "../target/preflight.ts";
import { STREAM_FORMATS } from "../target/stream_format.ts";
import {
  type CheckedTarget,
  GRANULE_BYTES,
  type OldContent,
  type SparseMode,
} from "../target/target.ts";
import { refusal } from "../target/wording.ts";
import { quote } from "../wording.ts";
import { type ImageExtent, targetEndOf, targetOffsetOf } from "../work/extent.ts";
import type { RestoreOptions } from "./options.ts";
import type { RestorePlan } from "./plan.ts";

/**
 * Checks whether the target may be written and has what this restore needs.
 *
 * @param from.baseMap The map of `from.base`.
 * @throws {TargetError} If the target is refused.
 * @throws The signal's reason, if it is aborted while a cluster is asked.
 */
export async function checkTarget(
  options: RestoreOptions,
  from: {
    found: RevisionLocation;
    base: RevisionLocation | null;
    baseMap: RevisionMap | undefined;
    plan: RestorePlan;
  },
): Promise<CheckedTarget> {
  const { found, base, baseMap, plan } = from;
  const { also = [], onEvent = () => {} } = options;
  const { extent } = plan.image;
  const asRecords = hasRecords(options);
  using stack = new DisposableStack();
  const target = stack.use(
    await preflightOutput(options.output, {
      extent: { start: extent.targetStart, end: targetEndOf(extent) },
      sparse: sparseModeOf(options),
      direct: options.direct ?? "auto",
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
      mayCreate: options.create ?? false,
      signal: options.signal,
    }),
  );
  if (target.content) {
    const text = `What is on ${quote(target.path)} will be overwritten: ${target.content}`;
    onEvent({ type: "notice", text });
  }
  if (asRecords && target.access === "random") {
    throw refusal(target.path, "a diff is a stream, for a pipe or standard output only");
  }
  stack.move();
  return target;
}

/** Whether the target gets records that say where data and zeros belong. */
export function hasRecords({ format = "raw" }: RestoreOptions): boolean {
  return STREAM_FORMATS[format].hasRecords;
}

/**
 * Returns how many bytes of data will be written at least. A chunk that is not the chunk of zeros
 * has at least one granule that is not zeros; in the first and the last chunk, that granule may lie
 * outside the part that is restored.
 */
function leastDataBytes({ summary }: RestorePlan, { update, onError }: RestoreOptions): number {
  return update || onError === "zero" ? 0 : Math.max(0, summary.dataSeqs - 2) * GRANULE_BYTES;
}

/** Returns how long a target must be to hold what the base has of an extent. */
function heldBytesOf(base: RevisionMap, extent: ImageExtent): number {
  return Math.max(0, targetOffsetOf(extent, Math.min(base.imageBytes, extent.end)));
}

/** A target that holds a base, or is compared, cannot be trusted to hold zeros elsewhere. */
function sparseModeOf({ sparse = "auto", update, base }: RestoreOptions): SparseMode {
  return sparse === "always" && (update || base !== undefined) ? "auto" : sparse;
}

function needsRandomAccess(options: RestoreOptions): boolean {
  const { update, base, verifyTarget } = options;
  return Boolean(update || verifyTarget || (base !== undefined && !hasRecords(options)));
}

function oldContentOf({ range, update, base }: RestoreOptions): OldContent {
  if (range) return "patched";
  return update || base !== undefined ? "updated" : "replaced";
}
