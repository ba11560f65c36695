import { isFileAt } from "../../lib/linux/file_status.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { makeFifo, openIdleReader, testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { survivesUsr1 } from "../support/tool.ts";
import { pause, until } from "../support/wait.ts";
import { assertSuccess, extract, extractOnTerminal, startExtract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

const problem = programProblem("script", "stty");
if (problem !== null) {
  // deno-lint-ignore no-console
  console.log(`ignored: tests on a terminal: ${problem}`);
}

const SUMMARY =
  /^Restored 33\.0 MiB in \S+ s \(\S+ \wiB\/s\): 9 chunks, 3 of them zero, 4 distinct decoded and verified$/;

// deno-lint-ignore no-control-regex
const ESCAPES = /\x1b\[[0-9;]*[A-Za-z]/g;

// deno-lint-ignore no-control-regex
const COLOURS = /\x1b\[[0-9;]*m/;

function hasAny(text: string, characters: string): boolean {
  return [...characters].some((character) => text.includes(character));
}

/** What is drawn on each line of the screen, redrawings apart, colours and line ends removed. */
function drawingsOf(screen: string): string[] {
  return screen.replaceAll(ESCAPES, "").split(/[\r\n]+/).filter((text) => text !== "");
}

Deno.test("Without a terminal the steps and the summary are plain lines", async () => {
  const { path } = store.revision;
  const target = store.file("plain");
  const outcome = await extract(["-t3", path, target], { env: { NO_COLOR: "" } });
  assertSuccess(outcome);
  const lines = outcome.stderr.trimEnd().split("\n");
  assertEquals(lines.slice(0, -1), [
    "Obtaining purge lock",
    "Loading revision map",
    `Restoring SampleRevision (33.0 MiB, 4 distinct chunks) to "${target}" with 3 workers`,
    "Flushing",
  ]);
  assertMatch(lines.at(-1)!, SUMMARY);
  assert(!hasAny(outcome.stderr, "\x1b\r"), outcome.stderr);
  assertEquals(outcome.stdout.length, 0);
});

Deno.test("-q is silent on success, but says what went wrong", async () => {
  const quiet = await extract(["-q", store.revision.path, store.file("quiet")]);
  assertEquals([quiet.code, quiet.stderr, quiet.stdout.length], [0, "", 0]);
  const failed = await extract(["--quiet", store.revision.path, "/"]);
  assertEquals(failed.stderr, 'backy-extract: Cannot restore to "/": it is a directory\n');
});

testUnless(
  problem,
  "On a terminal a bar is drawn in place, in colour, and removed at the end",
  async () => {
    const { code, screen } = await extractOnTerminal([store.revision.path, store.file("bar")]);
    assertEquals(code, 0, screen);
    // On a busy machine the map has a bar, too.
    const bar = drawingsOf(screen).find((text) => /Restoring .*\[/.test(text));
    assertMatch(bar ?? "", /^[|/\\-] Restoring +\d+\.\d% \[[=>]+ *\] .*ETA +\S+$/);
    assert(screen.includes("\r\x1b[K"), screen);
    assert(screen.includes("\x1b[32m"), screen);
    assertMatch(screen, new RegExp(`\\r\\x1b\\[KFlushing\r\n`));
    assertMatch(drawingsOf(screen).at(-1)!, SUMMARY);
  },
);

testUnless(problem, "The bar fits the terminal's width", async () => {
  for (const columns of [20, 60, 80, 200]) {
    const options = { columns };
    const { code, screen } = await extractOnTerminal(
      ["--no-sync", store.revision.path, "/dev/null"],
      options,
    );
    assertEquals(code, 0, screen);
    const bars = drawingsOf(screen).filter((text) => /^[|/\\-] .*%/.test(text));
    assert(bars.length > 0, screen);
    for (const bar of bars) assert(bar.length < columns, `${columns} columns: ${bar}`);
    assertEquals(bars[0]!.includes("["), columns >= 60, bars[0]);
  }
});

testUnless(
  problem,
  "NO_COLOR leaves the bar and takes the colours; a dumb terminal gets plain lines",
  async () => {
    const args = [store.revision.path, "/dev/null"];
    const plain = await extractOnTerminal(args, { env: { NO_COLOR: "1" } });
    assert(plain.screen.includes("\r\x1b[K"), plain.screen);
    assert(!COLOURS.test(plain.screen), plain.screen);
    const dumb = await extractOnTerminal(args, { env: { TERM: "dumb" } });
    assert(!dumb.screen.includes("\x1b"), dumb.screen);
    assertMatch(drawingsOf(dumb.screen).at(-1)!, SUMMARY);
  },
);

testUnless(
  problem,
  "The image goes to standard output while the bar is drawn on the terminal",
  async () => {
    const path = store.file("piped");
    const { code, screen } = await extractOnTerminal([store.revision.path], {
      redirection: `>'${path}'`,
    });
    assertEquals(code, 0, screen);
    assert(screen.includes("to standard output with"), screen);
    assertEquals(Deno.statSync(path).size, store.image.length);
  },
);

testUnless(problem, "-q draws nothing on a terminal", async () => {
  const { code, screen } = await extractOnTerminal(["-q", store.revision.path, "/dev/null"]);
  assertEquals([code, screen], [0, ""]);
});

testUnless(problem, "The bar moves while the target is slow, from the start", async () => {
  const fifo = makeFifo(store.file("slow"));
  using reader = openIdleReader(fifo);
  const running = extractOnTerminal([store.revision.path, fifo]);
  const piece = new Uint8Array(CHUNK_BYTES);
  let left = store.image.length;
  for (let read = 0; left > 0; left -= read) {
    // Four stops of three tenths of a second each.
    if (left > store.image.length - 4 * 65_536) await pause(300);
    read = await reader.read(piece.subarray(0, left > 32_000_000 ? 65_536 : piece.length)) ?? 0;
  }
  const { code, screen } = await running;
  assertEquals(code, 0, screen);
  const drawings = new Set(drawingsOf(screen).filter((text) => /^[|/\\-] /.test(text)));
  assert(drawings.size >= 2, screen);
});

Deno.test("Without a terminal a slow restore says every ten seconds how far it is", async () => {
  const fifo = makeFifo(store.file("very-slow"));
  using reader = openIdleReader(fifo);
  await using tool = startExtract([store.revision.path, fifo]);
  const image = new Uint8Array(store.image.length);
  let at = 0;
  while (at < 2.5 * CHUNK_BYTES) at += (await reader.read(image.subarray(at)))!;
  await tool.untilSaid("Restoring: ");
  while (at < image.length) at += (await reader.read(image.subarray(at)))!;
  const outcome = await tool.outcome();
  assertSuccess(outcome);
  assertMatch(
    outcome.stderr,
    /^Restoring: \d+\.\d%, \d+ MiB of 33\.0 MiB, .*\/s, \S+ elapsed, \S+ left$/m,
  );
});

/** Adds revisions with everything that a list can show, and names as long as uuids. */
function addMixed(other: SampleStore): void {
  const day = (number: number) => ({ timestamp: `2026-01-${number} 12:00:00+00:00` });
  other.add("Nym6uacWoXGb8VnbksM3yH", ["zero"], {
    ...day(12),
    tags: ["daily", "weekly", "monthly"],
  });
  other.add("Unf6uacWoXGb8VnbksM3yH", [], { ...day(13), isComplete: false, trust: "distrusted" });
  other.add("Rem6uacWoXGb8VnbksM3yH", [], {
    ...day(14),
    server: "a-backup-server-with-a-long-name.example.org",
    tags: ['"\\e[2J\\a\\u202e"'],
  });
  Deno.removeSync(`${other.basedir}/Rem6uacWoXGb8VnbksM3yH`);
}

testUnless(problem, "A list fits the terminal with dates and names whole", async () => {
  using other = new SampleStore();
  addMixed(other);
  for (const columns of [80, 100, 200]) {
    const options = { columns, env: { TZ: "America/Argentina/ComodRivadavia" } };
    const { code, screen } = await extractOnTerminal(["list", other.basedir], options);
    assertEquals(code, 0, screen);
    assert(!hasAny(screen, "\x1b\x07\u202e"), screen);
    const lines = screen.split("\r\n");
    const rows = lines.filter((line) => !line.startsWith("    "));
    assertEquals(rows.length, 7, screen);
    for (const line of lines) assert([...line].length <= columns, `${columns}: ${line}`);
    assertMatch(lines[0]!, /^Date \(Americ/);
    for (const name of ["Nym", "Unf", "Rem"]) {
      assertMatch(screen, new RegExp(`^2026-01-1\\d 09:00 +${name}6uacWoXGb8VnbksM3yH  `, "m"));
    }
    assertEquals(lines.at(-2), "4 revisions, 1 of them not usable here");
  }
});

testUnless(
  problem,
  "The table of gaps fits a terminal of 80 columns, after the bar is gone",
  async () => {
    await store.withDamage(store.chunkFileAt(3), () => {}, async () => {
      const args = ["--on-error=zero", store.revision.path, store.file("gaps")];
      const { code, screen } = await extractOnTerminal(args);
      assertEquals(code, 3, screen);
      const lines = drawingsOf(screen);
      assertMatch(lines.at(-4)!, /^ *Offset +Length +Chunk +Reason$/);
      assertMatch(lines.at(-2)!, /^29360128 {2}4194304 {2}[0-9a-f]{32} {2}missing$/);
      assertMatch(
        lines.at(-1)!,
        /lost and filled with zeros; --update --also DIR puts good copies there$/,
      );
      assertMatch(lines.at(-5)!, /^Restored 25\.0 MiB of 33\.0 MiB in /);

      const check = await extractOnTerminal(["check", store.revision.path]);
      assertEquals(check.code, 3, check.screen);
      const shown = drawingsOf(check.screen);
      const at = shown.findIndex((line) => line.startsWith("Revision "));
      const table = shown.slice(at);
      assertMatch(table[3]!, /^SampleRevision {2}29360128 {2}4194304 {2}missing$/);
      assertEquals(table[4], `    ${store.chunkFileAt(3)}`);
      const state = table.findIndex((line) => line.includes("damaged"));
      assertMatch(table[state]!, /^SampleRevision {2}damaged +8 MiB +33.0 MiB +24.2% +1$/);
      assertEquals(table[state + 1], `    ${store.revision.path}`);
      assertMatch(
        table[state + 2]!,
        /^Checked 4 distinct chunks of 1 revision in .*: 1 chunk damaged, 0 of 1 revision intact$/,
      );
    });
  },
);

testUnless(
  problem,
  "SIGUSR1 prints a status line above the bar, which is drawn again",
  async () => {
    const target = store.file("asked");
    const args = ["-t1", "--bwlimit=700KiB", store.revision.path, target];
    // The shell that script(1) starts becomes the tool; its pid is written where it can be found.
    const pidFile = store.file("pid");
    const running = extractOnTerminal(args, { prelude: `echo $$ >'${pidFile}'` });
    const readPid = () => {
      try {
        return Number(Deno.readTextFileSync(pidFile));
      } catch {
        return 0;
      }
    };
    await until(() => readPid() > 0 && survivesUsr1(readPid()), "the tool's start");
    await until(() => isFileAt(target), "the restore");
    // Some drawings of the bar.
    await pause(1200);
    Deno.kill(readPid(), "SIGUSR1");
    const { code, screen } = await running;
    assertEquals(code, 0, screen);
    assert(screen.includes("\r\x1b[KRestoring: "), screen);
    const status = /(Restoring: \d+\.\d%, .* of 33\.0 MiB, [^\r]* elapsed, [^\r]* left)\r\n/;
    assertMatch(screen, status);
    const [, after = ""] = screen.split(status).slice(1);
    assertMatch(after, /Restoring +\d+\.\d% \[/);
    assertEquals(screen.match(/ elapsed, /g)?.length, 1, screen);
  },
);

testUnless(problem, "Hostile names cannot send control sequences to the terminal", async () => {
  const cwd = store.file("hostile");
  Deno.mkdirSync(cwd);
  const name = "x\x1b]0;title\x07\n\u202ey";
  const { code, screen } = await extractOnTerminal(["-q", `${store.basedir}/${name}`, "y"], {
    cwd,
  });
  assertEquals(code, 10, screen);
  assert(!hasAny(screen, "\x1b\x07\u202e"), screen);
  assertEquals(drawingsOf(screen).length, 1, screen);
});
