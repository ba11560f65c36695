/**
 * The summary of a restore, a dry run or a check, for a person. Pure.
 *
 * @module
 */

import type { DryRunReport, LentChunks, RestoreReport } from "../restore/report.ts";
import { quote } from "../wording.ts";
import type { RestoreCommand } from "./extract_commands.ts";
import { formatBytes, formatCount, formatDuration, formatQuantity, formatRate } from "./format.ts";
import type { PlanSummary } from "../restore/plan.ts";

/** Says what was restored, in one line or a few. */
export function renderReport(report: RestoreReport): string[] {
  const { dataSeqs, zeroSeqs, distinctChunks, isVerified, rewrittenBytes } = report;
  const bytes = report.dataBytes + report.zeroBytes;
  const seconds = report.elapsedMs / 1000;
  // A clock that did not advance must not make the rate infinite.
  const rate = formatRate(bytes / Math.max(seconds, 0.001));
  const lines = [
    `Restored ${formatBytes(bytes)} in ${formatDuration(seconds)} (${rate}): ` +
    `${formatQuantity(dataSeqs + zeroSeqs, "chunk")}, ${formatCount(zeroSeqs)} of them zero, ` +
    `${formatCount(distinctChunks)} distinct ` +
    (report.sameBytes > 0
      ? "compared"
      : isVerified
      ? "decoded and verified"
      : "decoded but not verified"),
    ...keptLine(report),
  ];
  if (report.sameBytes > 0) {
    const { sameBytes, writtenBytes } = report;
    lines.push(
      `${formatBytes(sameBytes)} were there already, ${formatBytes(writtenBytes)} written`,
    );
  }
  if (rewrittenBytes === 0) lines.push("The target was read back and holds what it should");
  else if (rewrittenBytes !== null) {
    lines.push(
      `The target was read back: ${
        formatBytes(rewrittenBytes)
      } had to be written again, and now it ` +
        "holds what it should",
    );
  }
  return [...lines, ...lentLines(report.lentChunks)];
}

/** Says what a restore would do. */
export function renderDryRun(report: DryRunReport, command: RestoreCommand): string[] {
  const { dataSeqs, dataBytes, zeroSeqs, zeroBytes, distinctChunks, mayWriteLess } = report;
  const atMost = mayWriteLess ? "at most " : "";
  const zeros = `${formatQuantity(zeroSeqs, "chunk")} of zeros (${formatBytes(zeroBytes)})`;
  const isWritten = command.sparse === "never" || command.output === "-";
  return [
    `Would restore ${formatBytes(dataBytes + zeroBytes)} of ${
      formatBytes(report.imageBytes)
    }: read ` +
    `${atMost}${formatBytes(report.readBytes)} in ${
      formatQuantity(distinctChunks, "file")
    }, write ` +
    `${atMost}${formatBytes(dataBytes)} in ${formatQuantity(dataSeqs, "chunk")}; ` +
    `${zeros} ${isWritten ? "written or allocated" : "skipped or deallocated"}`,
    ...keptLine(report),
    ...lentLines(report.lentChunks),
    "Nothing was changed",
  ];
}

function keptLine({ keptSeqs, keptBytes }: PlanSummary): string[] {
  if (keptSeqs === 0) return [];
  return [
    `${formatQuantity(keptSeqs, "chunk")} (${formatBytes(keptBytes)}) as in the base revision`,
  ];
}

function lentLines(lentChunks: readonly LentChunks[]): string[] {
  return lentChunks.map(({ dir, chunks }) =>
    `${formatQuantity(chunks, "chunk")} from ${quote(dir)}`
  );
}
