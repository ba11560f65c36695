import { UsageError } from "../../lib/errors.ts";
import { findPartition, readPartitionTable } from "../../lib/image/partition_table.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { bootRecord, FakeImage, rangesOf } from "./table_builder.ts";

const MIB = 1024 * 1024;

Deno.test("readPartitionTable() reads primary partitions at their places", () => {
  const image = new FakeImage(64 * MIB).write(
    0,
    bootRecord(
      { type: 0x83, start: 2048, sectors: 8, status: 0x80 },
      null,
      { type: 0x8e, start: 4096, sectors: 16 },
    ),
  );
  assertEquals(readPartitionTable(image), {
    kind: "mbr",
    sectorBytes: 512,
    doubt: "nothing in the image tells",
    partitions: [
      { number: 1, offset: MIB, length: 4096, role: "primary", type: "83", name: "", fault: null },
      {
        number: 3,
        offset: 2 * MIB,
        length: 8192,
        role: "primary",
        type: "8e",
        name: "",
        fault: null,
      },
    ],
    warnings: [],
  });
});

for (const sectorBytes of [512, 4096]) {
  Deno.test(`readPartitionTable() follows the chain of logical partitions, ${sectorBytes} bytes a sector`, () => {
    const image = new FakeImage(64 * MIB)
      .write(0, bootRecord(null, { type: 0x0f, start: 100, sectors: 1000 }))
      .write(
        100 * sectorBytes,
        bootRecord({ type: 0x83, start: 10, sectors: 20 }, { type: 5, start: 200, sectors: 50 }),
      )
      // A record whose partition is empty, then one with its entries in the opposite order.
      .write(
        300 * sectorBytes,
        bootRecord({ type: 0x83, start: 1, sectors: 0 }, { type: 5, start: 400, sectors: 50 }),
      )
      .write(
        500 * sectorBytes,
        bootRecord({ type: 5, start: 600, sectors: 50 }, { type: 0x82, start: 1, sectors: 2 }),
      )
      .write(700 * sectorBytes, bootRecord({ type: 0x83, start: 3, sectors: 4 }));
    const table = readPartitionTable(image);
    assertEquals(table.sectorBytes, sectorBytes);
    assertEquals(table.warnings, []);
    assertEquals(table.partitions.map(({ role }) => role), [
      "extended",
      "logical",
      "logical",
      "logical",
    ]);
    assertEquals(
      rangesOf(table),
      [[2, 100, 1000], [5, 110, 20], [6, 501, 2], [7, 703, 4]].map(([number, start, sectors]) => [
        number!,
        start! * sectorBytes,
        sectors! * sectorBytes,
      ]),
    );
  });
}

Deno.test("readPartitionTable() leaves a damaged chain, and says so where a partition is missing", () => {
  const primary = { type: 0x83, start: 1, sectors: 1 };
  const logical = { type: 0x83, start: 1, sectors: 1 };
  const image = (link: number, second?: Uint8Array) => {
    const image = new FakeImage(MIB)
      .write(0, bootRecord(primary, { type: 5, start: 100, sectors: 1000 }))
      .write(51_200, bootRecord(logical, { type: 5, start: link, sectors: 9 }));
    return second ? image.write(56_320, second) : image;
  };
  const cases: [FakeImage, number[], string][] = [
    [image(0), [1, 2, 5], "byte 51200: it returns there"],
    [image(10), [1, 2, 5], "byte 56320: there is no boot record"],
    [image(0xffffffff), [1, 2, 5], "byte 2199023306240: there is no boot record"],
    [
      image(10, bootRecord(logical, { type: 5, start: 0, sectors: 9 })),
      [1, 2, 5, 6],
      "byte 51200: it returns there",
    ],
  ];
  for (const [image, numbers, fault] of cases) {
    const table = readPartitionTable(image);
    assertEquals(table.partitions.map(({ number }) => number), numbers);
    assertEquals(table.warnings, [`the chain of logical partitions breaks off at ${fault}`]);
    assertEquals(findPartition(table, 1).offset, 512);
    assertThrows(() => findPartition(table, 7), UsageError, fault);
  }
});

Deno.test("readPartitionTable() follows no chain for ever", () => {
  const image = new FakeImage(64 * MIB)
    .write(0, bootRecord({ type: 5, start: 1, sectors: 100_000 }));
  for (let i = 0; i < 1000; i++) {
    const link = { type: 5, start: i + 1, sectors: 1 };
    image.write((i + 1) * 512, bootRecord({ type: 0x83, start: 1, sectors: 1 }, link));
  }
  const table = readPartitionTable(image);
  assertEquals(table.partitions.length, 257);
  assert(table.warnings[0]!.endsWith("it has too many boot records"));
});
