/**
 * A restore that ends before its first write: everything is checked, nothing is changed.
 *
 * @module
 */

import { WorkerCrew } from "../work/crew.ts";
import { DamageCollector } from "./damage.ts";
import type { RestoreOptions } from "./options.ts";
import { WorkerPool } from "../work/pool.ts";
import { prepareRestore } from "./prepare.ts";
import { type DryRunReport, makeDryRunReport } from "./report.ts";

/**
 * Finds out what a restore would do, as far as that is possible without decoding chunks or reading
 * the target.
 *
 * @returns What would be read and written, and which chunks have no file.
 * @throws What `restore` throws before it touches the target.
 */
export async function dryRun(options: RestoreOptions): Promise<DryRunReport> {
  const { signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  const startMs = performance.now();
  using prepared = await prepareRestore(options);
  const { name, plan, sources } = prepared;
  for (const text of prepared.target.warnings) onEvent({ type: "warning", text });
  using crew = await WorkerCrew.start(options);
  const damage = new DamageCollector(plan.image.extent);
  const pool = new WorkerPool({
    crew,
    sources,
    verify: true,
    onError: "zero",
    throttle: null,
    task: {
      kind: "survey",
      image: plan.image,
      chunks: plan.chunks,
      readsEachSeq: prepared.target.access === "stream",
    },
    onNote: damage.listener(onEvent),
  });
  const progress = () => pool.progress();
  onEvent({
    type: "surveying",
    revision: name,
    threads: crew.workers.length,
    plan: plan.summary,
    progress,
  });
  await pool.run(signal);
  return makeDryRunReport(plan, pool.progress(), {
    elapsedMs: Math.round(performance.now() - startMs),
    sources,
    ...damage.loss(),
    mayWriteLess: Boolean(options.update),
  });
}
