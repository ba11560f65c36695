/** Partition tables of disks with sectors of 4096 bytes, made by sfdisk on such disks. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals, assertMatch } from "../assert.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import { type ChunkContent, sampleBytes } from "../support/store_builder.ts";
import { LoopDevice, loopDeviceProblem, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { assertFailure, assertSuccess, extract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

const MIB = 1_048_576;
const DISK_BYTES = 64 * MIB;
const problem = loopDeviceProblem() ?? programProblem("sfdisk", "mkfs.ext4");

/** Where the first partition is, made by each of the scripts. */
const FIRST = { start: MIB, end: 21 * MIB } as const;
/** Where the same numbers lead with sectors of 512 bytes. */
const WRONG = { start: 131_072, end: 2_752_512 } as const;

/**
 * Makes a disk in sectors of some size. @param script For sfdisk. @returns What is on the disk
 * then.
 */
function makeDisk(sectorBytes: number, script: string): Uint8Array<ArrayBuffer> {
  using device = new LoopDevice(DISK_BYTES, { sectorBytes });
  Deno.writeFileSync(device.path, new Uint8Array(DISK_BYTES));
  // The kernel refuses to read partition tables of loop devices.
  const options = "-q --no-reread --no-tell-kernel";
  runSync("sh", "-c", `printf "$1" | sfdisk ${options} "$2"`, "sh", script, device.path);
  return Deno.readFileSync(device.path).slice();
}

function addDisk(store: SampleStore, name: string, image: Uint8Array<ArrayBuffer>): string {
  const chunks: ChunkContent[] = [];
  for (let at = 0; at < image.length; at += CHUNK_BYTES) {
    const chunk = image.slice(at, at + CHUNK_BYTES);
    chunks.push(isFilled(chunk, 0) ? "absent" : chunk);
  }
  return store.add(name, chunks, { size: image.length }).path;
}

/** Fills the first partition, with an ext4 file system or with what has no signature. */
function fill(disk: Uint8Array, store: SampleStore, hasFileSystem: boolean): void {
  const { start, end } = FIRST;
  disk.set(sampleBytes(7, end - start), start);
  if (!hasFileSystem) return;
  const path = store.file("ext4", new Uint8Array(end - start));
  runSync("mkfs.ext4", "-q", "-F", path);
  disk.set(Deno.readFileSync(path), start);
}

for (
  const [kind, script] of [
    ["an MBR", "label: dos\\n,20M,83\\n,20M,83\\n"],
    ["an MBR with logical partitions", "label: dos\\n,20M,83\\n,,5\\n,4M,83\\n,4M,83\\n"],
    ["a GPT", "label: gpt\\n,20M\\n,20M\\n"],
  ] as const
) {
  testUnless(
    problem,
    `--partition of ${kind} in sectors of 4096 bytes: the right bytes, silently`,
    async () => {
      using store = new SampleStore();
      const disk = makeDisk(4096, script);
      fill(disk, store, true);
      const revision = addDisk(store, "Disk", disk);
      const path = store.file("partition");
      const outcome = await extract(["--partition=1", revision, path]);
      assertSuccess(outcome);
      assertBytes(Deno.readFileSync(path), disk.subarray(FIRST.start, FIRST.end));
    },
  );
}

testUnless(
  problem,
  "--partition of an MBR that does not tell its sectors says what it takes; --sector-size decides",
  async () => {
    using store = new SampleStore();
    const disk = makeDisk(4096, "label: dos\\n,20M,83\\n");
    fill(disk, store, false);
    const revision = addDisk(store, "Disk", disk);
    const path = store.file("partition");

    const guessed = await extract(["--partition=1", revision, path]);
    assertEquals(guessed.code, 0, guessed.stderr);
    assertBytes(Deno.readFileSync(path), disk.subarray(FIRST.start, FIRST.end));
    assertMatch(
      guessed.stderr,
      /^.*cannot tell whether .* 512 or 4096 bytes: nothing in the image tells; taking bytes 1048576 to 22020095 of the image, for 4096; --sector-size=512 takes bytes 131072 to 2752511$/m,
    );
    for (const [size, { start, end }] of [["4096", FIRST], ["512", WRONG]] as const) {
      const told = await extract(["--partition=1", `--sector-size=${size}`, revision, path]);
      assertSuccess(told);
      assertBytes(Deno.readFileSync(path), disk.subarray(start, end));
    }
  },
);

testUnless(problem, "--partition of an MBR in sectors of 512 bytes: the right bytes", async () => {
  using store = new SampleStore();
  for (const hasFileSystem of [true, false]) {
    // The sector size follows from the file system, or from partitions that fill the disk.
    const disk = makeDisk(512, `label: dos\\n,20M,83\\n${hasFileSystem ? "" : ",,83\\n"}`);
    fill(disk, store, hasFileSystem);
    const outcome = await extract(["--partition=1", addDisk(store, `Disk${hasFileSystem}`, disk)]);
    assertSuccess(outcome);
    assertBytes(outcome.stdout, disk.subarray(FIRST.start, FIRST.end));
  }
});

testUnless(
  problem,
  "--sector-size that finds no partition table: exit 2, nothing is created",
  async () => {
    using store = new SampleStore();
    const revision = addDisk(store, "Disk", makeDisk(4096, "label: gpt\\n,20M\\n"));
    const before = store.namesBeside();
    const args = ["--partition=1", "--sector-size=512", revision, store.file("not-made")];
    assertFailure(await extract(args), {
      code: 2,
      says: [
        "Cannot find a partition: no copy of the image's partition table (GPT) in sectors of 512 bytes " +
        "is there; without --sector-size, sectors of any size are looked for",
      ],
    });
    assertEquals(store.namesBeside(), before);
  },
);
