/**
 * `backy-extract` without a subcommand: a restore or a dry run. Holds its options, help and run.
 * Its events are reported by `restore_events.ts`.
 *
 * @module
 */

import { defaultThreads } from "../work/worker_room.ts";
import type { SectorBytes } from "../image/partition_table.ts";
import { reasonOf } from "../linux/errno.ts";
import type { DryRunReport, RestoreReport } from "../restore/report.ts";
import type { RestoreEvent } from "../restore/restore.ts";
import { isRbdName } from "../target/rbd_name.ts";
import { STREAM_FORMATS, type StreamFormat } from "../target/stream_format.ts";
import { quote } from "../wording.ts";
import { parseByteRange, parsePartitionNumber } from "./byte_values.ts";
import { type CommandOf, defineCommand } from "./command.ts";
import { beginRun, type CommandRun } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { candidateLines, targetNotes } from "./failure.ts";
import {
  choice,
  flag,
  optional,
  parseText,
  repeated,
  required,
  valued,
  ValueFault,
} from "./option.ts";
import { findOutputClash } from "./output_clash.ts";
import { openReportFile, requireReportFile } from "./report_file.ts";
import { describeLoss, renderDryRun, renderReport } from "./report_text.ts";
import { RestoreEventReporter } from "./restore_events.ts";
import {
  LOCK_TIMEOUT,
  QUIET,
  READ_RATE,
  REVISION_SPEC,
  THREADS,
  VERIFY,
} from "./shared_options.ts";
import { type Sink, stderrColumns } from "./terminal.ts";

const STDOUT = "standard output";
const RBD_OUTPUT = "rbd:POOL/IMAGE";
const STDOUT_IMAGE = "an image on standard output";
const IN_ORDER = "standard output takes bytes in order only; name a file or block device";

const ARGUMENTS = {
  /** Path of the revision map, or of a backup directory with a spec behind it or in `spec`. */
  revision: required({
    name: "REVISION",
    names: "revision",
    help: "a revision of a backup directory, by name or by specification, such as " +
      "/srv/backy/vm/Nym6uacWoXGb8VnbksM3yH or /srv/backy/vm/last; or a backup directory, with -r",
  }),
  /** Path of the target, or "-" for standard output. */
  output: optional({
    name: "OUTPUT",
    names: "file",
    help: 'file or device to write; "-" or absent: standard output; rbd:POOL/IMAGE or ' +
      "rbd:POOL/NAMESPACE/IMAGE: image in a Ceph cluster",
    absent: "-",
  }),
};

const OPTIONS = {
  spec: REVISION_SPEC,
  threads: THREADS,
  sparse: choice({
    long: "sparse",
    short: "s",
    value: "WHEN",
    choices: ["auto", "never", "always"],
    help: "how zeros reach the target: auto (holes in files, zero runs of devices deallocated or " +
      "zeroed), never (every byte written or allocated), always (holes in files; skipped on " +
      "devices, which are trusted to hold zeros there)",
    absent: "auto",
  }),
  direct: choice({
    long: "direct",
    value: "WHEN",
    choices: ["auto", "never", "always"],
    help:
      "write files and devices past the page cache: auto (ext4, XFS, F2FS and devices), never, " +
      "always (wherever that is possible)",
    absent: "auto",
  }),
  update: flag({
    long: "update",
    short: "u",
    help: "compare the target with the revision and write only what differs; also resumes a " +
      "restore that was interrupted or failed",
    conflicts: [
      {
        with: ["--base"],
        reason: "one reads the target to see what it holds, the other trusts that it is known",
      },
      { with: [STDOUT], reason: IN_ORDER },
      {
        with: ["--sparse=always"],
        reason: "the target is either compared or trusted to hold zeros, not both",
      },
    ],
  }),
  /** A revision that the target is trusted to hold. */
  base: valued({
    long: "base",
    value: "REVISION",
    names: "base",
    help: "trust the target to hold this revision and write only what differs from it",
    conflicts: [
      {
        with: [STDOUT_IMAGE],
        reason: "that would have gaps; use --format=rbd-diff, or name a file or block device",
      },
      {
        with: ["--sparse=always"],
        reason: "where the base has data and the revision zeros, that data would stay",
      },
    ],
    parse: parseText,
  }),
  verifyTarget: flag({
    long: "verify-target",
    help: "read the target back at the end and compare; write what differs once more",
    conflicts: [
      { with: [STDOUT], reason: IN_ORDER },
      { with: ["--no-sync"], reason: "what was not flushed cannot be read back" },
      {
        with: ["--no-verify"],
        reason: "the target is compared with the ids of chunks, which must then be verified",
      },
    ],
  }),
  range: valued({
    long: "range",
    value: "OFFSET:LENGTH",
    help: "restore only this part, such as 1GiB:512MiB, to the same offset of a target that " +
      "keeps the rest; either number may be missing",
    conflicts: [{ with: ["--partition"], reason: "each chooses a part of the image" }],
    parse: parseByteRange,
  }),
  partition: valued({
    long: "partition",
    value: "N",
    help: "restore only partition N of the image's MBR or GPT, to the start of the target",
    parse: parsePartitionNumber,
  }),
  /** Sector size of the partition table; `undefined`: detected. */
  sectorBytes: valued({
    long: "sector-size",
    value: "BYTES",
    choices: ["512", "4096"],
    help: "sector size of the partition table, 512 or 4096 (with --partition)",
    default: "detected from the image",
    conflicts: [
      { without: "--partition", reason: "it says what unit the partition table uses" },
    ],
    parse: (text): SectorBytes => text === "512" ? 512 : 4096,
  }),
  format: choice({
    long: "format",
    value: "FORMAT",
    choices: Object.keys(STREAM_FORMATS) as StreamFormat[],
    help: 'what standard output gets: raw (the image), rbd-diff (a stream for "rbd import-diff"; ' +
      "with --base only the difference)",
    absent: "raw",
    conflicts: [
      {
        of: "rbd-diff",
        with: ["OUTPUT"],
        reason: "it is a stream, for standard output only",
      },
      {
        of: "rbd-diff",
        with: ["--range", "--partition"],
        reason: "a diff covers the whole image",
      },
      {
        of: "rbd-diff",
        with: ["--sparse=never"],
        reason: "its zeros are records, not bytes",
      },
    ],
  }),
  onError: choice({
    long: "on-error",
    value: "WHAT",
    choices: ["abort", "zero"],
    help: "what to do about a chunk that is missing or corrupt: abort (end the restore), zero " +
      "(leave zeros, go on and report the bad ranges at the end)",
    absent: "abort",
  }),
  also: repeated({
    long: "also",
    value: "DIR",
    names: "directory",
    help: "another backup directory that may have a good copy of such a chunk; may be given " +
      "several times",
    parse: (text) => [parseText(text)],
  }),
  /** File for the bad ranges. */
  reportFile: valued({
    long: "report",
    value: "FILE",
    names: "file",
    help: "write the bad ranges to this file, as JSON (with --on-error=zero)",
    conflicts: [
      {
        without: "--on-error=zero",
        reason: "the restore ends at the first bad chunk, and there is nothing to report",
      },
    ],
    parse(text) {
      if (text === "-") throw new ValueFault("not a file, which a report needs");
      return parseText(text);
    },
  }),
  verify: VERIFY,
  sync: flag({
    long: "no-sync",
    help: "do not flush the target to disk at the end",
    given: false,
  }),
  lockTimeoutMs: LOCK_TIMEOUT,
  readBytesPerSecond: READ_RATE,
  force: flag({
    long: "force",
    short: "f",
    help:
      "write to a target that is in use, to another backup's file, or to a file with hard links",
  }),
  create: flag({
    long: "create",
    help: "create the image in the Ceph cluster if there is none, as large as what is restored",
    conflicts: [
      {
        without: RBD_OUTPUT,
        reason: "files are always created, other targets never",
      },
    ],
  }),
  dryRun: flag({
    long: "dry-run",
    short: "n",
    help: "check everything up to the first write, and whether all chunks are there",
  }),
  quiet: QUIET,
  json: flag({ long: "json", help: "report to standard error in JSON, one object per line" }),
};

/** A restore as the command line asks for it. */
export type RestoreCommand = CommandOf<"restore", typeof OPTIONS, typeof ARGUMENTS>;

/** `backy-extract` without a subcommand. */
export const RESTORE = defineCommand({
  kind: "restore",
  name: "backy-extract",
  summary: "Restores a revision of a backy backup to a file, a device or standard output.",
  arguments: ARGUMENTS,
  options: OPTIONS,
  revisions: "one",
  reportsJson: true,
  says({ output, format }) {
    if (isRbdName(output)) return ["OUTPUT", RBD_OUTPUT];
    if (output !== "-") return ["OUTPUT"];
    return format === "raw" ? [STDOUT, STDOUT_IMAGE] : [STDOUT];
  },
  run: runRestore,
});

async function runRestore(command: RestoreCommand, tool: string, write: Sink): Promise<ExitCode> {
  const clash = findOutputClash(command.output, write);
  using run = beginRun(tool, command, clash?.sink ?? write);
  const { reporter, signal } = run;
  if (clash !== null) {
    reporter.fail(clash.error, { fields: { incompleteTarget: null } });
    return exitCodeFor(clash.error);
  }
  const { kind, quiet: _quiet, json: _json, reportFile, ...asked } = command;
  const threads = command.threads ?? defaultThreads();
  reporter.start({ command: kind, arguments: { ...asked, threads, reportFile } });
  const events = new RestoreEventReporter(reporter);
  const options = {
    ...asked,
    threads,
    signal,
    onEvent: (event: RestoreEvent) => events.tell(event),
  };
  try {
    // Loaded only now: --help, --version and other commands need not wait for it.
    if (command.dryRun) {
      const { dryRun } = await import("../restore/dry_run.ts");
      if (reportFile !== undefined) requireReportFile(reportFile, command.output);
      const report = await dryRun(options);
      events.end();
      return await conclude(run, report, renderDryRun(report, command), command);
    }
    using file = reportFile === undefined ? null : openReportFile(reportFile, command.output);
    const { restore } = await import("../restore/restore.ts");
    const report = await restore(options);
    events.end();
    let isReported = true;
    try {
      file?.write({ revision: events.revision, target: command.output, ...report });
    } catch (error) {
      isReported = false;
      reporter.warn(`Cannot write report ${quote(reportFile ?? "")}: ${reasonOf(error)}`);
    }
    const canUpdate = events.touchedTarget?.access === "random";
    const lines = renderReport(report, command);
    const code = await conclude(run, report, lines, { ...command, canUpdate });
    return isReported || code !== ExitCode.COMPLETE ? code : ExitCode.FAILURE;
  } catch (error) {
    events.end();
    const { touchedTarget } = events;
    reporter.fail(error, {
      notes: [...candidateLines(error), ...targetNotes(error, touchedTarget, command)],
      fields: { incompleteTarget: touchedTarget?.path ?? null },
    });
    return exitCodeFor(error);
  }
}

/** Reports what was done, with what is missing at the end, where it is noticed. */
async function conclude(
  { reporter }: CommandRun,
  report: RestoreReport | DryRunReport,
  lines: readonly string[],
  { dryRun: isDryRun, onError, canUpdate }: RestoreCommand & { canUpdate?: boolean },
): Promise<ExitCode> {
  const { badRanges, badRangeCount, badBytes } = report;
  reporter.summary(lines, { ...report });
  if (badRanges.length === 0) return ExitCode.COMPLETE;
  const { renderDamageTable } = await import("./damage_table.ts");
  const maxCells = stderrColumns();
  const loss = describeLoss(report, { isDryRun, onError, canUpdate: canUpdate ?? false });
  reporter.listing([...renderDamageTable(badRanges, { maxCells, badRangeCount, badBytes }), loss]);
  return ExitCode.DATA;
}
