import { assertEquals } from "../assert.ts";
import { scriptCommand, shell } from "../support/programs.ts";

Deno.test("The environment is what the process was started with, not what it has", async () => {
  const script = scriptCommand(`
    import { startEnvironment, startVariable } from lib("linux/own_process.ts");
    Deno.env.delete("GONE");
    Deno.env.set("NEW", "x");
    const latin1 = new TextDecoder("latin1");
    const entries = (changes) => startEnvironment(changes).map((entry) => latin1.decode(entry));
    const starts = ["GONE=", "LANG=", "BAD=", "EMPTY=", "NEW=", "MORE="];
    const shown = (changes) => entries(changes).filter((entry) => starts.some((start) => entry.startsWith(start))).sort();
    console.log(JSON.stringify([
      ["GONE", "NEW", "LANG", "EMPTY", "constructor"].map((name) => startVariable(name) ?? null),
      shown({}),
      shown({ LANG: null, GONE: "b=c", MORE: "" }),
    ]));
  `);
  const { stdout, stderr } = await shell(
    `env -i GONE="a  b" LANG=xx EMPTY= BAD=$'\\xff' ${script}`,
  );
  assertEquals(JSON.parse(new TextDecoder().decode(stdout)), [
    ["a  b", null, "xx", "", null],
    ["BAD=\u00ff", "EMPTY=", "GONE=a  b", "LANG=xx"],
    ["BAD=\u00ff", "EMPTY=", "GONE=b=c", "MORE="],
  ], stderr);
});

Deno.test("ownWords() is what stands before the arguments", async () => {
  const script = scriptCommand(`
    import { ownWords } from lib("linux/own_process.ts");
    console.log(JSON.stringify(ownWords(Deno.args.length).slice(1)));
  `);
  const { stdout, stderr } = await shell(`${script} "a b" "" ü`);
  const [command, code, ...more] = JSON.parse(new TextDecoder().decode(stdout) || "[]");
  assertEquals([command, code?.includes("ownWords"), more], ["eval", true, []], stderr);
});
