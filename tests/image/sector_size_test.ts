import { ChunkMissingError } from "../../lib/errors.ts";
import {
  type PartitionTable,
  readPartitionTable,
  type SectorBytes,
} from "../../lib/image/partition_table.ts";
import { assert, assertEquals } from "../assert.ts";
import {
  bootRecord,
  FakeImage,
  gptEntries,
  gptHeader,
  gptImage,
  rangesOf,
} from "./table_builder.ts";

const MIB = 1024 * 1024;
const XFS = new TextEncoder().encode("XFSB");
const UNTOLD = "nothing in the image tells";
const linux = (start: number, sectors: number) => ({ type: 0x83, start, sectors });

function judge({ sectorBytes, doubt }: PartitionTable): [SectorBytes, string | null] {
  return [sectorBytes, doubt];
}

Deno.test("readPartitionTable() finds the sector size of an MBR by where file systems start", () => {
  const record = bootRecord(linux(2048, 4096), linux(8192, 4096));
  for (const sectorBytes of [512, 4096] as const) {
    for (const start of [2048, 8192]) {
      const image = new FakeImage(64 * MIB).write(0, record).write(start * sectorBytes, XFS);
      const table = readPartitionTable(image);
      assertEquals(judge(table), [sectorBytes, null]);
      assertEquals(rangesOf(table)[0], [1, 2048 * sectorBytes, 4096 * sectorBytes]);
      assert(image.bytesRead < MIB, `${image.bytesRead} bytes`);
    }
  }
});

Deno.test("readPartitionTable() finds small sectors by a partition that would not fit otherwise", () => {
  // Reaches the image's end, and has one sector less than would fit with 4096 bytes.
  for (const [end, expected] of [[131_072, null], [16_385, null], [16_384, UNTOLD]] as const) {
    const image = new FakeImage(64 * MIB).write(0, bootRecord(linux(2048, end - 2048)));
    assertEquals(judge(readPartitionTable(image)), [512, expected]);
  }
});

Deno.test("readPartitionTable() goes by what tools do if nothing else tells, and says so", () => {
  const cases: [SectorBytes, ...[start: number, sectors: number][]][] = [
    [4096, [256, 5120]],
    [4096, [256, 256], [2048, 256]],
    [512, [2048, 4096]],
    [512, [63, 4096]],
    [512, [2048, 256], [4096, 256]],
    [512, [100, 200]],
    // Ends where the image does.
    [4096, [64, 16_384 - 64]],
  ];
  for (const [sectorBytes, ...places] of cases) {
    const record = bootRecord(...places.map(([start, sectors]) => linux(start, sectors)));
    const image = new FakeImage(64 * MIB).write(0, record);
    assertEquals(judge(readPartitionTable(image)), [sectorBytes, UNTOLD], `${places}`);
  }
});

Deno.test("readPartitionTable() is in doubt where file systems are found with either sector size", () => {
  const record = bootRecord(linux(2048, 2048), linux(4096, 2048));
  const image = new FakeImage(64 * MIB).write(0, record).write(MIB, XFS).write(8 * MIB, XFS);
  const doubt = "with either, something begins where a partition would";
  assertEquals(judge(readPartitionTable(image)), [512, doubt]);
  image.write(16 * MIB, XFS);
  assertEquals(judge(readPartitionTable(image)), [4096, doubt]);
});

Deno.test("readPartitionTable() believes file systems more than the end of an image that was cut", () => {
  const image = new FakeImage(64 * MIB)
    .write(0, bootRecord(linux(256, 256), linux(512, 20_000)))
    .write(256 * 4096, XFS);
  assertEquals(
    judge(readPartitionTable(image)),
    [4096, "with 4096, a partition would reach beyond the image's end"],
  );
});

Deno.test("readPartitionTable() takes the sector size that it is given", () => {
  const image = new FakeImage(64 * MIB).write(0, bootRecord(linux(2048, 4096))).write(MIB, XFS);
  for (const sectorBytes of [512, 4096] as const) {
    const table = readPartitionTable(image, sectorBytes);
    assertEquals(judge(table), [sectorBytes, null]);
    assertEquals(rangesOf(table), [[1, 2048 * sectorBytes, 4096 * sectorBytes]]);
  }
});

Deno.test("readPartitionTable() finds the sector size even if only the table's chunk is readable", () => {
  const image = new FakeImage(64 * MIB).write(0, bootRecord(linux(2048, 2048)));
  const read = (offset: number, length: number) => {
    if (offset < 512) return image.read(offset, length);
    throw new ChunkMissingError("gone", { chunkId: "", seqs: [], path: "" });
  };
  const table = readPartitionTable({ bytes: image.bytes, read });
  assertEquals(judge(table), [512, UNTOLD]);
});

Deno.test("readPartitionTable() is not misled by remains of a GPT in other sectors", () => {
  const old = [{ number: 1, first: 40n, last: 50n }];
  const current = [{ number: 2, first: 2048n, last: 4095n }];
  for (const [oldBytes, sectorBytes] of [[512, 4096], [4096, 512]] as const) {
    // The disk was smaller then, so the second copy was not overwritten.
    const remains = gptImage(16 * MIB, old, oldBytes);
    const image = new FakeImage(64 * MIB);
    for (const [at, piece] of remains.pieces) image.write(at, piece);
    for (const [at, piece] of gptImage(64 * MIB, current, sectorBytes).pieces) {
      // Newer pieces hide older ones.
      image.pieces.delete(at);
      image.write(at, piece);
    }
    const table = readPartitionTable(image);
    assertEquals([table.kind, ...judge(table)], ["gpt", sectorBytes, null]);
    assertEquals(table.warnings, []);
    assertEquals(rangesOf(table), [[2, 2048 * sectorBytes, 2048 * sectorBytes]]);
  }
});

Deno.test("readPartitionTable() is in doubt where second copies of both sector sizes are whole", () => {
  // The disk was smaller when it had sectors of 512 bytes.
  const small = gptImage(32 * MIB, [{ number: 1, first: 2048n, last: 4095n }]);
  const image = new FakeImage(64 * MIB);
  for (const [at, piece] of small.pieces) image.write(at, piece);
  const array = gptEntries([{ number: 1, first: 256n, last: 511n }]);
  const lba = 64 * MIB / 4096 - 1;
  const fields = { myLba: BigInt(lba), alternateLba: 1n, entriesLba: 300n };
  image.write(300 * 4096, array);
  image.write(lba * 4096, gptHeader(array, fields, 4096));
  image.write(2 * 512 + 60, Uint8Array.of(1));
  const doubt = "with either, there is a whole copy of the table";
  assertEquals(judge(readPartitionTable(image)), [512, doubt]);
  assertEquals(judge(readPartitionTable(image, 4096)), [4096, null]);
});

Deno.test("readPartitionTable() reads a GPT beside which an MBR names partitions (hybrid)", () => {
  for (const sectorBytes of [512, 4096]) {
    const image = gptImage(64 * MIB, [{ number: 3, first: 2048n, last: 4095n }], sectorBytes);
    image.write(0, bootRecord({ type: 0xee, start: 1, sectors: 2047 }, linux(2048, 2048)));
    const table = readPartitionTable(image);
    assertEquals([table.kind, ...judge(table)], ["gpt", sectorBytes, null]);
    assertEquals(rangesOf(table), [[3, 2048 * sectorBytes, 2048 * sectorBytes]]);
  }
});
