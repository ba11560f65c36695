/**
 * When librbd is loaded, and what is said where it cannot be. `extract_ceph_image_test.ts` uses it.
 */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { assertFailure, assertSuccess, extract } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** The path of the host's librbd; `null` if it has none. */
const LIBRBD = programProblem("ldconfig") === null
  ? /librbd\.so\.1 .* => (\S+)/.exec(runSync("ldconfig", "-p"))?.[1] ?? null
  : null;
const noLibrbd = LIBRBD === null ? "no librbd" : Deno.uid() === 0 ? null : "not root";

testUnless(
  programProblem("strace"),
  "librbd is looked for only if an image in a Ceph cluster is named",
  async () => {
    const trace = store.file("trace");
    const shell = `exec strace -f -qq -s 500 -e trace=openat,open -o '${trace}' "$@"`;
    assertSuccess(await extract([store.revision.path, store.file("image")], { shell }));
    const opened = Deno.readTextFileSync(trace);
    assert(opened.includes("SampleRevision"));
    assert(!/lib(rbd|rados)\.so/.test(opened));
    const outcome = await extract([store.revision.path, "rbd:pool/vm0"], {
      shell,
      env: { CEPH_CONF: "/none" },
    });
    assertEquals(outcome.code, 4);
    assertMatch(Deno.readTextFileSync(trace), /librbd\.so\.1/);
  },
);

testUnless(
  noLibrbd ?? programProblem("unshare"),
  "A librbd that cannot be loaded is said in a line that names another way",
  async () => {
    using _lock = lockMounts("alone");
    const hide = `mount --bind /dev/null '${LIBRBD}' && exec "$@"`;
    const shell = `exec unshare -m bash -c '${hide.replaceAll("'", `'\\''`)}' bash "$@"`;
    const output = "rbd:pool/space/vm0";
    assertFailure(await extract([store.revision.path, output], { shell }), {
      code: 4,
      says: [
        new RegExp(
          `^Cannot restore to "${output}": librbd cannot be used here \\(.*: file too short\\); ` +
            "use --format=rbd-diff \\| rbd --rbd-cache=false import-diff - pool/space/vm0$",
        ),
      ],
    });
  },
);

Deno.test("A file whose name looks like an image's is reached by ./", async () => {
  const cwd = store.file("directory");
  Deno.mkdirSync(cwd);
  assertSuccess(await extract([store.revision.path, "./rbd:image"], { cwd }));
  assertBytes(Deno.readFileSync(`${cwd}/rbd:image`), store.image);
  assertFailure(await extract([store.revision.path, "rbd:image"], { cwd }), {
    code: 4,
    says: [/^Cannot restore to "rbd:image": the name is not rbd:POOL\/IMAGE or rbd:POOL\//],
  });
});
