/**
 * Reads tables that sfdisk made, and compares the result with what sfdisk reads.
 *
 * @module
 */

import { findPartition, readPartitionTable } from "../../lib/image/partition_table.ts";
import { assert, assertEquals } from "../assert.ts";
import { LoopDevice, loopDeviceProblem, Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

interface SfdiskTable {
  readonly label: string;
  readonly sectorsize: number;
  readonly partitions: readonly {
    readonly node: string;
    readonly start: number;
    readonly size: number;
    readonly type: string;
    readonly name?: string;
  }[];
}

const BYTES = 64 * 1024 * 1024;

const DOS_SCRIPT = "label: dos\n,4M,83,*\n,4M,82\n,,5\n,8M,83\n,8M,8e\n,1M,c\n,,83\n";
const GAP_SCRIPT = "label: dos\n2: start=2048,size=8192,type=7\n4: start=20480,size=8192,type=f\n";
const GPT_SCRIPT =
  'label: gpt\nsize=4M,type=L,name="root é – 1"\nsize=4M,type=U\n9: size=8M,type=S\n';

/** Has sfdisk partition a disk. */
function partitionDisk(path: string, script: string): void {
  const quoted = script.replaceAll("'", `'\\''`);
  runSync(
    "bash",
    "-c",
    `printf '%s' '${quoted}' | sfdisk -q --no-reread --no-tell-kernel '${path}'`,
  );
}

/** Compares both readings, and returns how many partitions there are. */
function compare(path: string): number {
  const { label, sectorsize, partitions }: SfdiskTable =
    JSON.parse(runSync("sfdisk", "--json", path)).partitiontable;
  using file = Deno.openSync(path);
  const table = readPartitionTable({
    bytes: file.seekSync(0, Deno.SeekMode.End),
    read(offset, length) {
      const bytes = new Uint8Array(length);
      file.seekSync(offset, Deno.SeekMode.Start);
      assertEquals(length === 0 ? 0 : file.readSync(bytes), length);
      return bytes;
    },
  });
  assertEquals(table.kind, label === "dos" ? "mbr" : "gpt");
  assertEquals(table.sectorBytes, sectorsize);
  assertEquals(table.warnings, []);
  assertEquals(
    table.partitions.map(({ number, type, name }) => ({ number, type, name })),
    partitions.map(({ node, type, name = "" }) => ({
      number: Number(node.slice(path.length).replace("p", "")),
      type,
      name,
    })),
  );
  partitions.forEach(({ start, size }, i) => {
    const { offset, length } = findPartition(table, table.partitions[i]!.number);
    assertEquals([offset, length], [start * sectorsize, size * sectorsize]);
  });
  return partitions.length;
}

const sfdiskProblem = programProblem("sfdisk");

for (
  const [name, script, count] of [
    ["primary and logical partitions", DOS_SCRIPT, 7],
    ["an MBR with gaps", GAP_SCRIPT, 2],
    ["a GPT with gaps", GPT_SCRIPT, 3],
  ] as const
) {
  testUnless(sfdiskProblem, `readPartitionTable() reads as sfdisk does: ${name}`, () => {
    using scratch = new Scratch();
    const path = scratch.file("disk", "");
    Deno.truncateSync(path, BYTES);
    partitionDisk(path, script);
    assertEquals(compare(path), count);
    assert(Deno.statSync(path).size === BYTES);
  });
}

for (const [name, script] of [["MBR", DOS_SCRIPT], ["GPT", GPT_SCRIPT]] as const) {
  testUnless(
    sfdiskProblem ?? loopDeviceProblem(),
    `readPartitionTable() reads as sfdisk does: ${name}, 4096 bytes a sector`,
    () => {
      using device = new LoopDevice(BYTES, { sectorBytes: 4096 });
      runSync("dd", "if=/dev/zero", `of=${device.path}`, "bs=1M", "count=64");
      partitionDisk(device.path, script);
      assert(compare(device.path) >= 3);
    },
  );
}
