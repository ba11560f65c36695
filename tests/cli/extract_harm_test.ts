import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import { lockMounts } from "../support/mount_lock.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  makeFifo,
  Mount,
  mountProblem,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import {
  assertFailure,
  assertSuccess,
  extract,
  extractOnTerminal,
  messagesOf,
  parseJsonLines,
} from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
let other: SampleStore;
Deno.test.beforeAll(() => {
  store = new SampleStore();
  other = new SampleStore();
});
Deno.test.afterAll(() => {
  store[Symbol.dispose]();
  other[Symbol.dispose]();
});

const TARGET = 4, USAGE = 2;
const CLASH = "standard error goes to it too, and messages would end up in the image; " +
  "send them elsewhere (2>FILE)";

Deno.test("A file of another backup directory is refused as a target, and untouched", async () => {
  const reason = `it lies in the backup directory "${Deno.realPathSync(other.basedir)}"`;
  const says = (output: string) => [
    `Cannot restore to "${output}": ${reason} (--force overrides this)`,
  ];
  const symbolic = store.file("link-to-other");
  Deno.symlinkSync(`${other.basedir}/last`, symbolic);
  const files = [
    other.revision.path,
    `${other.basedir}/last`,
    `${other.revision.path}.rev`,
    `${other.basedir}/chunks/store`,
    other.chunkFileAt(0),
    `${other.basedir}/.purge`,
    symbolic,
  ];
  for (const file of files) {
    const before = Deno.readFileSync(file);
    const outcome = await extract([store.revision.path, file]);
    assertFailure(outcome, { code: TARGET, says: says(file) });
    assertBytes(Deno.readFileSync(file), before);
  }
  const fresh = `${other.basedir}/new`;
  assertFailure(await extract(["-n", store.revision.path, fresh]), {
    code: TARGET,
    says: says(fresh),
  });
  const redirected = await extract([store.revision.path], {
    shell: 'exec "$@" >>"$OUT"',
    env: { OUT: other.revision.path },
  });
  assertFailure(redirected, {
    code: TARGET,
    says: [`Cannot restore to standard output: ${reason} (--force overrides this)`],
  });
  const forced = await extract(["--force", store.revision.path, fresh]);
  assertSuccess(forced, { says: [`warning: "${fresh}" is written although ${reason}`] });
  assertBytes(Deno.readFileSync(fresh), store.image);
  Deno.removeSync(fresh);
});

Deno.test("A report is refused inside a backup and where messages go", async () => {
  const refused = async (report: string, state: string, shell?: string) => {
    const args = ["--on-error=zero", "--report", report, store.revision.path, store.file("image")];
    const outcome = await extract(args, shell === undefined ? {} : { shell, env: { R: report } });
    assertEquals(outcome.code, USAGE, outcome.stderr);
    return assertEquals(
      messagesOf(outcome.stderr === "" ? Deno.readTextFileSync(report) : outcome.stderr),
      [`Cannot use option "--report": "${report}": ${state}`],
    );
  };
  for (const { basedir } of [store, other]) {
    const state = `it lies in the backup directory "${
      Deno.realPathSync(basedir)
    }"; name another file`;
    for (const name of ["chunks/00/x", "NEW.rev", ".purge"]) {
      Deno.mkdirSync(`${basedir}/chunks/00`, { recursive: true });
      await refused(`${basedir}/${name}`, state);
      await refused(`${basedir}/${name}`, state, '"$@" --force');
    }
  }
  // A step may have been told by then.
  const report = store.file("report", "");
  await refused(report, "standard output goes to it", 'exec "$@" >"$R"');
  await refused(report, "standard error goes to it", 'exec "$@" 2>"$R" -q');
});

testUnless(
  programProblem("python3"),
  "A file locked by a virtual machine is refused, and written with --force",
  async () => {
    const path = store.file("running.img", "precious");
    // A read lock of an open file description, on one byte far behind the file's end, as qemu takes
    // them. F_OFD_SETLK is 37.
    const lock = 'file = open(sys.argv[1], "rb+"); fcntl.fcntl(file, 37, struct.pack("hhqqi4x", ' +
      'fcntl.F_RDLCK, 0, 1 << 40, 1, 0)); print("locked", flush=True); sys.stdin.read()';
    const holder = new Deno.Command("python3", {
      args: ["-c", `import fcntl, struct, sys; ${lock}`, path],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    try {
      const reader = holder.stdout.getReader();
      let said = "";
      while (!said.endsWith("\n")) said += new TextDecoder().decode((await reader.read()).value);
      await reader.cancel();
      const lockReason =
        "another program holds a lock on it, as on the disk of a running virtual machine";
      const writerReason = `it is open for writing by pid ${holder.pid} (`;
      const refused = await extract([store.revision.path, path]);
      const [message = ""] = messagesOf(refused.stderr);
      assertFailure(refused, { code: TARGET, says: [message] });
      assert(
        message.startsWith(`Cannot restore to "${path}": ${lockReason}, ${writerReason}`),
        message,
      );
      assert(message.endsWith(") (--force overrides this)"), message);
      assertEquals(Deno.readTextFileSync(path), "precious");
      const forced = await extract(["-f", store.revision.path, path]);
      assertEquals([forced.code, messagesOf(forced.stderr).length], [0, 2], forced.stderr);
      assertBytes(Deno.readFileSync(path), store.image);
    } finally {
      await holder.stdin.close();
      await holder.status;
    }
  },
);

testUnless(
  programProblem("unshare") ?? loopDeviceProblem() ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "Without /sys a mounted device and a loop device's file are refused all the same",
  async () => {
    using _lock = lockMounts("alone");
    using device = new LoopDevice(8 * 1_048_576);
    runSync("mkfs.ext4", "-q", device.path);
    using mount = new Mount(device.path);
    for (
      const [output, reason] of [
        [device.path, `it is mounted at "${mount.path}"`],
        [device.backing, `it is behind the loop device "${device.path}"`],
      ] as const
    ) {
      const outcome = await extract([store.revision.path, output], {
        shell: `exec unshare -m --propagation private sh -c 'umount -l /sys; exec "$@"' sh "$@"`,
      });
      assertFailure(outcome, {
        code: TARGET,
        says: [`Cannot restore to "${output}": ${reason} (--force overrides this)`],
      });
    }
  },
);

/** Runs a restore with standard output and standard error on one file. */
const onOneFile = (path: string, redirection: string, args: readonly string[] = []) =>
  extract([...args, store.revision.path], {
    shell: `exec "$@" ${redirection}`,
    env: { OUT: path },
  });

Deno.test("Standard output and standard error on one file: refused in one line, an old file untouched", async () => {
  const path = store.file("both");
  const line = `backy-extract: Cannot restore to standard output: ${CLASH}\n`;
  for (const args of [[], ["-q"], ["-n"], ["--format=rbd-diff"]]) {
    const { code } = await onOneFile(path, '>"$OUT" 2>&1', args);
    assertEquals([code, Deno.readTextFileSync(path)], [TARGET, line]);
  }
  assertEquals((await onOneFile(path, '2>"$OUT" 1>&2')).code, TARGET);
  const json = await onOneFile(path, '>"$OUT" 2>&1', ["--json"]);
  const [error, ...rest] = parseJsonLines(Deno.readTextFileSync(path));
  assertEquals([json.code, error?.type, error?.code, rest.length], [TARGET, "error", "target", 0]);
  assertEquals(error?.incompleteTarget, null);

  Deno.writeTextFileSync(path, "precious");
  for (const redirection of ['>>"$OUT" 2>&1', '1<>"$OUT" 2>&1']) {
    // Without a terminal there is nowhere to print.
    const { code } = await extract([store.revision.path], {
      shell: `exec setsid -w "$@" ${redirection}`,
      env: { OUT: path },
    });
    assertEquals([code, Deno.readTextFileSync(path)], [TARGET, "precious"]);
  }
});

Deno.test("Standard output and standard error on one pipe: refused in one line", async () => {
  const { stdout, stderr, code } = await extract([store.revision.path], {
    shell: 'exec "$@" 2>&1',
  });
  const text = new TextDecoder().decode(stdout);
  assertEquals([code, stderr], [TARGET, ""]);
  assertEquals(text, `backy-extract: Cannot restore to standard output: ${CLASH}\n`);
});

Deno.test("A target that standard error leads to is refused, and untouched", async () => {
  const path = store.file("named", "precious");
  Deno.symlinkSync(path, store.file("link-to-named"));
  for (const output of [path, store.file("link-to-named"), "/dev/stderr"]) {
    const { code } = await extract([store.revision.path, output], {
      shell: 'exec setsid -w "$@" 2>>"$OUT"',
      env: { OUT: path },
    });
    assertEquals([code, Deno.readTextFileSync(path)], [TARGET, "precious"]);
  }
  const fifo = makeFifo(store.file("fifo-of-both"));
  const { stdout, code } = await extract([store.revision.path, fifo], {
    shell: 'timeout 20 cat "$OUT" & exec "$@" 2>"$OUT"',
    env: { OUT: fifo },
  });
  assertEquals(code, TARGET);
  assertEquals(
    new TextDecoder().decode(stdout),
    `backy-extract: Cannot restore to "${fifo}": ${CLASH}\n`,
  );
});

testUnless(
  programProblem("script", "stty"),
  "A target that keeps its content: the refusal goes to the terminal instead",
  async () => {
    const path = store.file("appended", "precious");
    const { code, screen } = await extractOnTerminal([store.revision.path], {
      redirection: '>>"$OUT" 2>&1',
      env: { OUT: path },
    });
    assertEquals([code, Deno.readTextFileSync(path)], [TARGET, "precious"]);
    assertMatch(screen, /^backy-extract: Cannot restore to standard output: standard error goes/m);
  },
);

testUnless(
  loopDeviceProblem(),
  "Standard output and standard error on one device: nothing is written",
  async () => {
    using device = new LoopDevice(65_536);
    for (const args of [[], [device.path]]) {
      const { code } = await extract([store.revision.path, ...args], {
        shell: 'exec setsid -w "$@" >"$OUT" 2>&1',
        env: { OUT: device.path },
      });
      assertEquals(code, TARGET);
      assert(isFilled(device.read(), 0xaa));
    }
  },
);

Deno.test("Standard error may go to a place that keeps nothing, or to another file", async () => {
  for (const redirection of [">/dev/null 2>&1", '>"$OUT" 2>/dev/null', '>"$OUT" 2>"$OUT.log"']) {
    assertSuccess(await onOneFile(store.file("apart"), redirection));
  }
  assertBytes(Deno.readFileSync(store.file("apart")), store.image);
  const outcome = await extract([store.revision.path, store.file("by name")], {
    shell: 'exec "$@" >"$OUT" 2>&1',
    env: { OUT: store.file("log") },
  });
  assertEquals(outcome.code, 0);
  assertMatch(Deno.readTextFileSync(store.file("log")), /^Restored 33\.0 MiB/m);
  const list = await extract(["list", "--json", store.basedir], {
    shell: 'exec "$@" >"$OUT" 2>&1',
    env: { OUT: store.file("list") },
  });
  assertEquals(list.code, 0);
});
