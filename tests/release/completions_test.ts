/**
 * Completions, as the shells themselves make them: they agree with the option tables, and know the
 * revisions of a backup directory, whatever those are called.
 *
 * @module
 */

import { optionsOf } from "../../lib/cli/command.ts";
import { EXTRACT } from "../../lib/cli/extract.ts";
import { FUSE } from "../../lib/cli/fuse.ts";
import type { Option } from "../../lib/cli/option.ts";
import { assert, assertEquals, assertStringIncludes } from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { COMPLETIONS, SHELLS } from "./shells.ts";

const TABLES: readonly (readonly [line: string, options: readonly Option<unknown>[]])[] = [
  EXTRACT,
  ...EXTRACT.commands!,
  FUSE,
  ...FUSE.commands!,
].map((command) => [`${command.name} `, optionsOf(command)]);

/** Odd, but possible. */
const REVISIONS = [
  ...[
    "Nym6uacWoXGb8VnbksM3yH",
    "two words",
    "it's",
    'a "quote"',
    "$(touch pwned)",
    "`touch pwned`",
  ],
  ...["*", "back\\slash", "-dash", "ümlaut"],
];

const SINGLE = ["first", "last", "last(clean)", "last(tag:", "last(trust:verified)"];
const SEVERAL = [
  ...[...SINGLE, "all", "clean", "local", "remote", "tag:"],
  ...["trust:distrusted", "trust:trusted", "trust:verified"],
];

/** A folder with a backup directory, and a folder that is none. */
class Place implements Disposable {
  readonly #scratch = new Scratch();
  readonly path = this.#scratch.path;

  constructor() {
    Deno.mkdirSync(`${this.path}/vm/chunks`, { recursive: true });
    Deno.mkdirSync(`${this.path}/vm two/chunks`, { recursive: true });
    Deno.mkdirSync(`${this.path}/plain`);
    for (const name of REVISIONS) {
      Deno.writeTextFileSync(`${this.path}/vm/${name}`, "");
      Deno.writeTextFileSync(`${this.path}/vm/${name}.rev`, "");
    }
    Deno.writeTextFileSync(`${this.path}/vm two/abc.rev`, "");
  }

  [Symbol.dispose](): void {
    // A name that was run as a command would have left this.
    assertEquals([...Deno.readDirSync(this.path)].map(({ name }) => name).sort(), [
      ...["plain", "vm", "vm two"],
    ]);
    this.#scratch[Symbol.dispose]();
  }
}

for (const { name: shell, problem, syntaxCheck, fileOf, complete } of SHELLS) {
  testUnless(problem, `${shell} reads the completions of both tools`, () => {
    for (const tool of ["backy-extract", "backy-fuse"]) {
      runSync(shell, ...syntaxCheck, COMPLETIONS + fileOf(tool));
    }
  });

  testUnless(problem, `${shell} completes the options of the tables, and no others`, () => {
    using place = new Place();
    for (const [line, options] of TABLES) {
      const names = options.flatMap((
        { short, long },
      ) => [`--${long}`, ...short ? [`-${short}`] : []]);
      assertEquals(complete(`${line}-`, place.path), names.sort(), line);
    }
  });

  testUnless(problem, `${shell} completes the choices of the tables, in each form`, () => {
    using place = new Place();
    for (const [line, options] of TABLES) {
      for (const { short, long, choices } of options) {
        if (choices === undefined) continue;
        const expected = choices.toSorted();
        assertEquals(complete(`${line}--${long}=`, place.path), expected);
        assertEquals(complete(`${line}--${long} `, place.path), expected);
        if (short) assertEquals(complete(`${line}-${short} `, place.path), expected);
        const start = choices[0]!.slice(0, 2);
        const rest = expected.filter((choice) => choice.startsWith(start));
        assertEquals(complete(`${line}--${long}=${start}`, place.path), rest);
      }
    }
  });

  testUnless(
    problem,
    `${shell} completes directories for all options and arguments that name one`,
    () => {
      using place = new Place();
      for (const [line, options] of TABLES) {
        for (const { long, names } of options) {
          if (names === "directory") {
            assertEquals(complete(`${line}--${long} p`, place.path), ["plain"]);
          }
        }
      }
      assertEquals(complete("backy-extract p", place.path), ["plain"]);
      assertEquals(complete("backy-extract list p", place.path), ["plain"]);
      assertEquals(complete("backy-extract check p", place.path), ["plain"]);
      assertEquals(complete("backy-fuse p", place.path), ["plain"]);
    },
  );

  testUnless(
    problem,
    `${shell} completes the revisions of a directory, whatever their names`,
    () => {
      using place = new Place();
      const revisionsIn = (words: readonly string[], prefix = "") =>
        [...new Set([...REVISIONS, ...words])].map((name) => prefix + name).sort();
      const { path } = place;
      assertEquals(complete("backy-extract vm/", path), revisionsIn(SINGLE, "vm/"));
      assertEquals(complete("backy-extract check vm/", path), revisionsIn(SEVERAL, "vm/"));
      assertEquals(complete("backy-extract check vm/last vm/", path), revisionsIn(SEVERAL, "vm/"));
      assertEquals(complete("backy-extract list vm ", path), revisionsIn(SEVERAL));
      assertEquals(complete("backy-extract vm -r ", path), revisionsIn(SINGLE));
      assertEquals(complete("backy-extract check vm --revision ", path), revisionsIn(SEVERAL));
      assertEquals(complete("backy-extract vm/last --base ", path), revisionsIn(SINGLE));
      assertEquals(complete("backy-extract vm/Ny", path), ["vm/Nym6uacWoXGb8VnbksM3yH"]);
      assertEquals(complete("backy-extract -t4 --sparse=auto vm/Ny", path), [
        "vm/Nym6uacWoXGb8VnbksM3yH",
      ]);
      assertEquals(complete("backy-extract plain/", path), []);
    },
  );

  testUnless(problem, `${shell} completes behind a directory in quotes`, () => {
    using place = new Place();
    const complain = "vm two/abc";
    assertEquals(complete("backy-extract vm\\ two/a", place.path), [complain]);
    assertEquals(complete("backy-extract 'vm two/a", place.path), [complain]);
    assertEquals(complete('backy-extract "vm two/a', place.path), [complain]);
  });

  testUnless(problem, `${shell} offers the commands, where they can stand`, () => {
    using place = new Place();
    const commands = EXTRACT.commands!.map(({ kind }) => kind);
    assertEquals(
      complete("backy-extract ", place.path),
      [...commands, "plain", "vm", "vm two"].sort(),
    );
    for (const command of ["list", "check"]) assert(commands.includes(command), command);
    assertEquals(complete("backy-extract lis", place.path), ["list"]);
    assertEquals(complete("backy-extract -q lis", place.path), []);
  });
}

testUnless(
  programProblem("bash", "script"),
  "bash quotes what it inserts, on a terminal",
  async () => {
    using place = new Place();
    const lines = [
      `cd '${place.path}'; . '${COMPLETIONS}backy-extract.bash'`,
      "backy-extract() { printf '<%s>' \"$@\"; echo; }",
      ...["backy-extract vm\\ two/a\t", "backy-extract vm/tw\t", "backy-extract vm/it\t"],
      ...["backy-extract vm/\\$\t", "backy-extract --spar\tal\tvm/Ny\tout"],
      ...["backy-extract --sparse=al\tvm/last out", "backy-extract check vm/trust:d\t"],
      ...["backy-extract vm/last\\(tr\t", "exit", ""],
    ];
    // The limit is around the terminal: within, timeout(1) would put bash into the background of it
    // unless script(1)'s shell happens to `exec`, and there bash stops itself for ever. `exec`, so
    // that bash is in the foreground with any shell.
    const child = new Deno.Command("timeout", {
      args: ["30", "script", "-qec", "exec bash --norc --noprofile -i", "/dev/null"],
      stdin: "piped",
      stdout: "piped",
      env: { TERM: "dumb", HISTFILE: "", PS1: "" },
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(lines.join("\n")));
    await writer.close();
    const { stdout } = await child.output();
    const screen = new TextDecoder().decode(stdout);
    const printed = [
      ...["<vm two/abc>", "<vm/two words>", "<vm/it's>", "<vm/$(touch pwned)>"],
      ...["<--sparse><always><vm/Nym6uacWoXGb8VnbksM3yH><out>", "<--sparse=always><vm/last><out>"],
      ...["<check><vm/trust:distrusted>", "<vm/last(trust:verified)>"],
    ];
    for (const words of printed) assertStringIncludes(screen, `${words}\r\n`);
  },
);
