import { Buffer } from "node:buffer";

import { assert, assertEquals, assertMatch, assertStringIncludes } from "../assert.ts";
import { tryRun, trySh } from "../support/programs.ts";
import { until } from "../support/wait.ts";
import { mountTest } from "./harness.ts";
import { fillPattern } from "./pattern.ts";

const SIZE = 8 * 1_048_576 + 123;

/** Reads with one system call if the kernel allows it. */
async function readAt(path: string, offset: number, size: number): Promise<Uint8Array> {
  using file = await Deno.open(path);
  await file.seek(offset, Deno.SeekMode.Start);
  const buffer = new Uint8Array(size);
  let length = 0;
  while (length < size) {
    const count = await file.read(buffer.subarray(length));
    if (count === null) break;
    length += count;
  }
  return buffer.subarray(0, length);
}

mountTest("Reads are exact at all offsets and sizes", async ({ path }) => {
  const edges = [0, 1, 4095, 4096, 65_535, 65_536, 131_071, 1_048_575, 1_048_576, SIZE - 1, SIZE];
  const sizes = [0, 1, 4096, 4097, 65_536, 200_000, 1_048_576, 3_000_001];
  let seed = 1;
  const random = (limit: number) => (seed = Math.imul(seed, 48271) >>> 0) % limit;
  const cases = edges.flatMap((offset) => sizes.map((size) => [offset, size] as const));
  for (let i = 0; i < 200; i++) cases.push([random(SIZE + 5000), random(2_500_000)]);
  cases.push([SIZE + 1, 10], [SIZE * 2, 4096]);
  const names = ["data", "shared", "wasm", "whole"];
  for (const [index, [offset, size]] of cases.entries()) {
    const found = await readAt(`${path}/${names[index % names.length]}`, offset, size);
    const length = Math.max(0, Math.min(size, SIZE - offset));
    assertEquals(found.length, length);
    const expected = fillPattern(new Uint8Array(length), offset);
    assert(Buffer.compare(found, expected) === 0, `${length} bytes at ${offset}`);
  }
});

mountTest("Several processes read at a time, with and without the page cache", async ({ path }) => {
  const copy = await Deno.makeTempFile();
  try {
    await Deno.writeFile(copy, fillPattern(new Uint8Array(SIZE)));
    const commands = [
      ["cmp", copy, `${path}/data`],
      ["cmp", copy, `${path}/shared`],
      ["cmp", copy, `${path}/wasm`],
      ["cmp", copy, `${path}/whole`],
    ];
    for (const [block, flags] of [["4M", ""], ["64K", ""], ["1M", "iflag=direct"], ["4K", ""]]) {
      const script = `dd if="$1" bs=${block} ${flags} status=none | cmp - "$2"`;
      for (const name of ["data", "whole"]) {
        commands.push(["bash", "-c", script, "bash", `${path}/${name}`, copy]);
      }
    }
    const outputs = await Promise.all(commands.map(([name, ...args]) => tryRun(name!, ...args)));
    for (const output of outputs) assertEquals(output, { code: 0, stdout: "", stderr: "" });
  } finally {
    await Deno.remove(copy);
  }
});

mountTest("A slow read does not delay others", async (driver) => {
  const { path } = driver;
  const slow = Deno.readFile(`${path}/slow`);
  await driver.waitFor(/^reading slow$/);
  assertEquals((await Deno.readFile(`${path}/data`)).length, SIZE);
  await Deno.writeTextFile(`${path}/go`, "");
  assertEquals((await slow).length, 200_000);
});

mountTest("Errors of handlers reach the caller, bugs as EIO with a report", async (driver) => {
  const { path, lines } = driver;
  assertMatch((await tryRun("cat", `${path}/absent`)).stderr, /No such file or directory/);
  assertMatch((await tryRun("cat", `${path}/unfindable`)).stderr, /Input\/output error/);
  assertEquals(lines.filter((line) => line.startsWith("error")), []);

  const damaged = await trySh('dd if="$1/damaged" bs=64K iflag=direct of=/dev/null', path);
  assertMatch(damaged.stderr, /Input\/output error/);
  assertMatch(damaged.stderr, /1\+0 records in/);
  assertEquals(lines.filter((line) => line.startsWith("error")), []);

  assertMatch((await tryRun("cat", `${path}/bug`)).stderr, /Input\/output error/);
  await driver.waitFor(/^error in lookup: TypeError: a bug in lookup/);
  assertMatch((await tryRun("cat", `${path}/rejecting`)).stderr, /Input\/output error/);
  await driver.waitFor(/^error in read: TypeError: a bug in read/);
  assertMatch((await tryRun("cat", `${path}/greedy`)).stderr, /Input\/output error/);
  await driver.waitFor(/^error in read: RangeError: Cannot answer with/);
  // The file system still works after all this.
  assertEquals((await tryRun("cat", `${path}/Straße, 日本`)).stdout, "name");
});

mountTest("A reader that is killed frees its request, and the file is released", async (driver) => {
  const { path } = driver;
  const status = async () => JSON.parse(await Deno.readTextFile(`${path}/status`)).openFiles;
  assertEquals(await status(), 1); // itself
  const reader = new Deno.Command("cat", { args: [`${path}/slow`] }).spawn();
  await driver.waitFor(/^reading slow$/);
  reader.kill("SIGKILL");
  assertEquals((await reader.status).signal, "SIGKILL");
  await Deno.writeTextFile(`${path}/go`, "");
  await until(async () => await status() === 1, "the release");
});

mountTest("lseek() finds holes", async ({ path }) => {
  const { stdout } = await trySh(
    `python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print(os.lseek(fd, 10, os.SEEK_DATA), os.lseek(fd, 10, os.SEEK_HOLE), os.lseek(fd, 70000, os.SEEK_HOLE))
try: os.lseek(fd, 70000, os.SEEK_DATA)
except OSError as e: print(e.errno)' "$1/data" || echo "no python"`,
    path,
  );
  if (!stdout.includes("no python")) assertEquals(stdout, "10 65536 70000\n6\n");
});

mountTest("A file system of two handlers answers everything", async ({ path }) => {
  const expectations = [
    ['cat "$1/data"', "Invalid argument"],
    ['echo x > "$1/data"', "Read-only file system"],
    ['touch "$1/data"', "Read-only file system"],
    ['touch "$1/new"', "Read-only file system"],
    ['mkdir "$1/new"', "Read-only file system"],
    ['rm -f "$1/data"', "Read-only file system"],
    ['rmdir "$1/many"', "Read-only file system"],
    ['mv "$1/data" "$1/new"', "Read-only file system"],
    ['ln "$1/data" "$1/new"', "Read-only file system"],
    ['ln -s x "$1/new"', "Read-only file system"],
    ['mkfifo "$1/new"', "Read-only file system"],
    ['chmod 600 "$1/data"', "Read-only file system"],
    ['truncate -s 5 "$1/data"', "Read-only file system"],
    ['ls "$1"', "Function not implemented"],
    ['readlink -v "$1/data"', "Invalid argument"],
    ['fallocate -l 5 "$1/data"', "not supported"],
  ] as const;
  for (const [script, text] of expectations) {
    const { code, stderr } = await trySh(script, path);
    assert(code !== 0, script);
    assertStringIncludes(stderr, text, script);
  }
  const ioctl = "import fcntl, sys; fcntl.ioctl(open(sys.argv[1]), 0x1234)";
  const { code, stderr } = await tryRun("python3", "-c", ioctl, `${path}/data`);
  if (code !== 127) assertStringIncludes(stderr, "Inappropriate ioctl for device");
  for (
    const script of [
      'stat -c %s "$1/data"',
      'test -r "$1/data"',
      'sync -f "$1/data"',
      'df "$1"',
      'flock -n "$1/data" true',
    ]
  ) {
    const { code, stderr } = await trySh(script, path);
    assertEquals([script, code, stderr], [script, 0, ""]);
  }
}, { options: { isBare: true } });
