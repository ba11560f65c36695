/**
 * Reports the events of a restore or dry run.
 *
 * @module
 */

import type { RunningWork, TargetWork } from "../restore/options.ts";
import type { RestoreEvent } from "../restore/restore.ts";
import { nameTarget } from "../target/wording.ts";
import { quote } from "../wording.ts";
import { formatBytes, formatQuantity } from "./format.ts";
import type { TouchedTarget } from "./failure.ts";
import { BadChunkWarnings, reportCommonEvent, type Reporter } from "./reporter.ts";

/** Passes events on to a reporter, and keeps what is needed at the end. */
export class RestoreEventReporter {
  readonly #reporter: Reporter;
  readonly #badChunks: BadChunkWarnings;
  /** The target, once it may have been changed. */
  touchedTarget: TouchedTarget | null = null;
  /** The revision's name, once it is known. */
  revision: string | null = null;
  #locks = 0;

  constructor(reporter: Reporter) {
    this.#reporter = reporter;
    this.#badChunks = new BadChunkWarnings(reporter);
  }

  tell(event: RestoreEvent): void {
    const reporter = this.#reporter;
    switch (event.type) {
      case "locking": {
        const { basedir } = event;
        if (this.#locks++ === 0) return reportCommonEvent(reporter, event);
        const text = `Obtaining purge lock of ${quote(basedir)}`;
        return reporter.step(text, { name: "lock", fields: { basedir } });
      }
      case "reading-map":
        return reporter.step("Loading revision map", { name: "read-map", counts: event.progress });
      case "planning":
        return reporter.step("Planning", { name: "plan" });
      case "reader-wait":
        return reporter.warn(`waiting for a reader of ${nameTarget(event.target)}`);
      case "emptied":
        // Even if it gets no further (no room, a signal), the user must know that it was emptied.
        this.touchedTarget = { path: event.target, access: "random" };
        return;
      case "restoring":
        this.touchedTarget = { path: event.target, access: event.access };
        this.revision = event.revision;
        return this.#track(event, {
          verb: event.isUpdate ? "Updating" : "Restoring",
          name: event.isUpdate ? "update" : "restore",
          countsDecoding: !event.isUpdate,
        });
      case "reading-back":
        return this.#track(event, {
          verb: event.round === 1 ? "Reading back" : "Reading back again",
          name: event.round === 1 ? "read-back" : "read-back-again",
          countsDecoding: false,
        });
      case "surveying":
        return this.#trackSurvey(event);
      case "flushing":
        // Also before an update: its file may have been given another length.
        this.touchedTarget ??= { path: event.target, access: "random" };
        return reporter.step("Flushing", { name: "flush" });
      case "bad-chunk":
        return this.#badChunks.tell(event.detail);
      default:
        return reportCommonEvent(reporter, event);
    }
  }

  /** Reports what is still held back. */
  end(): void {
    this.#badChunks.end();
  }

  #track(
    event: TargetWork,
    how: { verb: string; name: string; countsDecoding: boolean },
  ): void {
    const { revision, target, threads, access, plan, progress } = event;
    const totalBytes = plan.dataBytes + plan.zeroBytes;
    // A stream decodes a chunk again at each of its places.
    const workTotalBytes = access === "random" ? plan.distinctBytes : plan.dataBytes;
    const chunks = formatQuantity(plan.distinctChunks, "distinct chunk");
    const preposition = how.name.startsWith("read-back") ? "from" : "to";
    this.#reporter.track(
      `${how.verb} ${revision} (${formatBytes(totalBytes)}, ${chunks}) ${preposition} ` +
        `${nameTarget(target)} with ${formatQuantity(threads, "worker")}`,
      how.verb,
      () => {
        const { imageBytes: doneBytes, decodedBytes, badBytes, freeBytes } = progress();
        const work = how.countsDecoding
          ? { workDoneBytes: decodedBytes + badBytes, workTotalBytes }
          : { workDoneBytes: doneBytes - freeBytes, workTotalBytes: totalBytes - freeBytes };
        return { doneBytes, totalBytes, ...work };
      },
      { name: how.name, fields: { revision, target, threads, ...plan } },
    );
  }

  #trackSurvey({ revision, threads, plan, progress }: RunningWork): void {
    this.revision = revision;
    const chunks = formatQuantity(plan.distinctChunks, "distinct chunk");
    // Files are looked for, not read, so progress counts files.
    const chunkBytes = plan.distinctChunks === 0 ? 0 : plan.distinctBytes / plan.distinctChunks;
    this.#reporter.track(
      `Looking for ${chunks} of ${revision} (${formatBytes(plan.imageBytes)})`,
      "Looking",
      () => ({ doneBytes: progress().jobs * chunkBytes, totalBytes: plan.distinctBytes }),
      { name: "survey", fields: { revision, threads, ...plan } },
    );
  }
}
