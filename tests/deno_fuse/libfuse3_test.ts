import { assert, assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { MountError } from "../../lib/deno_fuse/errors.ts";
import { chooseNewSession, openLibfuse3 } from "../../lib/deno_fuse/libfuse3.ts";
import { obstacle } from "./harness.ts";

const args = new Uint8Array(24), ops = new Uint8Array(80);

Deno.test("chooseNewSession() prefers the plain form", () => {
  const calls: unknown[] = [];
  const newSession = chooseNewSession({
    fuse_session_new: (...values) => (calls.push(values), null),
    _fuse_session_new_317: null,
    fuse_session_new_versioned: () => {
      throw new Error("not this one");
    },
  });
  assertEquals(newSession(args, ops), null);
  assertEquals(calls, [[args, ops, 80n, null]]);
});

Deno.test("chooseNewSession() tells the versioned forms what was compiled against", () => {
  for (const name of ["_fuse_session_new_317", "fuse_session_new_versioned"] as const) {
    let version: BufferSource | null = null;
    const newSession = chooseNewSession({
      fuse_session_new: null,
      _fuse_session_new_317: null,
      fuse_session_new_versioned: null,
      [name]: (_args: unknown, _ops: unknown, size: bigint, value: BufferSource) => {
        assertEquals(size, 80n);
        version = value;
        return null;
      },
    });
    newSession(args, ops);
    assertEquals(version, new Uint8Array([3, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
  }
});

Deno.test("chooseNewSession() names what it looked for", () => {
  const none = {
    fuse_session_new: null,
    _fuse_session_new_317: null,
    fuse_session_new_versioned: null,
  };
  assertThrows(() => chooseNewSession(none), MountError, "_fuse_session_new_317");
});

Deno.test({
  name: `openLibfuse3() opens the library once${obstacle === null ? "" : " [ignored: none]"}`,
  ignore: obstacle !== null,
  fn() {
    const library = openLibfuse3();
    assertMatch(library.version, /^3\./);
    assert(library === openLibfuse3());
  },
});
