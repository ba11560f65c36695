/** `backy-extract list --partitions`: what is in the image of a revision. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../assert.ts";
import { gptImage } from "../image/table_builder.ts";
import { isFilled } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem, run, sh } from "../support/programs.ts";
import { type ChunkContent, chunkFile } from "../support/store_builder.ts";
import { TestStore } from "../support/test_store.ts";
import { assertFailure, assertSuccess, extract, parseJsonLines } from "./harness.ts";

const MIB = 1_048_576;
const USAGE = 2, STORE = 10;

/** Adds a revision of an image; chunks of zeros are absent. */
function addImage(store: TestStore, name: string, image: Uint8Array<ArrayBuffer>) {
  const chunks: ChunkContent[] = [];
  for (let at = 0; at < image.length; at += CHUNK_BYTES) {
    const chunk = image.slice(at, at + CHUNK_BYTES);
    chunks.push(isFilled(chunk, 0) ? "absent" : chunk);
  }
  return store.add(name, chunks, { size: image.length });
}

/** Makes a disk with five partitions: FAT, ext4, swap, LVM by its mark, and something unknown. */
async function makeDisk(store: TestStore): Promise<Uint8Array<ArrayBuffer>> {
  const disk = store.file("disk");
  await sh(
    `truncate -s 64M "$1"
     printf 'label: gpt\\n size=8M, type=U, name="boot"\\n size=16M, type=L, name="a\\tb"\\n size=4M, type=S\\n
       size=4M, type=V\\n start=98304, size=2M, type=L\\n' |
       sfdisk -q --no-reread --no-tell-kernel "$1"
     fill() { dd if="$3" of="$1" bs=1M seek="$2" conv=notrunc,sparse status=none; }
     truncate -s 8M "$1.1"; mkfs.vfat -n ESP "$1.1" >/dev/null; fill "$1" 1 "$1.1"
     truncate -s 16M "$1.2"; mkfs.ext4 -q -F -L root "$1.2"; fill "$1" 9 "$1.2"
     truncate -s 4M "$1.3"; mkswap -q "$1.3"; fill "$1" 25 "$1.3"
     printf LABELONE | dd of="$1" bs=1 seek=$((29 * 1048576 + 512)) conv=notrunc status=none`,
    disk,
  );
  return Deno.readFileSync(disk);
}

const problem = programProblem("sfdisk", "mkfs.vfat", "mkfs.ext4", "mkswap");

testUnless(problem, "list --partitions shows where they are and what they hold", async () => {
  using store = new TestStore();
  const revision = addImage(store, "Disk", await makeDisk(store));
  const { stdout } = await extract(["list", "--partitions", revision.path]);
  const lines = new TextDecoder().decode(stdout).trimEnd().split("\n");
  const uuid = (await run("blkid", "-s", "UUID", "-o", "value", store.file("disk.2"))).trim();
  assertMatch(lines[0]!, /^No +Offset +Size +Type +Name +Content +Label +UUID$/);
  assertMatch(
    lines[1]!,
    /^ 1 +1048576 +8 MiB +EFI System +boot +vfat +ESP +[0-9A-F]{4}-[0-9A-F]{4}$/,
  );
  // A tab in a name is not printed.
  assertMatch(
    lines[2]!,
    new RegExp(`^ 2 +9437184 +16 MiB +Linux filesystem +a.*b +ext4 +root +${uuid}$`),
  );
  assert(!lines[2]!.includes("\t"));
  assertMatch(lines[3]!, /^ 3 +26214400 +4 MiB +Linux swap +swap +[0-9a-f-]{36}$/);
  assertMatch(lines[4]!, /^ 4 +30408704 +4 MiB +Linux LVM +LVM2 member$/);
  assertMatch(lines[5]!, /^ 5 +50331648 +2 MiB +Linux filesystem +unknown$/);
  assertEquals(
    lines[6],
    '5 partitions (GPT, sectors of 512 bytes) in the image of revision "Disk", 64 MiB',
  );
  // The ways to name a revision.
  for (
    const args of [[store.basedir], [store.basedir, "last"], [`${store.basedir}/last`], [
      store.basedir,
      "Disk",
    ]]
  ) {
    const outcome = await extract(["list", "--partitions", ...args]);
    assertSuccess(outcome);
    assertEquals(outcome.stdout, stdout);
  }
});

testUnless(
  problem,
  "list --partitions --json has an object for the image and each partition",
  async () => {
    using store = new TestStore();
    const { path } = addImage(store, "Disk", await makeDisk(store));
    const outcome = await extract(["list", "--partitions", "--json", path]);
    assertSuccess(outcome);
    const [image, first, ...rest] = parseJsonLines(new TextDecoder().decode(outcome.stdout));
    assertEquals(image, {
      type: "image",
      uuid: "Disk",
      sizeBytes: 64 * MIB,
      table: "gpt",
      sectorBytes: 512,
    });
    assertEquals({ ...first, content: null }, {
      type: "partition",
      number: 1,
      offset: MIB,
      sizeBytes: 8 * MIB,
      role: "primary",
      partitionType: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
      partitionTypeName: "EFI System",
      name: "boot",
      content: null,
      fault: null,
    });
    assertEquals(
      rest.map((line) => (line["content"] as { kind: string } | null)?.kind),
      ["ext4", "swap", "LVM2_member", undefined],
    );
  },
);

testUnless(
  programProblem("mkfs.ext4"),
  "list --partitions lists an image without a table as a whole",
  async () => {
    using store = new TestStore();
    const plain = store.file("plain");
    await run("truncate", "-s", "16M", plain);
    await run("mkfs.ext4", "-q", "-F", "-L", "all", plain);
    const { path } = addImage(store, "Plain", Deno.readFileSync(plain));
    const outcome = await extract(["list", "--partitions", path]);
    assertSuccess(outcome);
    const text = new TextDecoder().decode(outcome.stdout);
    assertMatch(text, /^ - +0 +16 MiB +ext4 +all +[0-9a-f-]{36}$/m);
    assertStringIncludes(text, 'No partition table in the image of revision "Plain", 16 MiB');
  },
);

Deno.test("list --partitions says what cannot be read, and lists the rest", async () => {
  using store = new TestStore();
  const bytes = 4 * CHUNK_BYTES;
  const table = gptImage(bytes, [
    { number: 1, first: 2048n, last: 4095n },
    { number: 2, first: 16_384n, last: 20_000n },
    { number: 3, first: 30_000n, last: 99_999n },
  ]);
  const disk = new Uint8Array(bytes);
  for (const [at, content] of table.pieces) disk.set(content, at);
  disk.fill(7, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 100_000);
  const revision = addImage(store, "Disk", disk);
  Deno.removeSync(chunkFile(store.basedir, revision.ids[2]!));
  const outcome = await extract(["list", "--partitions", revision.path]);
  assertEquals(outcome.code, 0, outcome.stderr);
  const text = new TextDecoder().decode(outcome.stdout);
  assertMatch(text, /^ 1 .* unknown$/m);
  assertMatch(text, /^ 2 .* unreadable$/m);
  assertMatch(text, /^ 3 .* not in the image$/m);
  assertMatch(outcome.stderr, /partition 2: Cannot read chunk .* there is no file/);
  assertMatch(outcome.stderr, /partition 3: it reaches beyond the image's end/);

  const json = await extract(["list", "--partitions", "--json", revision.path]);
  const faults = parseJsonLines(new TextDecoder().decode(json.stdout)).slice(1)
    .map((line) => line["fault"]);
  assertEquals(faults.map((fault) => fault === null), [true, false, false]);

  Deno.removeSync(chunkFile(store.basedir, revision.ids[0]!));
  const last = await extract(["list", "--partitions", revision.path]);
  assertEquals(last.code, 0, last.stderr);
  assertMatch(new TextDecoder().decode(last.stdout), /^ 1 +1048576 .* unreadable$/m);
  assertMatch(
    last.stderr,
    /copy of the partition table is in a chunk that is missing or corrupt; /,
  );
});

Deno.test("list --partitions needs one revision", async () => {
  using store = new TestStore();
  addImage(store, "A", new Uint8Array(512));
  addImage(store, "B", new Uint8Array(512));
  assertFailure(await extract(["list", "--partitions", store.basedir, "all"]), {
    code: STORE,
    says: [/^Cannot /],
  });
  assertFailure(await extract(["list", "--partitions", store.file("none")]), {
    code: STORE,
    says: [/^Cannot /],
  });
  assertFailure(await extract(["list", "--partitions", store.basedir, "A", "B"]), {
    code: USAGE,
    says: [/^Cannot use argument "B"/],
  });
});
