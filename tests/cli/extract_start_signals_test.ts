/**
 * Signals that were ignored when the tool was started, a terminal that ends, and SIGUSR1 at any
 * time.
 */

import { assert, assertEquals } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { makeFifo, openIdleReader, testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { askUntilSaid, EXTRACT, RunningTool, survivesUsr1 } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import { parseJsonLines, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const problem = programProblem("script", "setsid", "nohup");
let count = 0;

/** A FIFO to restore to, whose reader takes the image when it is asked to. */
class HeldTarget implements Disposable {
  readonly path = makeFifo(store.file(`held ${++count}`));
  readonly #reader = openIdleReader(this.path);

  /** Waits until something was written, that is, until the restore has begun. */
  async untilBegun(): Promise<void> {
    const reading = this.#reader.read(this.#image).then((bytes) => void (this.#first = bytes ?? 0));
    await until(() => this.#first > 0, "the first bytes");
    await reading;
  }

  #image = new Uint8Array(store.image.length);
  #first = 0;

  /** Takes the rest, and asserts that the whole is the image. */
  async assertRestored(): Promise<void> {
    let at = this.#first;
    const reading = (async () => {
      while (at < this.#image.length) at += (await this.#reader.read(this.#image.subarray(at)))!;
    })();
    // What has ended too early is not seen here: the FIFO is open for writing, too.
    await until(() => at === this.#image.length, "the whole image");
    await reading;
    assertBytes(this.#image, store.image);
  }

  [Symbol.dispose](): void {
    this.#reader.close();
  }
}

/** Runs a bash script on a new terminal, which ends when the returned process is killed. */
function onTerminal(script: string, variables: Record<string, string>): RunningTool {
  const words = EXTRACT.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  // When the terminal ends, the kernel sends SIGHUP to the first shell, and when that has ended, to
  // all in the foreground.
  const env = { SHELL: "/bin/bash", INNER: `tool=(${words}); ${script}`, ...variables };
  return new RunningTool(["script", "-qec", 'bash -c "$INNER"; exit', "/dev/null"], { env });
}

function readNumber(path: string): number {
  try {
    return Number(Deno.readTextFileSync(path));
  } catch {
    return 0;
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

testUnless(problem, "A restore under nohup goes on when its terminal ends", async () => {
  using target = new HeldTarget();
  const pids = [store.file("nohup.pid"), store.file("other.pid"), store.file("nohup.code")];
  // The other process shows that the hangup was sent.
  await using terminal = onTerminal(
    `(nohup "\${tool[@]}" -q "$REV" "$OUT" >/dev/null 2>&1 & echo $! >"$P1"
      trap "" HUP; wait $!; echo $? >"$P3") &
    sleep 60 & echo $! >"$P2"; wait`,
    { REV: store.revision.path, OUT: target.path, P1: pids[0]!, P2: pids[1]!, P3: pids[2]! },
  );
  await target.untilBegun();
  await until(() => readNumber(pids[0]!) > 0 && readNumber(pids[1]!) > 0, "both processes");
  terminal.signal("SIGKILL");
  await until(() => !isRunning(readNumber(pids[1]!)), "the end of the other process");
  Deno.kill(readNumber(pids[0]!), "SIGHUP");
  await target.assertRestored();
  await until(() => !isRunning(readNumber(pids[0]!)), "the end of the restore");
  await until(() => readText(pids[2]!) !== "", "its exit code");
  assertEquals(readText(pids[2]!), "0\n");
});

testUnless(
  problem,
  "A restore whose terminal ends says that the target is incomplete, and exits with 129",
  async () => {
    using target = new HeldTarget();
    const [code, said] = [store.file("hangup.code"), store.file("hangup.json")];
    // A shell that catches the signal waits for its child, which has the default.
    await using terminal = onTerminal(
      `trap : HUP; { "\${tool[@]}" --json "$REV" "$OUT"; } 2> >(trap "" HUP; cat >"$SAID"); echo $? >"$CODE"`,
      { REV: store.revision.path, OUT: target.path, SAID: said, CODE: code },
    );
    await target.untilBegun();
    terminal.signal("SIGKILL");
    await until(() => readText(code) !== "", "its exit code");
    assertEquals(readText(code), "129\n");
    await until(() => readText(said).includes(`"type":"error"`), "the error");
    const { type, time: _, ...error } = parseJsonLines(readText(said)).at(-1)!;
    assertEquals(type, "error");
    assertEquals(error, {
      message: "Interrupted by SIGHUP",
      code: "interrupted",
      exitCode: 129,
      notes: [`"${target.path}" is incomplete`],
      signal: "SIGHUP",
      incompleteTarget: target.path,
    });
  },
);

testUnless(
  problem,
  "A restore whose standard error is a terminal that has ended exits with 129 all the same",
  async () => {
    using target = new HeldTarget();
    const code = store.file("gone.code");
    await using terminal = onTerminal(
      `trap : HUP; "\${tool[@]}" "$REV" "$OUT"; echo $? >"$CODE"`,
      { REV: store.revision.path, OUT: target.path, CODE: code },
    );
    await target.untilBegun();
    terminal.signal("SIGKILL");
    await until(() => readText(code) !== "", "its exit code");
    assertEquals(readText(code), "129\n");
  },
);

testUnless(problem, "check whose terminal ends exits with 129", async () => {
  const code = store.file("check.code");
  // At this rate it takes minutes.
  await using terminal = onTerminal(
    `trap : HUP; "\${tool[@]}" check --bwlimit 64KiB "$REV"; echo $? >"$CODE"`,
    { REV: store.revision.path, CODE: code },
  );
  await until(() => terminal.hasEnded || isShown(terminal), "the check");
  terminal.signal("SIGKILL");
  await until(() => readText(code) !== "", "its exit code");
  assertEquals(readText(code), "129\n");

  /**
   * Whether a child of the terminal's shell listens to SIGHUP and to SIGUSR1, as it does once it
   * runs.
   */
  function isShown({ pid }: RunningTool): boolean {
    const shells = childrenOf(pid).flatMap(childrenOf);
    return shells.flatMap(childrenOf).some((tool) => {
      const caught = readText(`/proc/${tool}/status`).match(/^SigCgt:\s*([0-9a-f]+)$/m)?.[1];
      return (BigInt(`0x${caught ?? "0"}`) & 0x201n) === 0x201n;
    });
  }
});

function childrenOf(pid: number): number[] {
  return readText(`/proc/${pid}/task/${pid}/children`).split(" ").filter((id) => id !== "")
    .map(Number);
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

testUnless(
  problem,
  "A restore in a session without a terminal goes on when nobody reads its messages any more",
  async () => {
    using target = new HeldTarget();
    // As by ssh without a terminal, when the connection breaks: all three are pipes whose other end
    // is gone.
    const shell = 'exec 3<"$GONE" 4>"$GONE" 3<&-; exec setsid "$@" <"$GONE" 2>&4';
    const gone = makeFifo(store.file("gone"));
    using hold = openIdleReader(gone);
    await using tool = startExtract([store.revision.path, target.path], {
      shell,
      env: { GONE: gone },
    });
    await target.untilBegun();
    hold.close();
    tool.signal("SIGUSR1");
    await target.assertRestored();
    assertEquals((await tool.outcome()).code, 0);
  },
);

for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} that was ignored at the start stays ignored`, async () => {
    using target = new HeldTarget();
    await using tool = startExtract([store.revision.path, target.path], {
      shell: `trap "" ${signal}; exec "$@"`,
    });
    await target.untilBegun();
    tool.signal(signal);
    // Who answers is alive, and has seen the signal before this one.
    await askUntilSaid(tool, /^Restoring: /m);
    await target.assertRestored();
    const { code, stderr } = await tool.outcome();
    assertEquals(code, 0, stderr);
    assert(!stderr.includes("Interrupted"), stderr);
  });
}

Deno.test("A background job of a script, which ignores SIGINT, goes on at a Ctrl-C", async () => {
  using target = new HeldTarget();
  const pid = store.file("background.pid");
  await using tool = startExtract(["-q", store.revision.path, target.path], {
    shell: '"$@" & echo $! >"$PID"; wait $!',
    env: { PID: pid },
  });
  await target.untilBegun();
  Deno.kill(readNumber(pid), "SIGINT");
  Deno.kill(readNumber(pid), "SIGQUIT");
  await target.assertRestored();
  assertEquals((await tool.outcome()).code, 0, tool.said);
});

for (
  const [name, args] of [
    ["--help", () => ["--help"]],
    ["list", () => ["list", store.basedir]],
    ["check", () => ["check", store.revision.path]],
    ["a restore", () => ["-q", store.revision.path, "/dev/null"]],
    ["a usage error", () => ["--nothing"]],
  ] as const
) {
  Deno.test(`SIGUSR1 does not end ${name}, from the first to the last moment`, async () => {
    for (let round = 0; round < 3; round++) {
      await using tool = startExtract(args());
      // Before that it is the runtime's start, or still another program, which the signal ends.
      await until(() => tool.hasEnded || survivesUsr1(tool.pid), "the tool's start");
      let sent = 0;
      while (!tool.hasEnded) {
        tool.signal("SIGUSR1");
        sent++;
        await pause(1);
      }
      const { code, signal, stderr } = await tool.outcome();
      assertEquals([code, signal], [name === "a usage error" ? 2 : 0, null], stderr);
      assert(sent > 0);
    }
  });
}
