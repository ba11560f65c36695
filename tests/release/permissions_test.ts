import { TOOLS } from "../../release/targets.ts";
import { assertEquals } from "../assert.ts";

/** What the executables may do, and why; an entry more needs a reason more. */
const REASONS: Readonly<Record<string, string>> = {
  "--no-prompt": "a program on a rescue host asks nobody for permissions",
  "--allow-read": "stores and targets may be anywhere",
  "--allow-write": "targets, lock files and spilled chunks may be anywhere",
  "--allow-ffi": "libc and libfuse; pointers need the whole permission",
  "--allow-env=TERM,NO_COLOR,LOG_STREAM,LOG_TOKENS": "how to draw; what npm:yaml reads",
  "--allow-sys=uid,gid": "who mounts",
  "--allow-run=fusermount3": "who is not root unmounts by it",
};

Deno.test("The executables have no permission without a reason", () => {
  const given = new Set(TOOLS.flatMap(({ permissions }) => permissions));
  assertEquals([...given].sort(), Object.keys(REASONS).sort());
  const [extract] = TOOLS;
  assertEquals(extract?.permissions.some((name) => /run|sys/.test(name)), false);
});
