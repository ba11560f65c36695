/** Holes of the images in a mount: lseek(2), the space that files take, and sparse copies. */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes, assertContent, fill, writeAt } from "../support/bytes.ts";
import { allocatedBytes } from "../support/machine.ts";
import { run } from "../support/programs.ts";
import { type ChunkContent, sampleBytes, writeMap } from "../support/store_builder.ts";
import { until } from "../support/wait.ts";
import { type FuseMount, fuseTest, type Site } from "./fuse_harness.ts";

const C = CHUNK_BYTES;
const GIB = 2 ** 30;

/** 64 MiB and a few bytes with three chunks of data, the last of them short. */
function addSparse(site: Site) {
  const chunks = Array<ChunkContent>(17).fill("absent");
  chunks[2] = sampleBytes(1);
  chunks[3] = "zero";
  chunks[9] = sampleBytes(2);
  chunks[16] = sampleBytes(3, 777);
  return site.add("Disk", chunks);
}

const DATA_BYTES = 2 * C + 1024;

/** The ranges of data in a file, as lseek(2) finds them; a second walk asks at each MiB. */
async function dataRanges(path: string): Promise<[start: number, end: number][]> {
  const script = `
import errno, json, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
def seek(at, whence):
    try: return os.lseek(fd, at, whence)
    except OSError as e:
        assert e.errno == errno.ENXIO, e
ranges = []
at = 0
while (start := seek(at, os.SEEK_DATA)) is not None:
    at = seek(start, os.SEEK_HOLE)
    ranges.append((start, at))
for at in range(0, size, 1 << 20):
    inside = [end for start, end in ranges if start <= at < end]
    assert seek(at, os.SEEK_HOLE) == (inside[0] if inside else at), at
    assert seek(at, os.SEEK_DATA) == min([max(at, start) for start, end in ranges if at < end], default=None), at
for at in (size, size + 1, 1 << 60): assert seek(at, os.SEEK_DATA) is seek(at, os.SEEK_HOLE) is None
print(json.dumps(ranges))`;
  return JSON.parse(await run("python3", "-c", script, path));
}

const blocksOf = async (path: string) => Number(await run("stat", "-c", "%b", path)) * 512;

const PYTHON = { programs: ["python3"] };

fuseTest("lseek() finds the data of an image, written data included", async (site) => {
  const { image } = addSparse(site);
  const mount = await site.mount(["-c", "16", "--spill", site.folder()]);
  const path = mount.file("Disk");
  const size = image.length;
  assertEquals(await dataRanges(path), [[2 * C, 3 * C], [9 * C, 10 * C], [16 * C, size]]);
  assertEquals(await blocksOf(path), DATA_BYTES);
  // More than there is room for in memory, so that some of it is stored.
  await writeAt(path, 5 * C - 1, fill(8 * C + 2));
  assertEquals(await dataRanges(path), [[2 * C, 3 * C], [4 * C, 14 * C], [16 * C, size]]);
  assertEquals(await blocksOf(path), 11 * C + 1024);
  image.fill(0xaa, 5 * C - 1, 13 * C + 1);
  await run("cp", path, site.file("copy"));
  assertBytes(Deno.readFileSync(site.file("copy")), image);
  assertEquals(allocatedBytes(site.file("copy")) <= 11 * C + 4096, true);
  assertEquals(mount.messages, []);
  await mount.end();
}, PYTHON);

fuseTest("What was written through a memory mapping is data once it is synced", async (site) => {
  addSparse(site);
  const mount = await site.mount();
  const script = `
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for at in (5 * ${C}, 12 * ${C}):
    m = mmap.mmap(fd, 4096, offset=at)
    m[5] = 1
    m.flush() if at == 5 * ${C} else m.close()
    assert os.lseek(fd, at, os.SEEK_DATA) == at, at
print(os.fstat(fd).st_blocks * 512)`;
  assertEquals(
    Number(await run("python3", "-c", script, mount.file("Disk"))),
    DATA_BYTES + 2 * C,
  );
  await mount.end();
}, PYTHON);

fuseTest("What was written through a memory mapping is copied, synced or not", async (site) => {
  const { image } = addSparse(site);
  const mount = await site.mount();
  const script = `
import mmap, os, subprocess, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 0)
os.close(fd)
m[5 * ${C}] = m[15 * ${C} + 99] = 1
reader = os.open(sys.argv[1], os.O_RDONLY)
assert os.lseek(reader, 4 * ${C}, os.SEEK_DATA) == 5 * ${C}
m[12 * ${C}] = 1
subprocess.run(["cp", sys.argv[1], sys.argv[2]], check=True)
m[7 * ${C}] = 1
subprocess.run(["cp", sys.argv[1], sys.argv[3]], check=True)
m.close()`;
  const copies = [site.file("copy"), site.file("later copy")];
  await run("timeout", "60", "python3", "-c", script, mount.file("Disk"), ...copies);
  for (const at of [5 * C, 15 * C + 99, 12 * C]) image[at] = 1;
  await assertContent(copies[0]!, image);
  image[7 * C] = 1;
  await assertContent(copies[1]!, image);
  await mount.end();
}, PYTHON);

fuseTest("tar looks for data in an image of zeros that is changed in a mapping", async (site) => {
  site.add("Zeros", ["absent", "absent"], { size: 2 * C });
  const mount = await site.mount();
  const script = `
import mmap, os, subprocess, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 0)
m[C := ${C}] = 1
subprocess.run(["tar", "-Scf", sys.argv[2], sys.argv[1]], check=True, stderr=subprocess.DEVNULL)
assert subprocess.run(["tar", "-xSOf", sys.argv[2]], check=True, capture_output=True).stdout[C] == 1`;
  const archive = site.file("tar");
  await run("timeout", "60", "python3", "-c", script, mount.file("Zeros"), archive);
  await mount.end();
}, { programs: ["python3", "tar"] });

/** Commands that copy `$1` to `$2` without its holes. */
const SPARSE_COPIES = {
  "cp": 'cp "$1" "$2"',
  "cp --sparse=always": 'cp --sparse=always "$1" "$2"',
  "qemu-img convert": 'qemu-img convert -f raw -O raw "$1" "$2"',
  "tar -S": 'tar -C "${1%/*}" -Scf "$2.tar" "${1##*/}" && tar -xSOf "$2.tar" >"$2"',
};

for (const [name, script] of Object.entries(SPARSE_COPIES)) {
  const [program] = name.split(" ", 1) as [string];
  fuseTest(`${name} copies an image without its holes`, async (site) => {
    const { image } = addSparse(site);
    const mount = await site.mount();
    // This listing knows nothing of the holes yet, and must not be believed by the copy.
    await run("ls", "-ls", mount.path);
    const copy = site.file("copy");
    await run("timeout", "60", "sh", "-c", script, "sh", mount.file("Disk"), copy);
    const bytes = Deno.readFileSync(copy);
    assertBytes(bytes.subarray(0, image.length), image);
    // qemu fills the last sector.
    assert(bytes.length < image.length + 512, `${bytes.length}`);
    const allocated = allocatedBytes(program === "tar" ? `${copy}.tar` : copy);
    assert(allocated <= DATA_BYTES + 64 * 1024, `${allocated}`);
    await mount.end();
  }, { programs: [program] });
}

fuseTest("A copy of 64 GiB of holes reads none of them", async (site) => {
  const { ids } = site.add("Seed", [sampleBytes(1)]);
  const map = Array<string | null>(64 * GIB / C).fill(null);
  map[9000] = ids[0]!;
  writeMap(site.basedir, "Seed", { ids: map, size: 64 * GIB });
  const mount = await site.mount();
  const copy = site.file("copy");
  const calls = await run(
    "strace",
    ...["-f", "-e", "trace=read,copy_file_range", "-o", "/dev/stdout"],
    ...["cp", mount.file("Seed"), copy],
  );
  const readBytes = [...calls.matchAll(/(?:read|copy_file_range)\(.*\) = (\d+)$/gm)]
    .reduce((sum, [, count]) => sum + Number(count), 0);
  assert(readBytes < 2 * C, calls);
  assertEquals([Deno.statSync(copy).size, allocatedBytes(copy)], [64 * GIB, C]);
  await mount.end();
}, { programs: ["strace"] });

fuseTest("A file that is open keeps the holes of its map", async (site) => {
  addSparse(site);
  const other = site.add("Other", [sampleBytes(5), "absent"], { size: 17 * C });
  const mount = await site.mount();
  await using reader = new HoleReader(mount, "Disk");
  assertEquals(await reader.ask(0), [2 * C, 0]);
  const { ino } = await Deno.stat(mount.file("Disk"));
  writeMap(site.basedir, "Disk", other);
  await until(async () => (await Deno.stat(mount.file("Disk"))).ino !== ino, "the new map");
  assertEquals(await dataRanges(mount.file("Disk")), [[0, C]]);
  assertEquals(await reader.ask(0), [2 * C, 0]);
  assertEquals(await reader.ask(9 * C), [9 * C, 10 * C]);
}, PYTHON);

/** A process that has a file open and looks for data and a hole in it. */
class HoleReader implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: ReadableStreamDefaultReader<string>;

  constructor(mount: FuseMount, name: string) {
    const script = `
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for line in sys.stdin:
    print([os.lseek(fd, int(line), whence) for whence in (os.SEEK_DATA, os.SEEK_HOLE)], flush=True)`;
    this.#child = new Deno.Command("python3", {
      args: ["-c", script, mount.file(name)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#output = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async ask(offset: number): Promise<number[]> {
    await this.#input.write(new TextEncoder().encode(`${offset}\n`));
    // A line may come in pieces, and a piece may be empty.
    let line = "";
    while (!line.endsWith("\n")) {
      const piece = await this.#output.read();
      assert(!piece.done, `The reader ended after "${line}"`);
      line += piece.value;
    }
    return JSON.parse(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close();
    await this.#output.cancel();
    await this.#child.status;
  }
}

fuseTest(
  "Images without holes, of zeros only, and of no bytes are seen as they are",
  async (site) => {
    const chunks = [sampleBytes(1), sampleBytes(2, 4097)];
    const { image } = site.add("Full", chunks);
    site.add("Zeros", ["absent", "zero"], { size: C + 4097 });
    site.add("Empty", [], { size: 0 });
    const mount = await site.mount();
    assertEquals(await dataRanges(mount.file("Full")), [[0, C + 4097]]);
    assertEquals(await blocksOf(mount.file("Full")), C + 4608);
    assertEquals(await dataRanges(mount.file("Zeros")), []);
    assertEquals(await blocksOf(mount.file("Zeros")), 512);
    assertEquals(await dataRanges(mount.file("Empty")), []);
    for (const name of ["Full", "Zeros", "Empty"]) {
      await run("cp", mount.file(name), site.file(name));
      await assertContent(site.file(name), await Deno.readFile(mount.file(name)));
    }
    await assertContent(site.file("Full"), image);
    // Space that was known before a write is asked for again after it.
    await writeAt(mount.file("Zeros"), C + 1, fill(1));
    assertEquals(await blocksOf(mount.file("Zeros")), 4608);
    await run("tar", "-C", mount.path, "-Scf", site.file("tar"), "Zeros");
    await run("tar", "-C", site.folder("out"), "-xf", site.file("tar"));
    const bytes = new Uint8Array(C + 4097);
    bytes[C + 1] = 0xaa;
    await assertContent(site.file("out/Zeros"), bytes);
    await mount.end();
  },
  { programs: ["python3", "tar"] },
);
