/**
 * A mounted image under load: fio(1) writes and verifies, others read, and a chunk goes bad and
 * comes back.
 */

import { Errno } from "../../lib/linux/errno.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { fuseTest, hashesBelow, type Site } from "../cli/fuse_harness.ts";
import { assertBytes, assertContent, dropPageCache, errnoOf, readAt } from "../support/bytes.ts";
import { type Random, randomFrom } from "../support/random.ts";
import { type ChunkContent, chunkFile, imageOf } from "../support/store_builder.ts";
import { pause } from "../support/wait.ts";
import { chunkContent, IS_FULL, replaceFile } from "./fault_store.ts";

const SECONDS = IS_FULL ? 60 : 5;
/** On an idle machine a round of a job takes a tenth of this. */
const ROUND_LIMIT_SECONDS = 60;

/** Chunks that are written to; some are absent. The others are only read. */
const WRITTEN = 12, READ = 16;
const BAD_SEQ = WRITTEN + 5;

/** Jobs of fio, each with its own part of the image, which begins and ends inside chunks. */
const JOBS = [
  // This engine of fio 3.33 maps the file's start, whatever the offset.
  ["--ioengine=mmap", "--rw=randwrite", "--bs=8k", "--offset=0", "--size=6m"],
  ["--ioengine=psync", "--rw=randwrite", "--bs=4k", "--offset=8196k", "--size=5m"],
  ["--ioengine=psync", "--rw=randwrite", "--bs=512k", "--offset=15m", "--size=16m"],
  ["--ioengine=psync", "--rw=write", "--bs=60k", "--offset=36m", "--size=11m"],
];

/**
 * Has fio write a job's whole part and read it back, again and again. @returns How often. @throws
 * If fio finds a fault.
 */
async function keepVerifying(
  path: string,
  { job, isOver }: { job: readonly string[]; isOver: () => boolean },
): Promise<number> {
  let rounds = 0;
  while (!isOver()) {
    const args = [
      ...["fio", "--name=job", ...job, `--filename=${path}`, "--allow_file_create=0"],
      ...["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", `--randseed=${++rounds}`],
      ...["--fallocate=none", "--verify_state_save=0", "--minimal"],
    ];
    const { code, stdout, stderr } = await new Deno.Command("timeout", {
      args: ["-s", "KILL", String(ROUND_LIMIT_SECONDS), ...args],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, `${job}: ${decoder.decode(stderr)}${decoder.decode(stdout)}`);
  }
  return rounds;
}

/**
 * Reads from the chunks that nobody writes, until told to stop. Only the bad chunk may fail.
 * @returns How many it read.
 */
async function keepReading(
  path: string,
  image: Uint8Array,
  { random, isOver }: { random: Random; isOver: () => boolean },
): Promise<number> {
  let count = 0;
  for (; !isOver(); count++) {
    const at = WRITTEN * CHUNK_BYTES + random(READ * CHUNK_BYTES - 1);
    const length = 1 + random(random(4) === 0 ? 3_000_000 : 100_000);
    const reading = readAt(path, at, length);
    const errno = await errnoOf(reading);
    if (errno === 0) {
      assertBytes(await reading, image.subarray(at, at + length));
    } else {
      const isBad = Math.floor(at / CHUNK_BYTES) <= BAD_SEQ &&
        at + length > BAD_SEQ * CHUNK_BYTES;
      // The kernel reads ahead, but reports a failure only to whoever asked for those bytes.
      assert(errno === Errno.EIO && isBad, `errno ${errno} at ${at} + ${length}`);
    }
  }
  return count;
}

/**
 * A chunk reads correctly only some time after it is back: a read may join one that began with the
 * bad file.
 */
const BACK_MS = 60_000;

/** Waits until the bad chunk can be read again. */
async function untilRight(path: string, expected: Uint8Array): Promise<void> {
  const end = performance.now() + BACK_MS;
  for (;;) {
    const reading = readAt(path, BAD_SEQ * CHUNK_BYTES, expected.length);
    const errno = await errnoOf(reading);
    if (errno === 0) return assertBytes(await reading, expected);
    assert(errno === Errno.EIO && performance.now() < end, `errno ${errno}`);
  }
}

/**
 * Takes a chunk away and puts it back, again and again. @returns How often a read of it failed, as
 * it should.
 */
async function keepBreaking(
  path: string,
  image: Uint8Array,
  { file, isOver }: { file: string; isOver: () => boolean },
): Promise<number> {
  const good = Deno.readFileSync(file);
  const expected = image.subarray(BAD_SEQ * CHUNK_BYTES, BAD_SEQ * CHUNK_BYTES + 4096);
  let failures = 0;
  for (let round = 0; !isOver(); round++) {
    if (round % 2 === 0) Deno.removeSync(file);
    else replaceFile(file, good.map((byte, at) => at === 1000 ? byte ^ 1 : byte));
    await dropPageCache();
    // It may stay in the mount's own cache for a while.
    for (let wait = 0; wait < 20 && !isOver(); wait++) {
      const reading = readAt(path, BAD_SEQ * CHUNK_BYTES, 4096);
      const errno = await errnoOf(reading);
      if (errno === 0) assertBytes(await reading, expected);
      else assertEquals(errno, Errno.EIO);
      if (errno !== 0 && ++failures) break;
      await dropPageCache();
      await pause(50);
    }
    replaceFile(file, good);
    await untilRight(path, expected);
    await pause(100);
  }
  return failures;
}

function makeImage(site: Site) {
  const chunks: ChunkContent[] = [];
  for (let seq = 0; seq < WRITTEN + READ; seq++) {
    chunks.push(seq % 5 === 3 ? (seq % 2 ? "absent" : "zero") : chunkContent(seq));
  }
  const { ids } = site.add("Disk", chunks);
  return { image: imageOf(chunks), file: chunkFile(site.basedir, ids[BAD_SEQ]!) };
}

fuseTest(
  `fio verifies what it writes for ${SECONDS} seconds, beside readers and a chunk that goes bad and comes back`,
  async (site) => {
    const { image, file } = makeImage(site);
    const before = await hashesBelow(site.basedir);
    const spill = site.folder();
    // With a cache of six chunks, written chunks are stored and read back all the time.
    const options = ["-c", "24", "-t", "2", "--spill", spill];
    const mount = await site.mount(options, {
      limitMs: 1000 * (SECONDS + 2 * ROUND_LIMIT_SECONDS),
    });
    const path = mount.file("Disk");
    const end = performance.now() + SECONDS * 1000;
    let hasFailed = false;
    const isOver = () => hasFailed || performance.now() > end;
    const random = [1, 2].map(randomFrom);
    const running = [
      keepBreaking(path, image, { file, isOver }),
      ...JOBS.map((job) => keepVerifying(path, { job, isOver })),
      ...random.map((random) => keepReading(path, image, { random, isOver })),
    ];
    for (const each of running) each.catch(() => hasFailed = true);
    const results = await Promise.allSettled(running);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const counts = await Promise.all(running);
    // The bad chunk was noticed, each job ran, and the readers did not wait.
    assert(counts.every((count) => count > 0), `${counts}`);
    assert(counts.slice(-random.length).every((count) => count > SECONDS), `${counts}`);
    await dropPageCache();
    const rest = await readAt(path, WRITTEN * CHUNK_BYTES, READ * CHUNK_BYTES);
    assertBytes(rest, image.subarray(WRITTEN * CHUNK_BYTES));
    const outcome = await mount.end();
    assert(!outcome.stderr.includes("internal error"), outcome.stderr);
    assertEquals(await hashesBelow(site.basedir), before);
    // Nothing written outlives the mount.
    const again = await site.mount();
    await assertContent(again.file("Disk"), image);
    await again.end();
  },
  { programs: ["fio"] },
);
