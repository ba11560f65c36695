import { UsageError } from "../../lib/errors.ts";
import {
  findPartition,
  type PartitionTable,
  readPartitionTable,
} from "../../lib/image/partition_table.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { randomFrom } from "../support/random.ts";
import { bootRecord, FakeImage, gptEntries, gptHeader, gptImage } from "./table_builder.ts";

const MIB = 1024 * 1024;
const NO_TABLE =
  "Cannot find a partition: the image has no partition table; without --partition it " +
  "is restored as a whole";

Deno.test("readPartitionTable() says that there is no table", () => {
  const fat = bootRecord().fill(0x90, 440, 500);
  const badStatus = bootRecord(null, null, null, { type: 0x83, start: 1, sectors: 1, status: 1 });
  const noSignature = bootRecord({ type: 0x83, start: 1, sectors: 1 });
  noSignature[511] = 0;
  for (const record of [fat, badStatus, noSignature, new Uint8Array(512)]) {
    const image = new FakeImage(MIB).write(0, record);
    assertThrows(() => readPartitionTable(image), UsageError, NO_TABLE);
  }
  for (const bytes of [0, 1, 511]) {
    assertThrows(() => readPartitionTable(new FakeImage(bytes)), UsageError, NO_TABLE);
  }
  // A GPT that the MBR does not mention is an old one.
  const stale = gptImage(MIB, []).write(0, bootRecord({ type: 0x83, start: 1, sectors: 2 }));
  assertEquals(readPartitionTable(stale).kind, "mbr");
});

Deno.test("findPartition() names the partitions there are", () => {
  const find = (numbers: number[], warnings: string[] = []) => {
    const partitions = numbers.map((number) => ({
      number,
      offset: 0,
      length: 1,
      role: "primary" as const,
      type: "83",
      name: "",
      fault: null,
    }));
    const table: PartitionTable = {
      kind: "mbr",
      sectorBytes: 512,
      doubt: null,
      partitions,
      warnings,
    };
    return assertThrows(() => findPartition(table, 999), UsageError).message;
  };
  assertEquals(find([]), "Cannot find partition 999: the partition table is empty");
  assertEquals(find([4]), "Cannot find partition 999: there is only 4");
  assertEquals(find([1, 2, 5]), "Cannot find partition 999: there are 1, 2 and 5");
  assertEquals(
    find([1, 2, 3, 7, 9, 10]),
    "Cannot find partition 999: there are 1 to 3, 7, 9 and 10",
  );
  assertEquals(find([1, 2, 3]), "Cannot find partition 999: there are 1 to 3");
  assertEquals(find([1, 5], ["a", "b"]), "Cannot find partition 999: there are 1 and 5 (a; b)");
  const many = find(Array.from({ length: 30_000 }, (_, i) => 2 * i + 2));
  assert(many.length < 150 && many.endsWith("32, …"), many);
});

Deno.test("findPartition() refuses what is outside of the image, and only that", () => {
  const mbr = new FakeImage(MIB).write(
    0,
    bootRecord(
      { type: 0x83, start: 2047, sectors: 2 },
      { type: 0x83, start: 2047, sectors: 1 },
      { type: 0x83, start: 0xffffffff, sectors: 0xffffffff },
      { type: 0x83, start: 1, sectors: 0 },
    ),
  );
  const max = 0xffff_ffff_ffff_ffffn;
  const gpt = gptImage(MIB, [
    { number: 1, first: 2048n, last: 2048n },
    { number: 2, first: 100n, last: 2047n },
    { number: 3, first: 2n, last: max },
    { number: 4, first: 200n, last: 199n },
    { number: 5, first: max, last: 0n },
    { number: 6, first: max, last: max },
    { number: 7, first: 1n << 55n, last: 1n << 55n },
    { number: 8, first: 100n, last: 100n }, // within 2
  ]);
  const beyond = "it reaches beyond the image's end at byte 1048576";
  const empty = "it has no bytes";
  const cases: [FakeImage, (string | null)[]][] = [
    [mbr, [beyond, null, beyond, empty]],
    [gpt, [beyond, null, beyond, empty, empty, beyond, beyond, null]],
  ];
  for (const [image, faults] of cases) {
    const table = readPartitionTable(image);
    faults.forEach((fault, i) => {
      const find = () => findPartition(table, i + 1);
      if (fault === null) assert(find().offset + find().length <= image.bytes);
      else assertThrows(find, UsageError, `Cannot restore partition ${i + 1}: ${fault}`);
    });
  }
});

Deno.test("readPartitionTable() ends with a table or a UsageError for any bytes", () => {
  const seeds = [
    gptImage(MIB, [{ number: 1, first: 100n, last: 200n }]),
    new FakeImage(MIB)
      .write(0, bootRecord({ type: 0x83, start: 1, sectors: 9 }, { type: 5, start: 9, sectors: 9 }))
      .write(
        9 * 512,
        bootRecord({ type: 1, start: 1, sectors: 1 }, { type: 5, start: 9, sectors: 1 }),
      )
      .write(18 * 512, bootRecord({ type: 1, start: 1, sectors: 1 })),
  ];
  const outcomes = { tables: 0, errors: 0 };
  for (let seed = 0; seed < 4000; seed++) {
    const random = randomFrom(seed);
    const image = new FakeImage(MIB);
    for (const [at, content] of seeds[seed % seeds.length]!.pieces) {
      const copy = content.slice();
      // Mostly where the numbers are.
      for (let i = random(4); i > 0; i--) {
        const inEntries = content.length === 512 && random(2) === 0;
        const where = inEntries ? 446 + random(64) : random(Math.min(content.length, 512));
        copy[where] = [0, 1, 5, 0x7f, 0x80, 0xee, 0xff, random(256)][random(8)]!;
      }
      if (copy[0] === 0x45 && random(2) === 0) {
        // The header's checksum is right again, so that its fields are believed.
        const rest = new DataView(copy.buffer);
        const fields = { myLba: rest.getBigUint64(24, true), entryCount: rest.getUint32(80, true) };
        copy.set(gptHeader(gptEntries([]), { ...fields, entriesLba: BigInt(random(4000)) }));
      }
      image.write(at, copy);
    }
    try {
      const table = readPartitionTable(image);
      outcomes.tables++;
      for (const { number, fault } of table.partitions) {
        if (fault !== null) {
          assertThrows(() => findPartition(table, number), UsageError);
          continue;
        }
        const { offset, length } = findPartition(table, number);
        assert(Number.isSafeInteger(offset) && offset >= 0 && length > 0);
        assert(offset + length <= image.bytes);
      }
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      outcomes.errors++;
    }
    assert(image.reads < 300, `seed ${seed}: ${image.reads} reads`);
  }
  assert(outcomes.tables > 500 && outcomes.errors > 500, JSON.stringify(outcomes));
});
