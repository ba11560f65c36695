/**
 * Measures updates, checks and dry runs.
 *
 * @module
 */

import * as codec from "lzo-wasm";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { addRevision, makeStore, writeMap } from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { findTool, sampleImage, timed, WORKERS } from "./restore.ts";

const ROUNDS = 7;
const HUGE_SEQS = 4_194_304;

/** Prints times and ratios, of alternating runs. Takes about 8 GiB in `dir`. */
export async function benchToolbox(dir: string, print: (text: string) => void): Promise<void> {
  const { name, command } = findTool();
  const basedir = `${dir}/vm0`;
  makeStore(basedir);
  const { path, size, ids } = addRevision(basedir, "sample", sampleImage());
  const image = { ids: Array.from({ length: HUGE_SEQS }, (_, seq) => ids[seq % ids.length]!) };
  writeMap(basedir, "huge", { ...image, size: HUGE_SEQS * CHUNK_BYTES });
  writeMap(basedir, "twice", { ids: [...ids, ...ids], size: 2 * size });
  const target = `${dir}/target.img`, twice = `${dir}/twice.img`;
  // Not sparse, so that all of it is compared.
  await timed(`"$@" -q -t 2 -s never ${path} ${target}`, command);
  await timed(`"$@" -q -t 2 -s never ${basedir}/twice ${twice}`, command);
  print(`${name}, ${(size / 2 ** 30).toFixed(1)} GiB image, ${WORKERS} workers, in ${dir}:`);

  const seconds = await alternate({
    restore: `"$@" -q -t ${WORKERS} ${path} - >/dev/null`,
    check: `"$@" check -q -t ${WORKERS} ${path}`,
    update: `"$@" -q -t ${WORKERS} --update ${path} ${target}`,
    base: `"$@" -q -t ${WORKERS} --base sample ${path} ${target}`,
    updateTwice: `"$@" -q -t ${WORKERS} --update ${basedir}/twice ${twice}`,
    direct: `dd if=${target} of=/dev/null bs=4M iflag=direct status=none`,
    cat: `cat ${target} >/dev/null`,
    catTwice: `cat ${twice} >/dev/null`,
    dryRun: `"$@" -q -n -t ${WORKERS} -s always ${basedir}/huge ${dir}/absent`,
  }, command);
  const hashing = size / (WORKERS * hashRate());
  const row = (what: string, value: number, rest = "") =>
    print(`  ${what}: ${value.toFixed(3)} s${rest}`);
  row("restore to standard output", seconds.restore);
  row("check", seconds.check, `, ${(seconds.check / seconds.restore).toFixed(2)} of the restore`);
  const update = (seconds.update / (seconds.cat + hashing)).toFixed(2);
  row("update of an identical target", seconds.update, `, ${update} of cat and hashing`);
  const ofDirect = (seconds.update / seconds.direct).toFixed(2);
  row("reading the target past the page cache", seconds.direct, `, the update: ${ofDirect} of it`);
  const updateTwice = (seconds.updateTwice / (seconds.catTwice + 2 * hashing)).toFixed(2);
  row("update of one twice as long", seconds.updateTwice, `, ${updateTwice} of cat and hashing`);
  row(
    "cat of the target",
    seconds.cat,
    `, hashing with ${WORKERS} workers: ${hashing.toFixed(3)} s`,
  );
  row("base that is the same", seconds.base);
  row("dry run of a 16 TiB map", seconds.dryRun);
}

/** Runs each script once a round, and returns the median of its times. */
async function alternate<Name extends string>(
  scripts: Record<Name, string>,
  command: readonly string[],
): Promise<Record<Name, number>> {
  const times = new Map<string, number[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, script] of Object.entries<string>(scripts)) {
      times.set(name, [...times.get(name) ?? [], (await timed(script, command)).seconds]);
    }
  }
  return Object.fromEntries([...times].map(([name, list]) => [name, median(list)])) as Record<
    Name,
    number
  >;
}

/** Bytes that one thread hashes in a second. */
function hashRate(): number {
  const output = codec.outputs[0]!;
  for (let at = 0; at < CHUNK_BYTES; at++) output[at] = at * 31;
  const rounds = 200;
  codec.murmur3(0, CHUNK_BYTES);
  const startMs = performance.now();
  for (let round = 0; round < rounds; round++) codec.murmur3(0, CHUNK_BYTES);
  return rounds * CHUNK_BYTES / ((performance.now() - startMs) / 1000);
}
