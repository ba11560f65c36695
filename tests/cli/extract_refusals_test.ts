import { assert, assertEquals } from "../assert.ts";
import {
  allocatedBytes,
  makeFifo,
  Mount,
  mountProblem,
  openIdleReader,
  testUnless,
} from "../support/machine.ts";
import {
  assertFailure,
  assertSuccess,
  extract,
  extractOnTerminal,
  messagesOf,
  startExtract,
} from "./harness.ts";
import { SampleStore } from "./sample_store.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertBytes } from "../support/bytes.ts";
import { programProblem } from "../support/programs.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const TARGET = 4;
const mount = mountProblem();
const terminal = programProblem("script", "stty");
if (mount !== null) {
  // deno-lint-ignore no-console
  console.log(`ignored: targets on file systems of their own: ${mount}`);
}

/** Everything in a directory tree: names, sizes, times, contents of small files. */
function snapshot(path: string): string {
  const { stdout } = new Deno.Command("find", { args: [path, "-printf", "%p %y %s %T@ %m\n"] })
    .outputSync();
  return new TextDecoder().decode(stdout);
}

/**
 * Asserts that a restore is refused with a reason, and that nothing in the store or beside it has
 * changed.
 */
async function assertRefused(
  output: string,
  reason: string | RegExp,
  options: readonly string[] = [],
): Promise<void> {
  const before = snapshot(store.file("."));
  const outcome = await extract([...options, store.revision.path, output]);
  const start = `Cannot restore to "${output}": `;
  const [message = ""] = messagesOf(outcome.stderr);
  const said = message.startsWith(start) ? message.slice(start.length) : message;
  assert(typeof reason === "string" ? said === reason : reason.test(said), outcome.stderr);
  assertFailure(outcome, { code: TARGET, says: [message] });
  assertEquals(snapshot(store.file(".")), before);
}

Deno.test("An impossible target is refused with the reason, and nothing is created or changed", async () => {
  await assertRefused("/dev/backy-extract-no-such-device", "no such device");
  await assertRefused("/dev/mapper/no-such-volume", "no such device");
  await assertRefused(store.file("."), "it is a directory");
  const folder = store.file("no-folder");
  await assertRefused(`${folder}/image`, `the directory "${folder}" does not exist`);
  await assertRefused(store.file("new/"), /directory/);
  await assertRefused(`${store.file("file", "x")}/image`, /Not a directory \(ENOTDIR\)/);
  const socketPath = store.file("socket");
  using _socket = Deno.listen({ transport: "unix", path: socketPath });
  await assertRefused(socketPath, "it is neither a file, a device nor a pipe");
});

Deno.test("The backup itself is refused as a target by whatever name, --force or not", async () => {
  const own = "it is one of the backup's own files";
  const itself = "it is the revision to be restored";
  const inside = "it lies inside the chunks directory of the backup";
  const { basedir, revision } = store;
  Deno.symlinkSync(revision.path, store.file("link-to-revision"));
  Deno.linkSync(revision.path, store.file("name-of-revision"));
  Deno.symlinkSync(`${basedir}/chunks`, store.file("link-to-chunks"));
  await assertRefused(revision.path, itself);
  await assertRefused(revision.path, itself, ["--force"]);
  await assertRefused(`${basedir}/../vm0/last`, itself);
  await assertRefused(store.file("link-to-revision"), itself);
  await assertRefused(store.file("name-of-revision"), itself);
  await assertRefused(`${basedir}/chunks/new`, inside);
  await assertRefused(store.file("link-to-chunks/new"), inside);
  // Chunk files are read-only, which stops anyone but root before that.
  const chunkFile = new RegExp(`^(${inside}|Permission denied \\(EACCES\\))$`);
  await assertRefused(store.chunkFileAt(0), chunkFile, ["--force"]);
  await assertRefused(`${basedir}/chunks/store`, inside);
  store.add("Another", ["absent"]);
  await assertRefused(`${basedir}/Another`, own);
  await assertRefused(`${basedir}/SampleRevision.rev`, own);
  await assertRefused(`${basedir}/.purge`, own);
});

Deno.test("The backup itself is refused as standard output", async () => {
  const before = snapshot(store.basedir);
  const outcome = await extract([store.revision.path], {
    shell: 'exec "$@" >>"$OUT"',
    env: { OUT: store.revision.path },
  });
  assertFailure(outcome, {
    code: TARGET,
    says: ["Cannot restore to standard output: it is the revision to be restored"],
  });
  assertEquals(snapshot(store.basedir), before);
});

testUnless(terminal, "A terminal is refused: as standard output and by its name", async () => {
  const { code, screen } = await extractOnTerminal([store.revision.path]);
  assertEquals(code, TARGET, screen);
  assert(
    screen.includes(
      "backy-extract: Cannot restore to standard output: it is a terminal; " +
        "name a file or device, or redirect it\r\n",
    ),
    screen,
  );
  assert(screen.length < 1000, "the image must not reach the terminal");
  const byName = await extractOnTerminal([store.revision.path, "/dev/tty"]);
  assertEquals(byName.code, TARGET, byName.screen);
  assert(
    byName.screen.includes('Cannot restore to "/dev/tty": it is a terminal\r\n'),
    byName.screen,
  );
});

Deno.test("Standard output that is open for reading only is refused", async () => {
  const shell = 'exec "$@" 1<"$IN"';
  const outcome = await extract([store.revision.path], { shell, env: { IN: store.revision.path } });
  assertFailure(outcome, {
    code: TARGET,
    says: ["Cannot restore to standard output: it is closed, or not open for writing"],
  });
});

testUnless(mount, "No space for --sparse=never is noticed before anything is written", async () => {
  using disk = new Mount("-t", "tmpfs", "-o", "size=8m", "tmpfs");
  const path = `${disk.path}/image`;
  const reason =
    /^the image needs \d+ bytes \(.*\), the file system has room for \d+ bytes \(.*\); make room, use --sparse=auto or name/;
  await assertRefused(path, reason, ["--sparse=never"]);
  Deno.writeTextFileSync(path, "old");
  await assertRefused(path, reason, ["--sparse=never"]);
  assertEquals(Deno.readTextFileSync(path), "old");
});

testUnless(
  mount,
  "A full file system fails the restore: ENOSPC with path and byte, exit 4",
  async () => {
    using disk = new Mount("-t", "tmpfs", "-o", "size=8m", "tmpfs");
    const path = `${disk.path}/image`;
    assertFailure(await extract([store.revision.path, path]), {
      code: TARGET,
      says: [
        /^warning: ".*" may become too large for its file system: it takes up to \d+ bytes \(21 MiB\), /,
        new RegExp(`^Cannot write "${path}" at byte \\d+: No space left on device \\(ENOSPC\\)$`),
        `"${path}" is incomplete: make room, then run the same command with --update`,
      ],
    });
  },
);

testUnless(
  mount,
  "A file system without room for the least that will be written is refused, also by a dry run",
  async () => {
    using disk = new Mount("-t", "tmpfs", "-o", "size=200k", "tmpfs");
    const path = `${disk.path}/image`;
    // The image has six chunks of data, of which the first and the last need not count.
    const reason = "the image needs at least 262144 bytes (256 KiB), " +
      "the file system has room for 204800 bytes (200 KiB); make room or name another target";
    await assertRefused(path, reason);
    await assertRefused(path, reason, ["--dry-run"]);
    assertEquals([...Deno.readDirSync(disk.path)], []);
    // A restore that may leave zeros for chunks may need less.
    const zeroed = await extract(["--on-error=zero", "-n", store.revision.path, path]);
    assertEquals(zeroed.code, 0, zeroed.stderr);
    assert(messagesOf(zeroed.stderr)[0]?.startsWith(`warning: "${path}" may become too large`));
    const redirected = await extract([store.revision.path], {
      shell: 'exec "$@" >"$OUT"',
      env: { OUT: path },
    });
    assertFailure(redirected, {
      code: TARGET,
      says: [/^Cannot restore to standard output: the image needs \d+ bytes \(33 MiB\), /],
    });
    assertEquals(Deno.statSync(path).size, 0);
  },
);

testUnless(
  mount,
  "A read-only file system is refused, for a new and for an existing file",
  async () => {
    using disk = new Mount("-t", "tmpfs", "tmpfs");
    Deno.writeTextFileSync(`${disk.path}/old`, "old");
    const remount = new Deno.Command("mount", { args: ["-o", "remount,ro", disk.path] });
    assert(remount.outputSync().success);
    await assertRefused(`${disk.path}/old`, "Read-only file system (EROFS)");
    await assertRefused(`${disk.path}/new`, /cannot be written: Read-only file system \(EROFS\)$/);
  },
);

Deno.test("/dev/full fails the restore at its first byte", async () => {
  assertFailure(await extract([store.revision.path, "/dev/full"]), {
    code: TARGET,
    says: [
      'Cannot write "/dev/full" at byte 0: No space left on device (ENOSPC)',
      '"/dev/full" is incomplete',
    ],
  });
});

Deno.test("The limit for file sizes fails the restore instead of killing the process", async () => {
  const limitBytes = 8 * 1_048_576;
  const limit = `ulimit -f ${limitBytes / 1024}`;
  const path = store.file("limited");
  assertFailure(await extract([store.revision.path, path], { shell: `${limit}; exec "$@"` }), {
    code: TARGET,
    says: [
      /^Cannot restore to ".*": it cannot be made \d+ bytes \(.*\) long: File too large \(EFBIG\); its file system or a limit \(ulimit -f\) does not allow it$/,
    ],
  });
  assert(![...Deno.readDirSync(store.file("."))].some(({ name }) => name === "limited"));

  const shell = `${limit}; exec "$@" >"$OUT"`;
  assertFailure(await extract([store.revision.path], { shell, env: { OUT: path } }), {
    code: TARGET,
    says: [
      `Cannot write standard output at byte ${limitBytes}: File too large (EFBIG); its file system ` +
      "or a limit (ulimit -f) does not allow it",
      "standard output is incomplete",
    ],
  });
  assertBytes(Deno.readFileSync(path), store.image.subarray(0, limitBytes));
});

Deno.test("An existing file that cannot be made as long as the image keeps its content", async () => {
  const path = store.file("kept", "old");
  const shell = 'ulimit -f 8192; exec "$@"';
  const outcome = await extract(["-q", store.revision.path, path], { shell });
  assertFailure(outcome, {
    code: TARGET,
    says: [/File too large \(EFBIG\); its file system or a limit \(ulimit -f\) does not allow it$/],
  });
  assertEquals(Deno.readTextFileSync(path), "old");
});

Deno.test("A reader that goes away fails the restore: EPIPE, exit 4, not killed by a signal", async () => {
  const shell = '"$@" | head -c 5000000 >"$OUT"; exit ${PIPESTATUS[0]}';
  const path = store.file("head");
  const outcome = await extract([store.revision.path], { shell, env: { OUT: path } });
  assertFailure(outcome, {
    code: TARGET,
    says: [
      /^Cannot write standard output at byte \d+: Broken pipe \(EPIPE\)$/,
      "standard output is incomplete",
    ],
  });
  assertBytes(Deno.readFileSync(path), store.image.subarray(0, 5_000_000));

  // The same for a FIFO whose reader closes while a worker is in the middle of writing to it.
  const fifo = makeFifo(store.file("fifo"));
  const reader = openIdleReader(fifo);
  await using tool = startExtract([store.revision.path, fifo]);
  await reader.read(new Uint8Array(1));
  reader.close();
  assertFailure(await tool.outcome(), {
    code: TARGET,
    says: [
      /^Cannot write ".*\/fifo" at byte \d+: Broken pipe \(EPIPE\)$/,
      `"${fifo}" is incomplete`,
    ],
  });
});

Deno.test("A closed or full standard error only silences messages", async () => {
  const path = store.file("silent");
  for (const redirection of ["2>&-", "2>/dev/full"]) {
    const outcome = await extract([store.revision.path, path], {
      shell: `exec "$@" ${redirection}`,
    });
    assertSuccess(outcome);
    assertEquals(outcome.stderr, "");
    assertBytes(Deno.readFileSync(path), store.image);
    const refused = await extract([store.revision.path, "/"], {
      shell: `exec "$@" ${redirection}`,
    });
    assertEquals(refused.code, TARGET);
  }
});

Deno.test("--no-sync restores the same image, holes included", async () => {
  const path = store.file("unsynced");
  const outcome = await extract(["--no-sync", store.revision.path, path]);
  assertSuccess(outcome);
  assert(!outcome.stderr.includes("Flushing"), outcome.stderr);
  assertBytes(Deno.readFileSync(path), store.image);
  assert(allocatedBytes(path) < store.image.length - CHUNK_BYTES);
});
