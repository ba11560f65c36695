import { assert, assertEquals, assertThrows } from "../assert.ts";
import { chooseDisplay, openSink, writeFully } from "../../lib/cli/terminal.ts";

Deno.test("chooseDisplay() redraws on terminals that can, in colour unless NO_COLOR is set", () => {
  const choose = (isTerminal: boolean, term?: string, noColor?: string) => {
    const { canRedraw, color } = chooseDisplay({ isTerminal, term, noColor });
    return [canRedraw, color];
  };
  assertEquals(choose(true, "xterm"), [true, true]);
  assertEquals(choose(true), [true, true]);
  assertEquals(choose(true, "xterm", "1"), [true, false]);
  assertEquals(choose(true, "xterm", ""), [true, true]);
  assertEquals(choose(true, "dumb"), [false, false]);
  assertEquals(choose(false, "xterm"), [false, false]);
  assert(chooseDisplay({ isTerminal: true, term: "xterm", noColor: undefined }).columns() > 0);
});

Deno.test("writeFully() goes on after partial writes and waits out a blocked terminal", () => {
  const text = "Grüße, 日本\n";
  const bytes: number[] = [];
  let calls = 0;
  const writer = {
    writeSync(data: Uint8Array) {
      if (++calls % 3 === 0) throw new Deno.errors.WouldBlock("busy");
      bytes.push(...data.subarray(0, 2));
      return Math.min(2, data.length);
    },
  };
  writeFully(writer, text);
  assertEquals(new TextDecoder().decode(new Uint8Array(bytes)), text);
});

Deno.test("writeFully() throws when writing fails or stays blocked", () => {
  for (const ErrorClass of [Deno.errors.BrokenPipe, Deno.errors.WouldBlock]) {
    const writer = {
      writeSync(): number {
        throw new ErrorClass("no");
      },
    };
    assertThrows(() => writeFully(writer, "x"), ErrorClass);
  }
});

Deno.test("openSink() falls silent only once its file is broken", () => {
  const failures: Error[] = [new Deno.errors.BrokenPipe("gone")];
  let calls = 0;
  const writer = {
    writeSync(data: Uint8Array) {
      calls++;
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return data.length;
    },
  };
  const broken = openSink(writer);
  broken("a");
  broken("b");
  assertEquals(calls, 1);

  calls = 0;
  failures.push(...Array.from({ length: 21 }, () => new Deno.errors.WouldBlock("busy")));
  const blocked = openSink(writer);
  blocked("a");
  blocked("b");
  assertEquals(calls, 22);
});
