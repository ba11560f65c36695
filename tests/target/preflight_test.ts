import { assert, assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import type { PreflightOptions } from "../../lib/target/target.ts";
import {
  chattrProblem,
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync, scriptCommand, shell } from "../support/programs.ts";
import { asUser } from "../support/user.ts";
import { StoreFixture } from "./store_fixture.ts";

/** Asserts that an output is refused, and what the one line says. */
function assertRefused(output: string, options: PreflightOptions, reason: string | RegExp): void {
  const error = assertThrows(() => preflightTarget(output, options), TargetError);
  assertEquals(error.path, output);
  const prefix = `Cannot restore to ${JSON.stringify(output)}: `;
  assert(error.message.startsWith(prefix), error.message);
  assert(!error.message.includes("\n"), error.message);
  const said = error.message.slice(prefix.length);
  if (typeof reason === "string") assertEquals(said, reason);
  else assertMatch(said, reason);
}

Deno.test("preflightTarget() refuses a device node that does not exist", () => {
  using store = new StoreFixture();
  assertRefused("/dev/typo", store.options(), "no such device");
  assertRefused("/dev/no_such_folder/typo", store.options(), "no such device");
  assertRefused("/dev/../dev/typo", store.options(), "no such device");
  assertEquals(Deno.lstatSync("/dev").isDirectory, true);
});

Deno.test("preflightTarget() refuses a missing device node behind dangling links", () => {
  using store = new StoreFixture();
  const link = store.file("link"), second = store.file("second");
  Deno.symlinkSync("/dev/typo", link);
  Deno.symlinkSync("link", second);
  assertRefused(link, store.options(), "no such device");
  assertRefused(second, store.options(), "no such device");
});

Deno.test("preflightTarget() accepts a new file in /dev/shm", () => {
  using store = new StoreFixture();
  using checked = preflightTarget("/dev/shm/no_such_file_yet", store.options());
  assertEquals([checked.kind, checked.isNew], ["file", true]);
});

Deno.test("preflightTarget() refuses a directory", () => {
  using store = new StoreFixture();
  assertRefused(store.basedir, store.options(), "it is a directory");
  assertRefused(store.file("new/"), store.options(), "the directory does not exist");
});

Deno.test("preflightTarget() refuses a file whose directory does not exist", () => {
  using store = new StoreFixture();
  const folder = store.file("missing");
  assertRefused(`${folder}/x`, store.options(), `the directory "${folder}" does not exist`);
  assertRefused(`${store.revisionPath}/x`, store.options(), "Not a directory (ENOTDIR)");
  assertRefused("", store.options(), "the name is empty");
});

Deno.test("preflightTarget() refuses a loop of symbolic links", () => {
  using store = new StoreFixture();
  const link = store.file("link");
  Deno.symlinkSync(link, link);
  assertRefused(link, store.options(), "Too many levels of symbolic links (ELOOP)");
});

Deno.test("preflightTarget() does not take a file for standard output by its name", () => {
  using store = new StoreFixture();
  const options = { ...store.options(), heldBytes: 1 };
  const error = assertThrows(() => preflightTarget("standard output", options), TargetError);
  assertEquals(
    error.message,
    'Cannot restore to "./standard output": there is no such file, so it cannot hold the base ' +
      "revision; leave out --base",
  );
});

Deno.test("preflightTarget() refuses a socket", () => {
  using store = new StoreFixture();
  const path = store.file("socket");
  using _listener = Deno.listen({ transport: "unix", path });
  assertRefused(path, store.options(), "it is neither a file, a device nor a pipe");
});

Deno.test("preflightTarget() refuses the revision itself by any name", () => {
  using store = new StoreFixture();
  const symbolic = store.file("symbolic"), hard = store.file("hard");
  Deno.symlinkSync(store.revisionPath, symbolic);
  Deno.linkSync(store.revisionPath, hard);
  for (const path of [store.revisionPath, symbolic, hard, `${store.basedir}/last`]) {
    assertRefused(path, store.options(), "it is the revision to be restored");
    assertRefused(path, store.options({ force: true }), /^it is the revision/);
  }
  const viaLast = store.options({ revisionPath: `${store.basedir}/last` });
  assertRefused(hard, viaLast, "it is the revision to be restored");
  assertEquals(Deno.readTextFileSync(store.revisionPath), "content of RevisionA");
});

Deno.test("preflightTarget() refuses what lies inside the chunks directory", () => {
  using store = new StoreFixture();
  const link = store.file("link");
  Deno.symlinkSync(store.chunkFolder, link);
  const outputs = [
    store.chunkPath,
    `${store.chunkFolder}/new`,
    `${store.basedir}/chunks/new`,
    `${link}/new`,
    `${link}/../../chunks/new`,
  ];
  for (const path of outputs) {
    assertRefused(path, store.options(), "it lies inside the chunks directory of the backup");
  }
  assertEquals(Deno.readTextFileSync(store.chunkPath), "content of a chunk");
});

Deno.test("preflightTarget() refuses the backup's own files", () => {
  using store = new StoreFixture();
  const link = store.file("link");
  Deno.symlinkSync(`${store.basedir}/RevisionB`, link);
  for (const name of ["RevisionB", "RevisionB.rev", "new.rev", ".purge", ".backup", "config"]) {
    assertRefused(
      `${store.basedir}/${name}`,
      store.options(),
      "it is one of the backup's own files",
    );
  }
  assertRefused(link, store.options(), "it is one of the backup's own files");
});

Deno.test("preflightTarget() refuses any file in the backup directory unless forced", () => {
  using store = new StoreFixture();
  const path = `${store.basedir}/image`;
  const reason = `it lies in the backup directory "${store.basedir}"`;
  assertRefused(path, store.options(), `${reason} (--force overrides this)`);
  using checked = preflightTarget(path, store.options({ force: true }));
  assertEquals(checked.isNew, true);
  assertEquals(checked.warnings, [`"${path}" is written although ${reason}`]);
});

Deno.test("preflightTarget() refuses a file with other names unless forced", () => {
  using store = new StoreFixture();
  const path = store.file("image", "old");
  Deno.linkSync(path, store.file("second"));
  const reason = "it has 2 names (hard links), and would change under all of them";
  assertRefused(path, store.options(), `${reason} (--force overrides this)`);
  using checked = preflightTarget(path, store.options({ force: true }));
  assertEquals(checked.warnings, [`"${path}" is written although ${reason}`]);
});

Deno.test("preflightTarget() leaves an existing file as it is", () => {
  using store = new StoreFixture();
  const path = store.file("image", "precious");
  preflightTarget(path, store.options({ imageBytes: 4096 }))[Symbol.dispose]();
  assertEquals(Deno.readTextFileSync(path), "precious");
});

Deno.test("preflightTarget() creates nothing", () => {
  using store = new StoreFixture();
  const path = store.file("image");
  preflightTarget(path, store.options())[Symbol.dispose]();
  assertThrows(() => Deno.lstatSync(path), Deno.errors.NotFound);
});

Deno.test("preflightTarget() escapes control characters of a path", () => {
  using store = new StoreFixture();
  const path = store.file("x\n\u001b[31m\u009b\u202e");
  Deno.mkdirSync(path);
  const error = assertThrows(() => preflightTarget(path, store.options()), TargetError);
  assert(error.message.includes(String.raw`x\n\x1b[31m\x9b\u{202e}": it is a`), error.message);
});

Deno.test("preflightTarget() accepts /dev/null and /dev/full", () => {
  using store = new StoreFixture();
  for (const path of ["/dev/null", "/dev/full"]) {
    using checked = preflightTarget(path, store.options());
    assertEquals(checked.kind, "char");
  }
});

Deno.test("preflightTarget() refuses files and directories without write permission", async () => {
  using store = new StoreFixture();
  const path = store.file("image", "precious");
  Deno.chmodSync(path, 0o400);
  await asUser(store.file("."), () => {
    assertRefused(path, store.options(), "Permission denied (EACCES)");
    assertRefused("/no_permission_here", store.options(), /cannot be written: Permission denied/);
  });
});

testUnless(chattrProblem(), "preflightTarget() says why a file cannot be changed", () => {
  using store = new StoreFixture();
  const path = store.file("image", "x"), folder = store.file("folder");
  Deno.mkdirSync(folder);
  const cases = [
    ["i", path, path, ""],
    ["a", path, path, ""],
    ["i", folder, `${folder}/new`, `the directory "${folder}" cannot be written: `],
  ] as const;
  for (const [attribute, changed, output, prefix] of cases) {
    runSync("chattr", `+${attribute}`, changed);
    try {
      const word = attribute === "i" ? "immutable" : "append-only";
      assertRefused(
        output,
        store.options({ force: true }),
        `${prefix}Operation not permitted (EPERM); it is ${word}: see lsattr, ` +
          `"chattr -${attribute}" ends that`,
      );
    } finally {
      runSync("chattr", `-${attribute}`, changed);
    }
  }
});

testUnless(mountProblem(), "preflightTarget() refuses a read-only file system", () => {
  using store = new StoreFixture();
  using mount = new Mount("-t", "tmpfs", "-o", "size=64k", "tmpfs");
  const path = `${mount.path}/image`;
  Deno.writeTextFileSync(path, "precious");
  const remount = new Deno.Command("mount", { args: ["-o", "remount,ro", mount.path] });
  assert(remount.outputSync().success);
  assertRefused(path, store.options(), "Read-only file system (EROFS)");
  assertRefused(
    `${mount.path}/new`,
    store.options(),
    `the directory "${mount.path}" cannot be written: Read-only file system (EROFS)`,
  );
});

testUnless(
  mountProblem(),
  "preflightTarget() refuses an image without room for --sparse=never",
  () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "tmpfs", "-o", "size=1m", "tmpfs");
    const options = store.options({ imageBytes: 2_097_152, sparse: "never" });
    const path = `${mount.path}/image`;
    assertRefused(
      path,
      options,
      "the image needs 2097152 bytes (2 MiB), the file system has room for 1048576 bytes (1 MiB); " +
        "make room, use --sparse=auto or name another target",
    );
    Deno.writeFileSync(path, new Uint8Array(524_288));
    assertRefused(path, options, /room for 1048576 bytes/);
    assertEquals(Deno.statSync(path).size, 524_288);
    preflightTarget(path, { ...options, extent: { start: 0, end: 1_048_576 } })[Symbol.dispose]();
    preflightTarget(path, { ...options, sparse: "auto" })[Symbol.dispose]();
  },
);

testUnless(
  mountProblem(),
  "preflightTarget() accepts a file system that does not count its room",
  () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "tmpfs", "-o", "size=0", "tmpfs");
    const options = store.options({ imageBytes: 2 ** 40, sparse: "never" });
    preflightTarget(`${mount.path}/image`, options)[Symbol.dispose]();
  },
);

/** Prints what becomes of an output, in a process of its own. */
const tryOutput = (output: string) =>
  scriptCommand(`
    import { preflightTarget } from lib("target/preflight.ts");
    const stores = [{ revisionPath: Deno.env.get("REVISION"), basedir: Deno.env.get("BASEDIR") }];
    try {
      const options = { extent: { start: 0, end: 1 }, sparse: "auto", force: false, stores };
      Deno.stderr.writeSync(new TextEncoder().encode(preflightTarget("${output}", options).kind));
    } catch (error) {
      Deno.stderr.writeSync(new TextEncoder().encode(error.message));
    }
  `);

testUnless(programProblem("script"), "preflightTarget() refuses a terminal", async () => {
  using scratch = new Scratch();
  for (const output of ["-", "/dev/stdout", "/dev/tty"]) {
    const file = scratch.file("command.sh", tryOutput(output));
    const { stdout } = await shell(`BASEDIR=/x REVISION=/x script -qec "bash ${file}" /dev/null`);
    assertMatch(
      new TextDecoder().decode(stdout),
      /^Cannot restore to \S+( output)?: it is a terminal/m,
    );
  }
});

Deno.test("preflightTarget() accepts standard output that is a pipe, a file or /dev/null", async () => {
  using store = new StoreFixture();
  const script = `BASEDIR='${store.basedir}' REVISION='${store.revisionPath}' ${tryOutput("-")}`;
  for (const redirect of ["", "> /dev/null", `> '${store.file("out")}'`]) {
    assertEquals((await shell(`${script} ${redirect}`)).stderr, "stdout");
  }
});

Deno.test("preflightTarget() refuses standard output that is read-only or part of the backup", async () => {
  using store = new StoreFixture();
  const script = `BASEDIR='${store.basedir}' REVISION='${store.revisionPath}' ${tryOutput("-")}`;
  const refused = async (redirect: string) =>
    (await shell(`${script} ${redirect}`)).stderr.replace(
      "Cannot restore to standard output: ",
      "",
    );
  assertEquals(await refused("1< /dev/null"), "it is closed, or not open for writing");
  assertEquals(
    await refused(`>> '${store.revisionPath}'`),
    "it is the revision to be restored",
  );
  assertEquals(
    await refused(`>> '${store.chunkPath}'`),
    "it lies inside the chunks directory of the backup",
  );
  using other = new StoreFixture();
  const lies = `it lies in the backup directory "${other.basedir}" (--force overrides this)`;
  assertEquals(await refused(`>> '${other.revisionPath}'`), lies);
  assertEquals(await refused(`> '${other.basedir}/new'`), lies);
});

testUnless(loopDeviceProblem(), "preflightTarget() refuses a file behind a loop device", () => {
  using store = new StoreFixture();
  using device = new LoopDevice(1_048_576);
  const { backing } = device;
  const symbolic = `${backing}.link`;
  Deno.symlinkSync(backing, symbolic);
  for (const path of [backing, symbolic]) {
    assertRefused(
      path,
      store.options(),
      `it is behind the loop device "${device.path}" (--force overrides this)`,
    );
    using checked = preflightTarget(path, store.options({ force: true }));
    assertEquals(checked.warnings, [
      `"${path}" is written although it is behind the loop device "${device.path}"`,
    ]);
  }
});
