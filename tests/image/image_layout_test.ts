import { ChunkMissingError } from "../../lib/errors.ts";
import { withDeferredReads } from "../../lib/image/deferred_reads.ts";
import { readImageLayout } from "../../lib/image/image_layout.ts";
import type { ImageSource } from "../../lib/image/partition_table.ts";
import { assert, assertEquals, assertRejects } from "../assert.ts";
import {
  bootRecord,
  FakeImage,
  gptEntries,
  gptHeader,
  gptImage,
  PROTECTIVE,
} from "./table_builder.ts";

const MIB = 1_048_576;
const XFS = new TextEncoder().encode("XFSB");

function describe(image: ImageSource) {
  const { table, volumes } = readImageLayout(image);
  return {
    table: table?.kind ?? null,
    volumes: volumes.map(({ partition, offset, bytes, content }) => [
      partition?.number ?? null,
      offset,
      bytes,
      content?.kind ?? null,
    ]),
  };
}

Deno.test("readImageLayout() describes partitions and what they hold", () => {
  const gpt = gptImage(16 * MIB, [
    { number: 1, first: 2048n, last: 4095n, name: "root" },
    { number: 9, first: 8192n, last: 8199n },
    { number: 10, first: 32_000n, last: 99_999n },
  ]).write(MIB, XFS);
  assertEquals(describe(gpt), {
    table: "gpt",
    volumes: [
      [1, MIB, MIB, "xfs"],
      [9, 4 * MIB, 4096, null],
      [10, 32_000 * 512, 68_000 * 512, null],
    ],
  });
  const mbr = new FakeImage(16 * MIB)
    .write(
      0,
      bootRecord({ type: 0x83, start: 63, sectors: 8 }, { type: 5, start: 99, sectors: 900 }),
    )
    .write(99 * 512, bootRecord({ type: 0x83, start: 1, sectors: 800 }))
    .write(100 * 512, XFS);
  assertEquals(describe(mbr), {
    table: "mbr",
    volumes: [[1, 63 * 512, 4096, null], [2, 99 * 512, 900 * 512, null], [
      5,
      100 * 512,
      800 * 512,
      "xfs",
    ]],
  });
});

Deno.test("readImageLayout() describes an image without a table as one volume", () => {
  const bare = { table: null, volumes: [[null, 0, MIB, "xfs"]] };
  assertEquals<unknown>(describe(new FakeImage(MIB).write(0, XFS)), bare);
  assertEquals(describe(new FakeImage(MIB)), { table: null, volumes: [[null, 0, MIB, null]] });
  assertEquals(describe(new FakeImage(0)), { table: null, volumes: [[null, 0, 0, null]] });
  // The boot sector of mkfs.vfat looks like an empty table.
  const fat = bootRecord();
  fat.set(new TextEncoder().encode("FAT16   "), 54);
  assertEquals(describe(new FakeImage(MIB).write(0, fat)).volumes, [[null, 0, MIB, "vfat"]]);
  assertEquals(describe(new FakeImage(MIB).write(0, bootRecord())), { table: "mbr", volumes: [] });
});

Deno.test("readImageLayout() says why a table cannot be used", () => {
  const array = gptEntries([]);
  const header = gptHeader(array);
  header[24]! ^= 1;
  const image = new FakeImage(MIB).write(0, PROTECTIVE).write(512, header);
  const { table, tableFault, volumes } = readImageLayout(image);
  assertEquals([table, volumes], [null, []]);
  assert(tableFault?.includes("damaged: header at byte 512"), tableFault ?? "no fault");
});

Deno.test("readImageLayout() describes the other partitions if a chunk is bad", () => {
  const image = gptImage(64 * MIB, [
    { number: 1, first: 2048n, last: 4095n },
    { number: 2, first: 65_536n, last: 98_303n },
  ]).write(MIB, XFS);
  const bad: ImageSource = {
    bytes: image.bytes,
    read(offset, length) {
      if (offset >= 32 * MIB && offset < 40 * MIB) {
        throw new ChunkMissingError("Cannot read chunk", { chunkId: "00", seqs: [8], path: "x" });
      }
      return image.read(offset, length);
    },
  };
  const { volumes } = readImageLayout(bad);
  assertEquals(volumes.map(({ content }) => content?.kind), ["xfs", undefined]);
  assertEquals(volumes.map(({ contentFault }) => contentFault), [null, "Cannot read chunk"]);
});

Deno.test("withDeferredReads() lets readImageLayout() wait for bytes, and for failures", async () => {
  const image = gptImage(64 * MIB, [{ number: 1, first: 2048n, last: 131_000n }]).write(MIB, XFS);
  const later = {
    bytes: image.bytes,
    read: (offset: number, length: number) => Promise.resolve(image.read(offset, length)),
  };
  const expected = readImageLayout(image);
  image.reads = 0;
  readImageLayout(image);
  const { reads } = image;
  image.reads = 0;
  assertEquals(await withDeferredReads(later, readImageLayout), expected);
  assert(image.reads <= reads, `${image.reads} reads instead of ${reads}`);

  const missing = new ChunkMissingError("gone", { chunkId: "00", seqs: [0], path: "x" });
  const bad = {
    bytes: image.bytes,
    read: (offset: number, length: number) =>
      offset < MIB ? image.read(offset, length) : Promise.reject(missing),
  };
  const { volumes } = await withDeferredReads(bad, readImageLayout);
  assertEquals(volumes.map(({ contentFault }) => contentFault), ["gone"]);
  const worse = { bytes: MIB, read: () => Promise.reject(missing) };
  assertEquals(await assertRejects(() => withDeferredReads(worse, readImageLayout)), missing);
});
