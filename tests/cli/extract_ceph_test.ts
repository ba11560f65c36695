/**
 * Runs the commands of docs/ceph.md that restore, against a Ceph cluster for tests. What fails is
 * tried by `extract_ceph_failures_test.ts`.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { cephTest, Command, DOCUMENT, IMAGE_KINDS, noDaemon, OTHER_IMAGE } from "./ceph_scene.ts";
import { recipe, shellQuote } from "./recipes.ts";

const DIFFERENCE = "Only the difference";
const IN_USE = "Is the image in use?";
const MIB = 1_048_576;
const { PIPEFAIL, CREATE, RESTORE, COMPARE } = Command;

cephTest(
  "rbd import-diff gives an image of the revision's size and content, whatever was there",
  (scene) => {
    const { store } = scene;
    scene.run(PIPEFAIL, CREATE, RESTORE, COMPARE);
    assertEquals(scene.imageBytes(), store.image.length);
    // Larger, and full of something else.
    scene.remove();
    scene.importBytes(sampleBytes(72, store.image.length + 3 * CHUNK_BYTES));
    const differing = scene.try(COMPARE);
    assert(differing.code !== 0, "the comparison notices");
    scene.run(PIPEFAIL, RESTORE, COMPARE);
    assertEquals(scene.imageBytes(), store.image.length);
  },
);

cephTest("rbd import-diff turns one revision into another that is larger or smaller", (scene) => {
  const { last, later } = scene;
  scene.run(PIPEFAIL, CREATE, RESTORE);
  for (const revision of [later, last]) {
    scene.last = revision;
    scene.run(PIPEFAIL, RESTORE, COMPARE);
    assertEquals(scene.imageBytes(), revision.image.length);
  }
});

for (const [kind, options] of IMAGE_KINDS) {
  cephTest(`rbd import-diff leaves none of the 0xFF of an image ${kind}`, (scene) => {
    scene.importBytes(scene.onesBeyond(12_345), options);
    scene.run(PIPEFAIL, RESTORE, COMPARE);
    assertEquals(scene.imageBytes(), scene.last.image.length);
  });
}

cephTest(
  "rbd import-diff hides what a clone's parent holds, and leaves the parent alone",
  (scene) => {
    const ones = scene.onesBeyond(MIB);
    scene.makeClone(ones);
    scene.run(PIPEFAIL, RESTORE, COMPARE);
    const same = `cmp ${shellQuote(scene.store.file("imported"))}`;
    scene.run(`${same} <(rbd export --no-progress ${OTHER_IMAGE} -)`);
  },
);

cephTest("rbd import-diff makes the image thin, also where it was full of data", (scene) => {
  const most = scene.objectBytes();
  scene.run(PIPEFAIL, CREATE, RESTORE);
  assert(scene.usedBytes() <= most, `${scene.usedBytes()} bytes instead of ${most}`);
  scene.remove();
  scene.importBytes(scene.onesBeyond(CHUNK_BYTES));
  assert(scene.usedBytes() > most);
  scene.run(PIPEFAIL, RESTORE);
  assert(scene.usedBytes() <= most, `${scene.usedBytes()} bytes instead of ${most}`);
});

cephTest("--base brings an image from the snapshot of a backup to another revision", (scene) => {
  const snapshot = "pool/vm0@backy-Nym6uacWoXGb8VnbksM3yH";
  scene.run(CREATE, RESTORE, `rbd snap create --no-progress ${snapshot}`);
  const bench = shellQuote(scene.store.file("bench"));
  scene.run(`rbd bench --io-type write --io-size 4K --io-total 1M pool/vm0 >${bench}`);
  scene.run("set -o pipefail", ...recipe(DOCUMENT, DIFFERENCE));
  assertEquals(scene.imageBytes(), scene.later.image.length);
  scene.run(COMPARE.replace("/srv/backy/vm0/last", "/srv/backy/vm0/1"));
  // The snapshot is as it was, and its image larger than that of the later revision.
  scene.run(COMPARE.replace("pool/vm0", snapshot));
  const back = RESTORE.replace("--format", "--base Later --format");
  scene.run(PIPEFAIL, back, COMPARE);
  assertEquals(scene.imageBytes(), scene.last.image.length);
});

cephTest(
  "qemu-storage-daemon shows an image as a file that can be updated and read back",
  (scene) => {
    // QEMU 7.2 ends with an assertion where the size is not in whole sectors.
    scene.last = scene.later;
    const [status] = recipe(DOCUMENT, IN_USE) as [string];
    scene.importBytes(sampleBytes(74, scene.last.image.length + MIB));
    assertMatch(scene.run(status), /^Watchers: none$/m);
    const commands = recipe(DOCUMENT, "Where the kernel has no rbd");
    const at = commands.findIndex((command) => command.startsWith("kill "));
    assert(at > 0);
    const said = scene.run(...commands.slice(0, at), status, ...commands.slice(at));
    assertMatch(said, /^\s*watcher=/m);
    scene.run(COMPARE);
    assertEquals(scene.imageBytes(), scene.last.image.length);
  },
  noDaemon,
);
