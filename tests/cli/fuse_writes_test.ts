/** Writes to images, with more changes than fit in memory. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import {
  assertBytes,
  assertContent,
  dropPageCache,
  errnoOf,
  readAt,
  readFrom,
  writeAt,
} from "../support/bytes.ts";
import { run, sh, tryRun } from "../support/programs.ts";
import { randomFrom } from "../support/random.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { fuseTest, hashesBelow, type Site } from "./fuse_harness.ts";

const EIO = 5, ENOSPC = 28, EROFS = 30;
const MIB = 1_048_576;

/** Incompressible bytes. */
function noise(seed: number, length: number): Uint8Array<ArrayBuffer> {
  const random = randomFrom(seed);
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let index = 0; index < words.length; index++) words[index] = random(2 ** 32);
  return new Uint8Array(words.buffer, 0, length);
}

fuseTest(
  "With a cache of 16 MiB, 300 MiB of changes are read back, and are gone with the mount",
  async (site) => {
    const data = sampleBytes(1);
    const { image } = site.add("Disk", [data, "absent", data, "zero", sampleBytes(2)], {
      size: 308 * MIB + 777,
    });
    const before = await hashesBelow(site.basedir);
    const mount = await site.mount(["-c", "16", "-t", "2"]);
    const changed = image.slice();
    const source = noise(3, 8 * MIB);
    // Unaligned pieces that cross chunk borders, and a second round over some of the first.
    const pieceBytes = 3 * MIB + 333;
    for (const [from, to] of [[12_345, 300 * MIB], [50 * MIB + 7, 62 * MIB]] as const) {
      for (let at = from; at < to; at += pieceBytes) {
        const piece = source.subarray(at % (4 * MIB), at % (4 * MIB) + pieceBytes);
        await writeAt(mount.file("Disk"), at, piece);
        changed.set(piece, at);
      }
    }
    const tail = noise(4, 1000);
    await writeAt(mount.file("Disk"), changed.length - 1000, tail);
    changed.set(tail, changed.length - 1000);
    await dropPageCache();
    await assertContent(mount.file("Disk"), changed);
    assertEquals(mount.messages, []);
    // 150 MiB, and 28 MiB for each worker and both caches.
    const peakKib = Number(
      /^VmHWM:\s+(\d+) kB$/m.exec(
        await Deno.readTextFile(`/proc/${mount.tool.pid}/status`),
      )![1],
    );
    assert(peakKib < (150 + 2 * 28 + 2 * 16) * 1024, `${peakKib} KiB`);

    // They were stored as chunks beside those of the revision, which did not change.
    const after = await hashesBelow(site.basedir);
    const added = after.split("\n").filter((line) => !before.includes(line));
    for (const line of before.split("\n")) assert(after.includes(line), line);
    assert(added.length >= 60, after);
    for (const line of added) {
      assertMatch(line, / {2}\.\/chunks\/[0-9a-f]{2}\/[0-9a-f]{32}\.chunk\.lzo$/);
    }
    const modes = await sh(
      'find "$1/chunks" -name "*.lzo" -printf "%m\\n" | sort -u',
      site.basedir,
    );
    assertEquals(modes, "440\n");
    await mount.end();
    assertEquals(await hashesBelow(site.basedir), after);

    const again = await site.mount();
    await assertContent(again.file("Disk"), image);
    await again.end();
  },
);

fuseTest("A file system can be made in an image, filled and checked", async (site) => {
  site.add("Disk", [sampleBytes(1)], { size: 96 * MIB });
  const mount = await site.mount(["-c", "16", "--spill", site.folder()]);
  const path = mount.file("Disk");
  await run("mkfs.ext4", "-q", "-F", "-E", "discard,lazy_itable_init=0", path);
  const files = await site.mountDevice("-o", "rw,loop,discard", path);
  const bytes = noise(1, 40 * MIB);
  await Deno.writeFile(`${files}/first`, bytes);
  await Deno.writeFile(`${files}/second`, bytes.subarray(MIB));
  await Deno.remove(`${files}/first`);
  await run("umount", files);
  const fsck = await tryRun("fsck.ext4", "-fn", path);
  assertEquals(fsck.code, 0, fsck.stdout);
  const again = await site.mountDevice("-o", "ro,loop", path);
  await assertContent(`${again}/second`, bytes.subarray(MIB));
  await run("umount", again);
  assertEquals(mount.messages, []);
  await mount.end();
}, { programs: ["mkfs.ext4", "fsck.ext4"] });

fuseTest("--spill keeps all changes out of the backup directory", async (site) => {
  const { image } = site.add("Disk", [sampleBytes(1), sampleBytes(2)], { size: 48 * MIB });
  const spill = site.folder();
  const before = await hashesBelow(site.basedir);
  const mount = await site.mount(["-c", "16", "--spill", spill]);
  const bytes = noise(5, 40 * MIB);
  await writeAt(mount.file("Disk"), 2 * MIB, bytes);
  image.set(bytes, 2 * MIB);
  await dropPageCache();
  await assertContent(mount.file("Disk"), image);
  assert((await hashesBelow(spill)).split("\n").length > 5);
  assertEquals(await hashesBelow(site.basedir), before);
  await mount.end();
});

fuseTest("Several writers and readers at once do not disturb each other", async (site) => {
  const area = 10 * MIB + 4321;
  const chunks = [1, 2, 3, 4, 5].map((seed) => sampleBytes(seed));
  const { image } = site.add("Disk", chunks, { size: 4 * area });
  const other = site.add("Other", chunks).image;
  const mount = await site.mount(["-c", "16", "-t", "2", "--spill", site.folder()]);
  const user = async (number: number) => {
    const random = randomFrom(200 + number);
    const own = image.subarray(number * area, (number + 1) * area);
    const source = noise(number, 2 * MIB);
    using file = await Deno.open(mount.file("Disk"), { read: true, write: true });
    for (let round = 0; round < 50; round++) {
      const length = 1 + random(2 ** (1 + random(21)));
      const at = random(own.length - length);
      if (round % 2 === 0) {
        const piece = source.subarray(random(source.length - length + 1)).subarray(0, length);
        await file.seek(number * area + at, Deno.SeekMode.Start);
        for (let done = 0; done < length;) done += await file.write(piece.subarray(done));
        own.set(piece, at);
      } else {
        const bytes = await readFrom(file, number * area + at, length);
        assertBytes(bytes, own.subarray(at, at + length));
      }
    }
  };
  await Promise.all([0, 1, 2, 3].map(user));
  await dropPageCache();
  await assertContent(mount.file("Disk"), image);
  await assertContent(mount.file("Other"), other);
  assertEquals(mount.messages, []);
  await mount.end();
});

for (const type of ["tmpfs", "ext4", "xfs", "btrfs"] as const) {
  const name =
    `A full spill directory on ${type} fails writes with ENOSPC and keeps what was written`;
  fuseTest(`${name}; more room helps`, async (site) => {
    const { image } = site.add("Disk", [sampleBytes(1)], { size: 80 * MIB });
    const { spill, free } = await smallFilesystem(site, type);
    const mount = await site.mount(["-c", "16", "-t", "2", "--spill", spill]);
    const path = mount.file("Disk");
    let at = 0;
    let errno = 0;
    for (let seed = 0; errno === 0; seed++) {
      assert(at < 60 * MIB, "it stores more than there is room for");
      const piece = noise(seed, MIB);
      errno = await errnoOf(writeAt(path, at, piece));
      if (errno === 0) {
        image.set(piece, at);
        at += MIB;
      }
    }
    assertEquals(errno, ENOSPC);
    assert(at >= 16 * MIB, `${at}`);
    await mount.tool.untilSaid("Cannot write to ");
    assertMatch(mount.messages[0]!, /^warning: Cannot write to .*revision "Disk": .*ENOSPC/);
    // Chunks in memory can still be changed.
    await writeAt(path, at - 100, image.subarray(0, 100));
    image.copyWithin(at - 100, 0, 100);
    await dropPageCache();
    await assertContent(path, image);

    await free();
    const rest = noise(1000, 80 * MIB - at);
    await writeAt(path, at, rest);
    image.set(rest, at);
    await dropPageCache();
    await assertContent(path, image);
    // No partial file was left behind.
    assertEquals(await sh('find "$1" -type f ! -name "*.chunk.lzo" ! -name store', spill), "");
    await mount.end();
  }, { programs: type === "tmpfs" ? [] : [`mkfs.${type}`] });
}

/** Makes a file system with room for 10 MiB. Returns a directory in it, and what makes more. */
async function smallFilesystem(
  site: Site,
  type: "tmpfs" | "ext4" | "xfs" | "btrfs",
): Promise<{ spill: string; free: () => Promise<void> }> {
  const image = site.file("small");
  let device = ["tmpfs"];
  if (type !== "tmpfs") {
    // XFS is not made smaller than this.
    await run("truncate", "-s", "400M", image);
    await run(`mkfs.${type}`, "-q", image);
    device = ["-o", "loop", image];
  }
  const root = await site.mountDevice("-t", type, ...device);
  await sh(
    `free=$(df --output=avail -B1 "$1" | tail -n 1)
     fallocate -l $((free - 10 * 1048576)) "$1/ballast"`,
    root,
  );
  const spill = `${root}/spill`;
  Deno.mkdirSync(spill);
  return { spill, free: () => Deno.remove(`${root}/ballast`) };
}

fuseTest(
  "A read-only spill directory fails writes with EROFS once memory is full",
  async (site) => {
    const { image } = site.add("Disk", [sampleBytes(1)], { size: 60 * MIB });
    const spill = await site.mountDevice("-t", "tmpfs", "-o", "ro", "tmpfs");
    const mount = await site.mount(["-c", "16", "--spill", spill]);
    const path = mount.file("Disk");
    const bytes = noise(1, 16 * MIB);
    await writeAt(path, 0, bytes);
    image.set(bytes);
    assertEquals(await errnoOf(writeAt(path, 20 * MIB, bytes.subarray(0, 5000))), EROFS);
    await mount.tool.untilSaid("Cannot write to ");
    assertMatch(mount.messages[0]!, /^warning: Cannot write to .*revision "Disk": .*EROFS/);
    await writeAt(path, 15 * MIB, bytes.subarray(0, 5000));
    image.copyWithin(15 * MIB, 0, 5000);
    await dropPageCache();
    await assertContent(path, image);
    await mount.end();
  },
);

fuseTest(
  "Changing part of a missing chunk fails with EIO; other chunks can be changed",
  async (site) => {
    const { ids, image } = site.add("Disk", [sampleBytes(1), sampleBytes(2), sampleBytes(3)]);
    Deno.removeSync(`${site.basedir}/chunks/${ids[1]!.slice(0, 2)}/${ids[1]}.chunk.lzo`);
    const mount = await site.mount();
    const path = mount.file("Disk");
    assertEquals(await errnoOf(writeAt(path, CHUNK_BYTES + 5000, new Uint8Array(10))), EIO);
    const bytes = noise(9, MIB);
    assertEquals(await errnoOf(readAt(path, CHUNK_BYTES, 10)), EIO);
    await writeAt(path, 2 * CHUNK_BYTES, bytes);
    image.set(bytes, 2 * CHUNK_BYTES);
    assertBytes(await readAt(path, 2 * CHUNK_BYTES, CHUNK_BYTES), image.subarray(2 * CHUNK_BYTES));
    assertBytes(await readAt(path, 0, CHUNK_BYTES), image.subarray(0, CHUNK_BYTES));
    await mount.end();
  },
);
