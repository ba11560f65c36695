import { Buffer } from "node:buffer";

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { cString } from "../../lib/linux/libc.ts";
import { programProblem, tryRun, trySh } from "../support/programs.ts";
import { until } from "../support/wait.ts";
import { mountTest } from "./harness.ts";
import { fillPattern } from "./pattern.ts";

/** Called on another thread, because the file system may hang. */
const { getxattr } = Deno.dlopen("libc.so.6", {
  getxattr: {
    // path, name, value, size
    parameters: ["buffer", "buffer", "buffer", "usize"],
    result: "isize",
    nonblocking: true,
  },
}).symbols;

/** Runs a script that must succeed. */
async function ok(script: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await trySh(`set -e; ${script}`, ...args);
  assertEquals([code, stderr], [0, ""], script);
  return stdout;
}

mountTest("Writes arrive, whether the handler finishes at once or later", async ({ path }) => {
  const data = fillPattern(new Uint8Array(3 * 1_048_576 + 17));
  for (const name of ["new", "late", "hoarder"]) {
    await Deno.writeFile(`${path}/${name}`, data);
    assert(Buffer.compare(await Deno.readFile(`${path}/${name}`), data) === 0, name);
  }
  // Two writers at once, whose data stays in libfuse's memory until they are done.
  await Promise.all(["late", "late"].map((name, half) =>
    ok(
      'head -c 1500000 /dev/zero | tr "\\0" "$2" | dd of="$1" bs=300000 iflag=fullblock oflag=seek_bytes seek="$3" conv=notrunc status=none',
      `${path}/${name}`,
      "ab"[half]!,
      `${half * 1_500_000}`,
    )
  ));
  const text = new TextDecoder().decode((await Deno.readFile(`${path}/late`)).subarray(0, 3e6));
  assert(text === "a".repeat(1_500_000) + "b".repeat(1_500_000));
});

mountTest("A handler that keeps written data too long finds it gone", async ({ path }) => {
  await Deno.writeTextFile(`${path}/hoarder`, "data");
  // Not there yet: the handler looks at the data some time after it has answered.
  let left = "";
  await until(async () => {
    left = await getAttribute(`${path}/hoarder`, "user.left").catch(() => "");
    return left !== "";
  }, "the handler's look");
  assertEquals(left, "\0");
});

mountTest("Files and directories are made, renamed and removed", async ({ path }) => {
  await ok(
    'cd "$1"; mkdir -m 750 d; echo text > d/f; ln -s f d/l; ln d/f d/h; mv d/h moved; mkfifo p',
    path,
  );
  assertEquals(
    await ok('cd "$1"; cat d/f d/l moved; readlink d/l; stat -c "%a %F" d p', path),
    [
      "text",
      "text",
      "text",
      "f",
      "750 directory",
      "644 fifo",
      "",
    ].join("\n"),
  );
  assertEquals(await ok('stat -c "%h %s" "$1/moved"', path), "2 5\n");
  await ok('cd "$1"; rm d/f d/l moved p; rmdir d; test ! -e d', path);
  const refusal = await trySh('cd "$1"; mkdir d; touch d/f; rmdir d', path);
  assertMatch(refusal.stderr, /Directory not empty/);
});

mountTest("Handlers learn who calls", async ({ path }) => {
  await ok('setpriv --reuid=12 --regid=34 --clear-groups touch "$1/new"', path);
  assertEquals(await ok('stat -c %u:%g "$1/new"', path), "12:34\n");
}, { options: { mountOptions: ["allow_other"] } });

mountTest("Attributes are changed and shown", async ({ path }) => {
  await ok(
    'cd "$1"; chown 12:34 data; truncate -s 5000 data; chmod 4600 data; touch -d "2001-02-03 04:05:06.5 UTC" data',
    path,
  );
  assertEquals(
    await ok('TZ=UTC stat -c "%a %u:%g %s %b %y" "$1/data"', path),
    "4600 12:34 5000 10 2001-02-03 04:05:06.500000000 +0000\n",
  );
  assertEquals(
    await ok('TZ=UTC stat -c "%y" "$1/whole"', path),
    "2023-11-14 22:13:20.123000000 +0000\n",
  );
  const now = Date.now();
  await ok('touch "$1/data"', path);
  const { mtime } = await Deno.stat(`${path}/data`);
  assert(Math.abs(mtime!.getTime() - now) < 20_000);
});

mountTest("Errors of changes reach the caller", async ({ path }) => {
  const expectations = [
    ['echo x > "$1/full"', /No space left on device/],
    ['echo x > "$1/protected"', /Read-only file system/],
    ['rm -f "$1/protected"', /Operation not permitted/],
    ['mkdir "$1/data"', /File exists/],
    ['fallocate -l 100 "$1/data"', /not supported/],
  ] as const;
  for (const [script, pattern] of expectations) {
    assertMatch((await trySh(script, path)).stderr, pattern, script);
  }
  // Decoding would turn a name that is not UTF-8 into another one.
  assertMatch((await trySh("touch \"$1/\"$'\\xff'", path)).stderr, /Invalid argument/);
});

mountTest("Extended attributes are set, listed, read and removed", async ({ path }) => {
  const file = `${path}/data`;
  const script = `
import os, sys
f = sys.argv[1]
os.setxattr(f, "user.a", b"value\\0\\xff")
os.setxattr(f, "user.b", b"x" * 5000)
print(os.listxattr(f), os.getxattr(f, "user.a"), len(os.getxattr(f, "user.b")))
os.removexattr(f, "user.a")
print(os.listxattr(f))
for call in (lambda: os.getxattr(f, "user.a"), lambda: os.removexattr(f, "user.a")):
    try: call()
    except OSError as e: print(e.errno)`;
  const { stdout } = await tryRun("python3", "-c", script, file);
  assertEquals(stdout, "['user.a', 'user.b'] b'value\\x00\\xff' 5000\n['user.b']\n61\n61\n");
}, { problem: programProblem("python3") });

async function getAttribute(path: string, name: string): Promise<string> {
  const value = new Uint8Array(64);
  const length = await getxattr(cString(path), cString(name), value, BigInt(value.length));
  assert(length >= 0, `${name} of ${path}`);
  return new TextDecoder().decode(value.subarray(0, Number(length)));
}

mountTest("Directories of any length are listed in full, each name once", async ({ path }) => {
  const names = (await ok('ls -f "$1/many"', path)).trim().split("\n").sort();
  const expected = [".", "..", ...Array.from({ length: 10_000 }, (_, i) => `revision-${i}`)];
  assertEquals(names, expected.sort());
  assertEquals((await ok('ls -l "$1/many"', path)).split("\n").length, 10_002);
  const found = [];
  for await (const { name } of Deno.readDir(path)) found.push(name);
  assert(found.includes("Straße, 日本") && found.includes("many"));
});

mountTest("References to inodes are counted and forgotten", async ({ path }) => {
  const lookups = async () => Number(await getAttribute(`${path}/many/revision-5`, "user.lookups"));
  await ok('ls -l "$1/many"; stat "$1/many/revision-5"', path);
  assert(await lookups() >= 1);
  // Only the lookup of this call is left then; all others are forgotten.
  await until(async () => {
    await ok("echo 2 > /proc/sys/vm/drop_caches", path);
    return await lookups() === 1;
  }, "the kernel to forget");
});

mountTest("Space is shown", async ({ path }) => {
  const text = await ok('stat -f -c "%s %b %f %a %c %l" "$1"', path);
  assertEquals(text, "4096 1000 400 300 77 255\n");
});

mountTest(
  "invalidate() makes the kernel read again what an open file has cached",
  async ({ path }) => {
    const script = `import mmap, os, sys
left, right = (os.open(sys.argv[1] + "/" + name, os.O_RDWR) for name in ("left", "right"))
view = mmap.mmap(right, 0)
for number in range(50):
    at = number * 3_700
    before = os.pread(right, 100, at), view[at : at + 100]
    data = bytes([number]) * 100
    assert before[0] == before[1] != data
    os.pwrite(left, data, at)
    assert os.pread(right, 100, at) == data, number
    assert view[at : at + 100] == data, number`;
    assertEquals(await tryRun("python3", "-c", script, path), { code: 0, stdout: "", stderr: "" });
  },
);
