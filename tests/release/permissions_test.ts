import { TOOLS } from "../../release/targets.ts";
import { assertEquals } from "../assert.ts";

/** What both executables may do, and why; an entry more needs a reason more. */
const COMMON_REASONS: Readonly<Record<string, string>> = {
  "--no-prompt": "a program on a rescue host asks nobody for permissions",
  "--allow-read": "stores and targets may be anywhere",
  "--allow-write": "targets, lock files and spilled chunks may be anywhere",
  "--allow-ffi": "libc and libfuse; pointers need the whole permission",
  "--allow-env=TERM,NO_COLOR,LOG_STREAM,LOG_TOKENS": "how to draw; what npm:yaml cannot do without",
};

/** What one of them may do beside. */
const REASONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "backy-extract": {},
  "backy-fuse": {
    "--allow-sys=uid,gid": "who mounts",
  },
};

Deno.test("The executables have no permission without a reason", () => {
  assertEquals(TOOLS.map(({ name }) => name), Object.keys(REASONS));
  for (const { name, permissions } of TOOLS) {
    const expected = Object.keys({ ...COMMON_REASONS, ...REASONS[name] });
    assertEquals([...permissions].sort(), expected.sort());
  }
});
