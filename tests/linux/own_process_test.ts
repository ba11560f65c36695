import { parseEnvironment } from "../../lib/linux/own_process.ts";
import { assertEquals } from "../assert.ts";
import { scriptCommand, shell } from "../support/programs.ts";

Deno.test("parseEnvironment() reads entries as getenv() would", () => {
  const encoder = new TextEncoder();
  const parse = (text: string) => parseEnvironment(encoder.encode(text));
  assertEquals(parse(""), {});
  assertEquals(parse("A=1\0B=\0C=x=y\0"), { A: "1", B: "", C: "x=y" });
  assertEquals(parse("A=first\0A=second\0"), { A: "first" });
  assertEquals(parse("none\0=x\0\0A=1"), { A: "1" });
  assertEquals(parse("A=\ufeff\u00e4\n\0__proto__=x\0"), {
    A: "\ufeff\u00e4\n",
    ["__proto__"]: "x",
  });
  const bytes = Uint8Array.from([...encoder.encode("A=1\0B="), 0xff, 0, ...encoder.encode("C=3")]);
  assertEquals(parseEnvironment(bytes), { A: "1", C: "3" });
});

Deno.test("startEnvironment() is what the process was started with, not what it has", async () => {
  const script = scriptCommand(`
    import { startEnvironment } from lib("linux/own_process.ts");
    Deno.env.delete("GONE");
    Deno.env.set("NEW", "x");
    const { GONE, NEW, LANG } = startEnvironment();
    console.log(JSON.stringify([GONE, NEW ?? null, LANG]));
  `);
  const { stdout, stderr } = await shell(
    `GONE="a  b" LANG=xx BAD=$'\\xff' ${script}`,
  );
  assertEquals(new TextDecoder().decode(stdout), '["a  b",null,"xx"]\n', stderr);
});
