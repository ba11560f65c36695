import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { type ChunkContent, sampleBytes } from "../support/store_builder.ts";
import { allocatedBytes, copyFifo, makeFifo, testUnless } from "../support/machine.ts";
import { assertSuccess, extract, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const SPARSE_MODES = ["auto", "always", "never"] as const;
/** File systems round sizes up and keep tables of blocks. */
const ALLOCATION_SLACK_BYTES = 1_048_576;

function assertAllocation(path: string, sparse: string): void {
  const allocated = allocatedBytes(path);
  const [least, most] = sparse === "never"
    ? [store.image.length, Infinity]
    : [store.dataBytes, store.dataBytes + ALLOCATION_SLACK_BYTES];
  assert(allocated >= least && allocated <= most, `${path} takes ${allocated} bytes`);
}

for (const sparse of SPARSE_MODES) {
  Deno.test(`A new file holds exactly the image, with holes as --sparse=${sparse} says`, async () => {
    const path = store.file(`new-${sparse}`);
    assertSuccess(await extract([`--sparse=${sparse}`, store.revision.path, path]));
    assertBytes(Deno.readFileSync(path), store.image);
    assertAllocation(path, sparse);
  });

  Deno.test(`An existing longer file is replaced by the image, --sparse=${sparse}`, async () => {
    const path = store.file(
      `old-${sparse}`,
      new Uint8Array(store.image.length + 99_999).fill(0xaa),
    );
    const inode = Deno.statSync(path).ino;
    assertSuccess(await extract(["-s", sparse.toUpperCase(), store.revision.path, path]));
    assertBytes(Deno.readFileSync(path), store.image);
    assertAllocation(path, sparse);
    assertEquals(Deno.statSync(path).ino, inode);
  });
}

Deno.test("A shorter existing file grows to the image, also where holes would end it", async () => {
  const { path: revision, image } = store.add("EndsInZeros", [sampleBytes(11), "absent"]);
  const path = store.file("short", "short");
  assertSuccess(await extract([revision, path]));
  assertBytes(Deno.readFileSync(path), image);
});

Deno.test("Standard output gets exactly the image: pipe, file, appended file; '-' or no OUTPUT", async () => {
  const revision = store.revision.path;
  const piped = await extract([revision]);
  assertSuccess(piped);
  assertBytes(piped.stdout, store.image);

  const path = store.file("redirected", "what was there goes");
  const env = { OUT: path };
  const redirected = await extract([revision, "-"], { shell: 'exec "$@" >"$OUT"', env });
  assertSuccess(redirected);
  assertEquals(redirected.stdout.length, 0);
  assertBytes(Deno.readFileSync(path), store.image);

  Deno.writeTextFileSync(path, "before");
  assertSuccess(await extract([revision, "-"], { shell: 'exec "$@" >>"$OUT"', env }));
  const appended = Deno.readFileSync(path);
  assertEquals(new TextDecoder().decode(appended.subarray(0, 6)), "before");
  assertBytes(appended.subarray(6), store.image);
});

Deno.test("Standard output shared with other commands loses nothing before or after the image", async () => {
  const path = store.file("grouped");
  const shell = '{ printf head; "$@"; printf tail; } >"$OUT"';
  assertSuccess(await extract([store.revision.path], { shell, env: { OUT: path } }));
  const bytes = Deno.readFileSync(path);
  const text = (part: Uint8Array) => new TextDecoder().decode(part);
  assertEquals([text(bytes.subarray(0, 4)), text(bytes.subarray(-4))], ["head", "tail"]);
  assertBytes(bytes.subarray(4, -4), store.image);
});

Deno.test("Programs that inherited standard output from the same shell do not keep it from being written", async () => {
  const path = store.file("inherited");
  // A job that waits for nothing, in the background; and a reader of messages, which bash starts as
  // the tool's own child.
  const scripts = [
    'exec >"$OUT"; sleep 60 & sleeper=$!; "$@"; code=$?; kill "$sleeper"; exit "$code"',
    'exec "$@" >"$OUT" 2> >(exec cat 3>&1 >&2)',
  ];
  for (const script of scripts) {
    const redirected = await extract([store.revision.path], {
      shell: `exec bash -c '${script}' bash "$@"`,
      env: { OUT: path },
    });
    assertEquals(redirected.code, 0, redirected.stderr);
    assertBytes(Deno.readFileSync(path), store.image);
  }
});

Deno.test("/dev/null, as OUTPUT and as standard output, takes the image", async () => {
  assertSuccess(await extract([store.revision.path, "/dev/null"]));
  assertSuccess(await extract([store.revision.path], { shell: 'exec "$@" >/dev/null' }));
  assert(Deno.statSync("/dev/null").isCharDevice);
});

Deno.test("A FIFO gets exactly the image", async () => {
  const fifo = makeFifo(store.file("fifo"));
  const path = store.file("from-fifo");
  const [outcome] = await Promise.all([
    extract([store.revision.path, fifo]),
    copyFifo(fifo, path),
  ]);
  assertEquals(outcome.code, 0, outcome.stderr);
  assertBytes(Deno.readFileSync(path), store.image);
  assert(Deno.statSync(fifo).isFifo);
});

Deno.test("A restore says that it waits for a reader of a FIFO, and goes on with it", async () => {
  const fifo = makeFifo(store.file("late-fifo"));
  const path = store.file("from-late-fifo");
  await using tool = startExtract([store.revision.path, fifo]);
  await tool.untilSaid(`backy-extract: warning: waiting for a reader of "${fifo}"\n`);
  await copyFifo(fifo, path);
  assertEquals((await tool.outcome()).code, 0, tool.said);
  assertBytes(Deno.readFileSync(path), store.image);
});

Deno.test("A path through symbolic links writes the file that they lead to, existing or not", async () => {
  const real = store.file("linked-file", "old");
  Deno.symlinkSync("linked-file", store.file("link"));
  Deno.symlinkSync("link", store.file("link-to-link"));
  assertSuccess(await extract([store.revision.path, store.file("link-to-link")]));
  assertBytes(Deno.readFileSync(real), store.image);

  Deno.symlinkSync("new-linked-file", store.file("dangling"));
  assertSuccess(await extract([store.revision.path, store.file("dangling")]));
  assertBytes(Deno.readFileSync(store.file("new-linked-file")), store.image);
  assert(Deno.lstatSync(store.file("dangling")).isSymlink);
});

Deno.test("A relative OUTPUT, one with blanks or one that begins with a dash is an ordinary file", async () => {
  const cwd = store.file("working directory");
  Deno.mkdirSync(cwd);
  for (const name of ["./a b\tc", "-dash", "ünïcode"]) {
    assertSuccess(await extract(["--", store.revision.path, name], { cwd }));
    assertBytes(Deno.readFileSync(`${cwd}/${name}`), store.image);
  }
});

/** Sizes that are not a multiple of a chunk, and last chunks stored short, long and full. */
const SIZE_CASES: readonly [name: string, chunks: readonly ChunkContent[], size?: number][] = [
  ["an empty image", [], 0],
  ["an image of one byte", [sampleBytes(20, 1)]],
  ["an image of one byte, stored as a full chunk", [sampleBytes(20)], 1],
  ["an image of one byte of zeros, absent", ["absent"], 1],
  ["an image of one byte of zeros, stored as the all-zero chunk", ["zero"], 1],
  ["an image smaller than a granule", [sampleBytes(21, 40_000)]],
  ["an image of one full chunk", [sampleBytes(22)]],
  ["a short last chunk, stored short", [sampleBytes(22), sampleBytes(23, 100_001)]],
  ["a short last chunk, stored full", [sampleBytes(22), sampleBytes(23)], CHUNK_BYTES + 100_001],
  ["a short last chunk, stored longer than needed and not full", [
    sampleBytes(22),
    sampleBytes(23, 100_001),
  ], CHUNK_BYTES + 77_777],
  // The same chunk is needed in full at seq 0 and in part at the end.
  ["a full chunk that is also the short last one", [
    sampleBytes(22),
    "absent",
    sampleBytes(22),
  ], 2 * CHUNK_BYTES + 65_537],
  ["a short last chunk of zeros, stored short", [sampleBytes(22), new Uint8Array(1234)]],
  ["a full chunk of nothing but zeros under its real id", [new Uint8Array(CHUNK_BYTES)]],
  ["a last chunk of zeros, absent", [sampleBytes(22), "absent"], CHUNK_BYTES + 513],
];

Deno.test("Images of all sizes restore exactly, to a file and to standard output", async (t) => {
  for (const [index, [name, chunks, size]] of SIZE_CASES.entries()) {
    await t.step(name, async () => {
      const { path: revision, image } = store.add(
        `Size${index}`,
        chunks,
        size === undefined ? {} : { size },
      );
      const path = store.file(`size-${index}`, "old content");
      const [toFile, toStdout] = await Promise.all([
        extract([revision, path, index % 2 === 0 ? "--sparse=auto" : "--sparse=never"]),
        extract([revision]),
      ]);
      assertSuccess(toFile);
      assertSuccess(toStdout);
      assertBytes(Deno.readFileSync(path), image);
      assertBytes(toStdout.stdout, image);
    });
  }
});

Deno.test("Any number of workers gives the same image, to a file and in order to a pipe", async () => {
  for (const threads of ["1", "2", "8"]) {
    const path = store.file(`threads-${threads}`);
    assertSuccess(await extract(["-t", threads, store.revision.path, path]));
    assertBytes(Deno.readFileSync(path), store.image);
    const piped = await extract([`-t${threads}`, store.revision.path]);
    assertSuccess(piped);
    assertBytes(piped.stdout, store.image);
  }
});

Deno.test("A stream of many more chunks than the workers have buffers keeps its order", async () => {
  const contents = Array.from({ length: 12 }, (_, i) => sampleBytes(100 + i, 4096));
  const chunks: ChunkContent[] = [];
  for (let seq = 0; seq < 60; seq++) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    chunk.set(contents[(seq * 7) % 12]!, (seq % 12) * 300_000);
    chunks.push(seq % 5 === 4 ? "absent" : chunk);
  }
  const { path, image } = store.add("Long", chunks);
  const { stdout, ...outcome } = await extract(["-t3", "--no-sync", path]);
  assertSuccess({ ...outcome, stdout });
  assertBytes(stdout, image);
});

const HUGE_BYTES = 16 * 2 ** 40;
// ext4 ends files at 16 TiB less one block; tmpfs takes the size.
const [hugeFolder] = ["/dev/shm", "/tmp"].filter((folder) => canHold(folder, HUGE_BYTES));
const noHuge = hugeFolder === undefined ? "no file system takes a file of 16 TiB" : null;

testUnless(
  noHuge,
  "A 16 TiB image of zeros and one last chunk is restored as a hole and that chunk",
  async () => {
    const path = `${store.basedir}/Huge`;
    const size = HUGE_BYTES;
    Deno.writeTextFileSync(path, `{"mapping": {"4194303": "${store.idAt(0)}"}, "size": ${size}}`);
    const output = Deno.makeTempFileSync({ dir: hugeFolder!, prefix: "backy-huge-" });
    try {
      assertSuccess(await extract([path, output]));
      const info = Deno.statSync(output);
      assertEquals(info.size, size);
      assert(allocatedBytes(output) <= CHUNK_BYTES + ALLOCATION_SLACK_BYTES);
      using file = Deno.openSync(output);
      file.seekSync(size - CHUNK_BYTES, Deno.SeekMode.Start);
      const last = new Uint8Array(CHUNK_BYTES);
      let got = 0;
      while (got < last.length) got += file.readSync(last.subarray(got)) ?? Infinity;
      assertBytes(last, store.image.subarray(0, CHUNK_BYTES));
    } finally {
      Deno.removeSync(output);
    }
  },
);

function canHold(folder: string, size: number): boolean {
  let path: string | undefined;
  try {
    path = Deno.makeTempFileSync({ dir: folder });
    Deno.truncateSync(path, size);
    return true;
  } catch {
    return false;
  } finally {
    if (path !== undefined) Deno.removeSync(path);
  }
}

Deno.test("The store is left as it was, except for the lock file", async () => {
  const list = () =>
    new TextDecoder().decode(
      new Deno.Command("find", { args: [store.basedir, "-printf", "%p %s %T@ %m %l\n"] })
        .outputSync().stdout,
    );
  const before = list();
  assertSuccess(await extract([store.revision.path, "/dev/null"]));
  assertEquals(list(), before);
});
