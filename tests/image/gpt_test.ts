import { ChunkMissingError, UsageError } from "../../lib/errors.ts";
import { lookForTable, readPartitionTable } from "../../lib/image/partition_table.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import {
  FakeImage,
  gptEntries,
  gptHeader,
  gptImage,
  LINUX_GUID,
  PROTECTIVE,
  rangesOf,
} from "./table_builder.ts";

const MIB = 1024 * 1024;

for (const sectorBytes of [512, 4096]) {
  Deno.test(`readPartitionTable() reads a GPT, ${sectorBytes} bytes a sector`, () => {
    const image = gptImage(64 * MIB, [
      { number: 1, first: 2048n, last: 4095n, name: "root é" },
      { number: 128, first: 4096n, last: 4096n },
    ], sectorBytes);
    const table = readPartitionTable(image);
    assertEquals([table.kind, table.sectorBytes, table.warnings], ["gpt", sectorBytes, []]);
    assertEquals(rangesOf(table), [
      [1, 2048 * sectorBytes, 2048 * sectorBytes],
      [128, 4096 * sectorBytes, sectorBytes],
    ]);
    assertEquals(table.partitions.map(({ name }) => name), ["root é", ""]);
    assertEquals(table.partitions[0]!.type, LINUX_GUID);
  });

  Deno.test(`readPartitionTable() uses a GPT's second copy, ${sectorBytes} bytes a sector`, () => {
    const bytes = 64 * MIB;
    const entries = [{ number: 2, first: 2048n, last: 4095n }];
    const expected = [[2, 2048 * sectorBytes, 2048 * sectorBytes]];
    const damages: [number, Uint8Array, string][] = [
      [sectorBytes, new Uint8Array(512), "missing"],
      [sectorBytes + 80, Uint8Array.of(127), "damaged"], // the header's checksum
      [2 * sectorBytes + 60, Uint8Array.of(1), "damaged"], // that of the entries
    ];
    for (const [at, content, word] of damages) {
      const table = readPartitionTable(gptImage(bytes, entries, sectorBytes).write(at, content));
      assertEquals(rangesOf(table), expected);
      assertEquals(table.warnings, [
        `the first copy of the partition table is ${word}; ` +
        `the one at byte ${bytes - sectorBytes} is used`,
      ]);
    }
  });
}

/** An image of which a range cannot be read. */
function without(image: FakeImage, start: number, end: number): FakeImage {
  const read = image.read.bind(image);
  image.read = (offset, length) => {
    if (offset >= end || offset + length <= start) return read(offset, length);
    throw new ChunkMissingError(`no ${start}`, { chunkId: "00", seqs: [0], path: "x" });
  };
  return image;
}

Deno.test("A GPT's second copy is used if a bad chunk has the first one's entries", () => {
  const array = gptEntries([{ number: 3, first: 16_384n, last: 16_391n }]);
  const make = () =>
    gptImage(64 * MIB, [{ number: 3, first: 16_384n, last: 16_391n }])
      .write(512, gptHeader(array, { alternateLba: 131_071n, entriesLba: 8192n }))
      .write(4 * MIB, array);
  assertEquals(readPartitionTable(make()).warnings, []);
  const table = readPartitionTable(without(make(), 4 * MIB, 8 * MIB));
  assertEquals(rangesOf(table), [[3, 8 * MIB, 4096]]);
  assertEquals(table.warnings, [
    "the first copy of the partition table is in a chunk that is missing or corrupt; " +
    `the one at byte ${64 * MIB - 512} is used`,
  ]);
  const none = without(without(make(), 4 * MIB, 8 * MIB), 60 * MIB, 64 * MIB);
  assertThrows(() => readPartitionTable(none), ChunkMissingError, `no ${4 * MIB}`);
});

Deno.test("lookForTable() takes a GPT's second copy if the image's start is in a bad chunk", () => {
  for (const sectorBytes of [512, 4096]) {
    const make = () => gptImage(64 * MIB, [{ number: 1, first: 2048n, last: 4095n }], sectorBytes);
    const image = without(make(), 0, 4 * MIB);
    const { table, fault } = lookForTable(image);
    assertEquals([table?.sectorBytes, fault], [sectorBytes, null]);
    assertEquals(rangesOf(table!), [[1, 2048 * sectorBytes, 2048 * sectorBytes]]);
    assertEquals(table!.warnings, [
      "the first copy of the partition table is in a chunk that is missing or corrupt; " +
      `the one at byte ${64 * MIB - sectorBytes} is used; ` +
      "it may be left from an earlier use of the disk",
    ]);
    // What is restored is not guessed.
    assertThrows(() => readPartitionTable(image), ChunkMissingError, "no 0");
    const none = without(without(make(), 0, 4 * MIB), 60 * MIB, 64 * MIB);
    assertThrows(() => lookForTable(none), ChunkMissingError, "no 0");
  }
  // Nothing stands in for another table.
  const other = without(new FakeImage(64 * MIB), 0, 4 * MIB);
  assertThrows(() => lookForTable(other), ChunkMissingError, "no 0");
});

Deno.test("readPartitionTable() finds a GPT's second copy where the disk has grown since", () => {
  const small = gptImage(64 * MIB, [{ number: 1, first: 2048n, last: 4095n }]);
  const grown = new FakeImage(128 * MIB);
  for (const [at, content] of small.pieces) grown.write(at, content);
  grown.write(1024 + 60, Uint8Array.of(1));
  const table = readPartitionTable(grown);
  assertEquals(rangesOf(table), [[1, MIB, MIB]]);
  assert(table.warnings[0]!.includes(`byte ${64 * MIB - 512}`));
});

Deno.test("readPartitionTable() reads entries that are longer, and a header that is", () => {
  const array = gptEntries([{ number: 3, first: 100n, last: 101n }], 8, 256);
  const header = gptHeader(array, { entryBytes: 256, headerBytes: 512 });
  const image = new FakeImage(MIB).write(0, PROTECTIVE).write(512, header).write(1024, array);
  assertEquals(rangesOf(readPartitionTable(image)), [[3, 51_200, 1024]]);
});

Deno.test("readPartitionTable() refuses a GPT without an intact copy, and says what is damaged", () => {
  const image = gptImage(MIB, []).write(1024, Uint8Array.of(1)).write(MIB - 512 + 40, PROTECTIVE);
  assertThrows(
    () => readPartitionTable(image),
    UsageError,
    "Cannot find a partition: no copy of the image's partition table (GPT) is whole (damaged: " +
      "entries of the header at byte 512, header at byte 1048064)",
  );
  assertThrows(
    () => readPartitionTable(new FakeImage(MIB).write(0, PROTECTIVE)),
    UsageError,
    "(GPT) is there",
  );
});

Deno.test("readPartitionTable() refuses GPT headers that say what cannot be", () => {
  const array = gptEntries([{ number: 1, first: 100n, last: 200n }]);
  const headers = [
    { headerBytes: 91 },
    { headerBytes: 513 },
    { headerBytes: 0xffffffff },
    { myLba: 2n },
    { alternateLba: 1n, entriesLba: 1n << 63n },
    { alternateLba: 1n << 63n, entriesLba: 2048n },
    { entryCount: 0xffffffff },
    { entryCount: 32_769 },
    { entryBytes: 0, entryCount: 0xffffffff },
    { entryBytes: 127, entryCount: 128 },
    { entryBytes: 0xffffffff, entryCount: 1 },
  ];
  for (const fields of headers) {
    const image = new FakeImage(64 * MIB).write(0, PROTECTIVE)
      .write(512, gptHeader(array, fields)).write(1024, array);
    assertThrows(() => readPartitionTable(image), UsageError, "is whole (damaged: ");
    assert(image.bytesRead < MIB);
  }
});
