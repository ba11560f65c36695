/**
 * The summary of a restore or a dry run, for a person. Pure.
 *
 * @module
 */

import type { Loss } from "../restore/damage.ts";
import type { PlanSummary } from "../restore/plan.ts";
import type { DryRunReport, LentChunks, RestoreReport } from "../restore/report.ts";
import type { StreamFormat } from "../target/stream_format.ts";
import type { SparseMode } from "../target/target.ts";
import type { OnError } from "../work/messages.ts";
import { quote } from "../wording.ts";
import { formatBytes, formatCount, formatDuration, formatQuantity, formatRate } from "./format.ts";

/** What the wording depends on. */
export interface AskedFor {
  readonly update: boolean;
  readonly sparse: SparseMode;
  readonly format: StreamFormat;
  readonly output: string;
}

/**
 * Says what was restored, in one or a few lines; {@linkcode describeLoss} says what was lost.
 */
export function renderReport(report: RestoreReport, { update }: AskedFor): string[] {
  const { dataSeqs, zeroSeqs, distinctChunks, isVerified, sameBytes } = report;
  const bytes = report.dataBytes + report.zeroBytes;
  const { badBytes, badChunks } = report;
  const goodBytes = bytes - badBytes;
  const seconds = report.elapsedMs / 1000;
  // A clock that did not advance must not make the rate infinite.
  const rate = formatRate(bytes / Math.max(seconds, 0.001));
  const amount = badBytes === 0
    ? formatBytes(bytes)
    : `${formatBytes(goodBytes)} of ${formatBytes(bytes)}`;
  const distinct = badChunks === 0
    ? formatCount(distinctChunks)
    : `${formatCount(distinctChunks - badChunks)} of ${formatCount(distinctChunks)}`;
  const treatment = update
    ? "compared"
    : isVerified
    ? "decoded and verified"
    : "decoded but not verified";
  return [
    `${update ? "Updated" : "Restored"} ${amount} in ${formatDuration(seconds)} (${rate}): ` +
    `${formatQuantity(dataSeqs + zeroSeqs, "chunk")}, ${formatCount(zeroSeqs)} of them zero, ` +
    `${distinct} distinct ${treatment}`,
    ...keptLine(report),
    ...update
      ? [
        `${formatBytes(sameBytes)} were there already, ` +
        `${formatBytes(goodBytes - sameBytes)} were brought up to date`,
      ]
      : [],
    ...readBackLine(report),
    ...lentLines(report.lentChunks),
  ];
}

/** Says what a restore would do. */
export function renderDryRun(report: DryRunReport, command: AskedFor): string[] {
  const { imageBytes, dataSeqs, dataBytes, zeroSeqs, zeroBytes, distinctChunks } = report;
  const atMost = report.mayWriteLess ? "at most " : "";
  const bytes = dataBytes + zeroBytes;
  const part = bytes === imageBytes ? "" : ` of ${formatBytes(imageBytes)}`;
  const files = formatQuantity(distinctChunks - report.badChunks, "file");
  return [
    `Would restore ${formatBytes(bytes)}${part}: ` +
    `read ${atMost}${formatBytes(report.readBytes)} from ${files}, ` +
    `write ${atMost}${formatBytes(dataBytes)} (${formatQuantity(dataSeqs, "chunk")}); ` +
    `${formatBytes(zeroBytes)} of zeros (${formatQuantity(zeroSeqs, "chunk")}) ` +
    `${howZeros(command)}`,
    ...keptLine(report),
    ...lentLines(report.lentChunks),
    "Nothing was changed",
  ];
}

/**
 * Says what was lost to bad chunks, or in a dry run, what would be.
 *
 * @param run.canUpdate Whether an update could repair the target; default false.
 */
export function describeLoss(
  { badChunks, badRangeCount, badBytes }: Omit<Loss, "badRanges">,
  run: { isDryRun: boolean; onError: OnError; canUpdate?: boolean },
): string {
  const loss = `${formatQuantity(badChunks, "chunk")} missing or corrupt: ` +
    `${formatQuantity(badRangeCount, "range")} of the image (${formatBytes(badBytes)}) `;
  if (!run.isDryRun) {
    const mend = run.canUpdate ? "; --update --also DIR puts good copies there" : "";
    return `${loss}lost and filled with zeros${mend}`;
  }
  return run.onError === "zero"
    ? `${loss}would be lost and filled with zeros`
    : `${loss}cannot be restored: the restore would fail; --also DIR may have good copies, ` +
      "--on-error=zero would leave zeros there";
}

function howZeros({ sparse, format, output }: AskedFor): string {
  if (format === "rbd-diff") return "as records without data";
  if (output === "-") return "written";
  if (sparse === "never") return "written or allocated";
  return sparse === "always"
    ? "left out, of a file that keeps its content deallocated"
    : "left out, deallocated or written, as the target allows";
}

function keptLine({ keptSeqs, keptBytes }: PlanSummary): string[] {
  if (keptSeqs === 0) return [];
  return [
    `${formatQuantity(keptSeqs, "chunk")} (${formatBytes(keptBytes)}) not written: ` +
    "the same in the base revision",
  ];
}

function readBackLine({ rewrittenBytes }: RestoreReport): string[] {
  if (rewrittenBytes === null) return [];
  if (rewrittenBytes === 0) return ["The target was read back and holds what was written"];
  return [
    `The target was read back: ${formatBytes(rewrittenBytes)} had to be written again, ` +
    "and now it holds that",
  ];
}

function lentLines(lentChunks: readonly LentChunks[]): string[] {
  return lentChunks.map(({ dir, chunks }) =>
    `${formatQuantity(chunks, "chunk")} came from ${quote(dir)}`
  );
}
