/**
 * Runs the commands of docs/ceph.md against a Ceph cluster for tests, in whose pool "rbd" they make
 * and delete images. The environment variable BACKY_TEST_CEPH_CONF names its configuration.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem } from "../support/programs.ts";
import { EXTRACT } from "../support/tool.ts";
import { recipe, shellQuote } from "./recipes.ts";
import { SampleStore, Seq } from "./sample_store.ts";

const DOCUMENT = "docs/ceph.md";
const DIRECT = "Without a mapped device";
const DIFFERENCE = "Only the difference";
const CONF = Deno.env.get("BACKY_TEST_CEPH_CONF") ?? "";
const POOL = "rbd";
const MIB = 1_048_576;
/** Exit code of rbd import-diff for a stream that ends early: EBADMSG. */
const BAD_MESSAGE = 74;

const noCluster = CONF === ""
  ? "BACKY_TEST_CEPH_CONF names no cluster"
  : programProblem("rbd", "timeout", "cmp");
const noDaemon = noCluster ?? programProblem("qemu-storage-daemon", "fusermount3") ??
  (Deno.uid() === 0 ? null : "not root");

/** A sample with a later revision, and its own image in the cluster. */
class Scene implements Disposable {
  readonly store = new SampleStore();
  readonly image = `backy-test-${crypto.randomUUID()}`;
  readonly spec = `${POOL}/${this.image}`;
  /** What is taken for the newest revision, and its image. */
  last: { readonly path: string; readonly image: Uint8Array } = {
    path: this.store.revision.path,
    image: this.store.image,
  };
  /** Of whole chunks. */
  readonly later = this.store.add("Later", [sampleBytes(70), "absent", sampleBytes(71)]);

  /** Runs commands of the document in bash, with this test's names in place of theirs. */
  try(...commands: readonly string[]): { code: number; stdout: string; stderr: string } {
    const { basedir } = this.store;
    const here = commands.map((command) =>
      command
        .replaceAll("pool/vm0", this.spec)
        .replaceAll("pool=pool,image=vm0", `pool=${POOL},image=${this.image}`)
        .replaceAll("/run/vm0.img", shellQuote(this.store.file("export.img")))
        .replaceAll("/srv/backy/vm0/last", shellQuote(this.last.path))
        .replaceAll("/srv/backy/vm0/1", shellQuote(this.later.path))
        .replaceAll("/srv/backy/vm0", shellQuote(basedir))
        .replaceAll("Nym6uacWoXGb8VnbksM3yH", "SampleRevision")
    );
    const script = `backy-extract() { ${EXTRACT.map(shellQuote).join(" ")} "$@"; }\n${
      here.join("\n")
    }`;
    const { code, stdout, stderr } = new Deno.Command("timeout", {
      args: ["-s", "KILL", "120", "bash", "-ec", script],
      env: { CEPH_CONF: CONF, LC_ALL: "C.UTF-8" },
    }).outputSync();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Runs commands that must succeed. @returns What they printed. */
  run(...commands: readonly string[]): string {
    const { code, stdout, stderr } = this.try(...commands);
    assertEquals(code, 0, `${commands.join("\n")}: ${stdout}${stderr}`);
    return stdout;
  }

  imageBytes(): number {
    return JSON.parse(this.run("rbd info --format json pool/vm0")).size;
  }

  [Symbol.dispose](): void {
    this.try("umount -l /run/vm0.img");
    this.try("rbd snap purge --no-progress pool/vm0 || true", "rbd rm --no-progress pool/vm0");
    this.store[Symbol.dispose]();
  }
}

const cephTest = (
  name: string,
  body: (scene: Scene) => void | Promise<void>,
  problem = noCluster,
) =>
  testUnless(problem, name, async () => {
    using scene = new Scene();
    await body(scene);
  });

const COMPARE = noCluster === null ? recipe(DOCUMENT, DIRECT, 1) : [];

cephTest(
  "rbd import-diff gives an image of the revision's size and content, whatever was there",
  (scene) => {
    const { store } = scene;
    const [pipefail, create, restore] = recipe(DOCUMENT, DIRECT) as [string, string, string];
    scene.run(pipefail, create.replace("100G", "1M"), restore, ...COMPARE);
    assertEquals(scene.imageBytes(), store.image.length);
    // Larger, and full of something else.
    const larger = store.file("junk", sampleBytes(72, store.image.length + 3 * CHUNK_BYTES));
    scene.run("rbd rm --no-progress pool/vm0", `rbd import --no-progress '${larger}' pool/vm0`);
    const differing = scene.try(...COMPARE);
    assert(differing.code !== 0, "the comparison notices");
    scene.run(pipefail, restore, ...COMPARE);
    assertEquals(scene.imageBytes(), store.image.length);
  },
);

cephTest(
  "rbd import-diff fails where the stream was cut, and the same command mends it",
  async (scene) => {
    const [pipefail, create, restore] = recipe(DOCUMENT, DIRECT) as [string, string, string];
    scene.run(create.replace("100G", "1M"));
    const full = scene.store.file("full.diff");
    scene.run(`backy-extract -q --format=rbd-diff /srv/backy/vm0/last >'${full}'`);
    const bytes = Deno.statSync(full).size;
    for (const kept of [0, 100, bytes >> 1, bytes - 1]) {
      const outcome = scene.try(
        `head -c ${kept} '${full}' | rbd import-diff --no-progress - pool/vm0`,
      );
      assert(outcome.code !== 0, `${kept} of ${bytes} bytes`);
    }
    const { path } = scene.store.revision;
    await scene.store.withDamage(scene.store.chunkFileAt(Seq.UNALIGNED_ZEROS), () => {}, () => {
      const outcome = scene.try(restore.replace("/srv/backy/vm0/last", path));
      assertEquals(outcome.code, BAD_MESSAGE, outcome.stderr);
      // A raw image that was cut is taken for a whole one.
      const raw = "backy-extract -q /srv/backy/vm0/last | rbd import --no-progress - pool/vm0";
      scene.run("rbd rm --no-progress pool/vm0", raw);
      assert(scene.imageBytes() < scene.store.image.length);
      assertEquals(scene.try("rbd rm --no-progress pool/vm0", pipefail, raw).code, 3);
      return Promise.resolve();
    });
    scene.run(pipefail, restore, ...COMPARE);
  },
);

cephTest("--base brings an image from the snapshot of a backup to another revision", (scene) => {
  const [, create, restore] = recipe(DOCUMENT, DIRECT) as [string, string, string];
  const snapshot = "pool/vm0@backy-Nym6uacWoXGb8VnbksM3yH";
  scene.run(create.replace("100G", "1M"), restore, `rbd snap create --no-progress ${snapshot}`);
  const junk = scene.store.file("junk", sampleBytes(73, MIB));
  scene.run(`rbd bench --io-type write --io-size 4K --io-total 1M pool/vm0 >'${junk}'`);
  scene.run("set -o pipefail", ...recipe(DOCUMENT, DIFFERENCE));
  assertEquals(scene.imageBytes(), scene.later.image.length);
  scene.run(...COMPARE.map((line) => line.replace("/srv/backy/vm0/last", "/srv/backy/vm0/1")));
});

cephTest(
  "qemu-storage-daemon shows an image as a file that can be updated and read back",
  (scene) => {
    // QEMU 7.2 ends with an assertion where the size is not in whole sectors.
    scene.last = scene.later;
    const [status] = recipe(DOCUMENT, "Is the image in use?") as [string];
    const larger = scene.store.file("junk", sampleBytes(74, scene.last.image.length + MIB));
    scene.run(`rbd import --no-progress '${larger}' pool/vm0`);
    assertMatch(scene.run(status), /^Watchers: none$/m);
    const commands = recipe(DOCUMENT, "Where the kernel has no rbd");
    const at = commands.findIndex((command) => command.startsWith("kill "));
    assert(at > 0);
    const said = scene.run(...commands.slice(0, at), status, ...commands.slice(at));
    assertMatch(said, /^\s*watcher=/m);
    scene.run(...COMPARE);
    assertEquals(scene.imageBytes(), scene.last.image.length);
  },
  noDaemon,
);
