import { storeOverlap } from "../../lib/target/backup_files.ts";
import type { StoreInUse } from "../../lib/target/target.ts";
import { assertEquals } from "../assert.ts";
import { Mount, mountProblem, testUnless } from "../support/machine.ts";
import { StoreFixture } from "./store_fixture.ts";

const CHUNKS = "it lies inside the chunks directory of the backup";
const OWN = "it is one of the backup's own files";

/** What is said of a path, if these directories are read. */
function overlap(path: string, ...stores: StoreInUse[]): string | null {
  let info: Deno.FileInfo | null = null;
  try {
    info = Deno.statSync(path);
  } catch { /* it does not exist yet */ }
  return storeOverlap({ realPath: path, info }, { stores });
}

Deno.test("storeOverlap() protects all directories that are read", () => {
  using first = new StoreFixture();
  using second = new StoreFixture();
  const own = { basedir: first.basedir, revisionPath: first.revisionPath };
  const lender = { basedir: second.basedir };
  const expected: [path: string, reason: string | null][] = [
    [first.revisionPath, "it is the revision to be restored"],
    [first.chunkPath, CHUNKS],
    [second.chunkPath, CHUNKS],
    [`${second.chunkFolder}/new`, CHUNKS],
    [`${first.basedir}/RevisionB`, OWN],
    [second.revisionPath, OWN],
    [`${second.basedir}/.purge`, OWN],
    [`${second.basedir}/new.rev`, OWN],
    [`${second.basedir}/image`, null],
    [second.file("image"), null],
  ];
  for (const [path, reason] of expected) {
    for (const stores of [[own, lender], [lender, own]]) {
      assertEquals(overlap(path, ...stores), reason, path);
    }
  }
  assertEquals(overlap(second.chunkPath, own), null);
  assertEquals(overlap(first.revisionPath), null);
});

Deno.test("storeOverlap() recognises a revision of each directory by any name", () => {
  using first = new StoreFixture();
  using second = new StoreFixture();
  const stores = [first, second].map(({ basedir, revisionPath }) => ({ basedir, revisionPath }));
  for (const { revisionPath } of [first, second]) {
    const hard = first.file(`hard ${revisionPath === first.revisionPath}`);
    Deno.linkSync(revisionPath, hard);
    assertEquals(overlap(hard, ...stores), "it is the revision to be restored");
  }
});

testUnless(
  mountProblem(),
  "storeOverlap() recognises the files of a backup directory that is also mounted elsewhere",
  () => {
    using store = new StoreFixture();
    using mount = new Mount("--bind", store.basedir);
    const { basedir, revisionPath } = store;
    for (const name of ["RevisionB", ".purge", "new.rev"]) {
      assertEquals(overlap(`${mount.path}/${name}`, { basedir, revisionPath }), OWN, name);
    }
    assertEquals(overlap(`${mount.path}/image`, { basedir, revisionPath }), null);
  },
);

Deno.test("storeOverlap() recognises a revision that has lost its name", () => {
  using store = new StoreFixture();
  const { basedir, revisionPath } = store;
  const of = (path: string) =>
    storeOverlap({ realPath: null, info: Deno.statSync(path) }, {
      stores: [{ basedir, revisionPath }],
    });
  assertEquals(of(revisionPath), "it is the revision to be restored");
  assertEquals(of(store.file("image", "")), null);
});
