/**
 * Restores to `rbd:POOL/IMAGE`, by librbd, into a Ceph cluster for tests: what docs/ceph.md says
 * about that.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { scriptCommand } from "../support/programs.ts";
import { pause, until } from "../support/wait.ts";
import {
  cephTest,
  Command,
  DOCUMENT,
  FullCluster,
  IMAGE_KINDS,
  noUsers,
  OTHER_IMAGE,
  type Scene,
  StoppedOsd,
} from "./ceph_scene.ts";
import { recipe, shellQuote } from "./recipes.ts";
import { Seq } from "./sample_store.ts";

const LIBRBD = "With librbd";
const MIB = 1_048_576;
const { COMPARE } = Command;
const [CREATE = ""] = commandsOf(0);
const [UPDATE = ""] = commandsOf(1);
const RESTORE = CREATE.replace("--create ", "");
/** Slow enough to be interrupted in its middle. */
const SLOW = RESTORE.replace("backy-extract", "backy-extract --bwlimit 100K");
/** Has a cluster that does not answer noticed soon. */
const IMPATIENT = "export CEPH_ARGS='--rados-osd-op-timeout 3 --client-mount-timeout 3'";

/** The commands of a block of the document; none where they cannot be tried. */
function commandsOf(block: number): string[] {
  return Command.RESTORE === "" ? [] : recipe(DOCUMENT, LIBRBD, block);
}

/** Runs a restore that must be refused or fail. @returns What it said. */
function failure(scene: Scene, ...commands: readonly string[]): string {
  const { code, stderr } = scene.try(...commands);
  assertEquals(code, 4, stderr);
  return stderr;
}

/** Asserts that an image holds bytes. */
function assertHolds(scene: Scene, bytes: Uint8Array, image = "pool/vm0"): void {
  const expected = shellQuote(scene.store.file("expected", bytes));
  scene.run(`cmp ${expected} <(rbd export --no-progress ${image} -)`);
}

cephTest("rbd:POOL/IMAGE is created with the revision's size if --create is given", (scene) => {
  assertMatch(failure(scene, RESTORE), /there is no such image; --create makes it$/m);
  scene.run(CREATE.replace("--create", "--create --dry-run"));
  assertMatch(failure(scene, RESTORE), /there is no such image/);
  scene.run(CREATE, COMPARE);
  assertEquals(scene.imageBytes(), scene.store.image.length);
  const usedBytes = scene.usedBytes(), most = scene.objectBytes();
  assert(usedBytes <= most, `${usedBytes} bytes instead of ${most}`);
  scene.run(CREATE, COMPARE);
  assertEquals(scene.run("rbd status pool/vm0").trim(), "Watchers: none");
  assertEquals(scene.run("rbd lock ls pool/vm0").trim(), "");
});

for (const [kind, options] of IMAGE_KINDS) {
  cephTest(
    `rbd:POOL/IMAGE replaces the 0xFF of an image ${kind}, but for what is behind`,
    (scene) => {
      const expected = scene.onesBeyond(12_345);
      scene.importBytes(expected, options);
      scene.run(RESTORE);
      expected.set(scene.store.image);
      assertHolds(scene, expected);
      const kept = UPDATE.replace("backy-extract", "backy-extract --json");
      const { stderr } = scene.try(kept);
      assertMatch(stderr, /"rewrittenBytes":0\b/);
      assertHolds(scene, expected);
      const thick = UPDATE.replace("--update", "--sparse=never");
      scene.run(thick);
      assertHolds(scene, expected);
    },
  );
}

cephTest(
  "rbd:POOL/IMAGE hides what a clone's parent holds, and leaves that and snapshots alone",
  (scene) => {
    const ones = scene.onesBeyond(MIB);
    scene.makeClone(ones);
    scene.run("rbd snap create --no-progress pool/vm0@before");
    for (const command of [UPDATE, RESTORE]) {
      scene.run(command);
      assertHolds(scene, new Uint8Array([...scene.store.image, ...ones.subarray(-MIB)]));
    }
    assertHolds(scene, ones, "pool/vm0@before");
    assertHolds(scene, ones, OTHER_IMAGE);
  },
);

cephTest(
  "Where data may be is asked of no image in stripes, as old releases tell that wrongly",
  (scene) => {
    const script = scriptCommand(`
    import { CephClient } from lib("linux/rbd.ts");
    const client = new CephClient({ cluster: "ceph", name: "client.admin" });
    client.readConfiguration(null);
    await client.connect();
    const [pool, name] = Deno.args[0].split("/");
    const image = await (await client.openPool(pool, "")).open(name);
    const ranges = await image.dataRanges(image.bytes, () => false);
    console.log(JSON.stringify(ranges && Array.from(ranges)));
    Deno.exit();
  `);
    const dataRanges = (options: string): unknown => {
      scene.run(`rbd create --size 8M ${options} pool/vm0`);
      const ranges = JSON.parse(scene.run(`${script} pool/vm0`));
      scene.remove();
      return ranges;
    };
    assertEquals(dataRanges(""), []);
    assertEquals(dataRanges("--stripe-unit 64K --stripe-count 2"), null);
  },
);

cephTest("--update heals what differs in rbd:POOL/IMAGE, and writes nothing else", (scene) => {
  scene.run(CREATE);
  const written = () => {
    const { code, stderr } = scene.try(UPDATE.replace("backy-extract", "backy-extract --json"));
    assertEquals(code, 0, stderr);
    return Number(/"writtenBytes":(\d+)/.exec(stderr.split('"summary"').at(-1)!)?.[1]);
  };
  assertEquals(written(), 0);
  const bench = shellQuote(scene.store.file("bench"));
  scene.run(
    `rbd bench --io-type write --io-size 4K --io-total 64K --io-threads 1 pool/vm0 >${bench}`,
  );
  assert(scene.try(COMPARE).code !== 0);
  assertEquals(written(), CHUNK_BYTES);
  scene.run(COMPARE);
});

cephTest(
  "--base, --range and --sparse=always write to rbd:POOL/IMAGE what they should",
  (scene) => {
    scene.run(CREATE.replace("last", "1"));
    const based = RESTORE.replace("backy-extract", "backy-extract --base Later");
    assertMatch(failure(scene, based), /the revision needs/);
    scene.run(`rbd resize --no-progress --size ${scene.store.image.length}B pool/vm0`);
    scene.run(based, COMPARE);
    const expected = scene.onesBeyond(0);
    scene.remove();
    scene.importBytes(expected);
    const at = Seq.HOLES * CHUNK_BYTES + 12_345, length = 2 * CHUNK_BYTES;
    scene.run(RESTORE.replace("backy-extract", `backy-extract --range ${at}:${length}`));
    expected.set(scene.store.image.subarray(at, at + length), at);
    assertHolds(scene, expected);
  },
);

cephTest("rbd:POOL/NAMESPACE/IMAGE is an image of a namespace", (scene) => {
  const inside = (command: string) => command.replaceAll("pool/vm0", "rbd/space/vm0");
  scene.try("rbd namespace rm rbd/space");
  assertMatch(failure(scene, inside(CREATE)), /there is no such namespace/);
  scene.run("rbd namespace create rbd/space");
  try {
    scene.run(inside(CREATE), inside(COMPARE), inside(UPDATE));
    assertMatch(failure(scene, RESTORE), /there is no such image/);
  } finally {
    scene.run(inside("rbd rm --no-progress pool/vm0"), "rbd namespace rm rbd/space");
  }
});

cephTest("rbd:POOL/IMAGE is refused, and untouched, in one line that says what to do", (scene) => {
  const ones = new Uint8Array(MIB).fill(0xff);
  scene.importBytes(ones);
  const refused = [
    [
      RESTORE,
      /it has 1048576 bytes \(1 MiB\), the revision needs .*; enlarge it: rbd resize --size/,
    ],
    [RESTORE.replace("rbd:pool", "rbd:none"), /there is no pool "none"; see ceph osd pool ls/],
    [RESTORE.replace("rbd:pool/vm0", "rbd:pool/vm0@snap"), /the name is not rbd:POOL\/IMAGE or/],
    [RESTORE.replace("rbd:pool/vm0", "rbd:vm0"), /the name is not rbd:POOL\/IMAGE or/],
    [`export CEPH_CONF=/none; ${RESTORE}`, /"\/none" cannot be read: No such file or directory/],
    [
      `export CEPH_ARGS="--client-mount-timeout 1 --mon-host 127.0.0.1:1"; ${RESTORE}`,
      /no monitor answered \(127.0.0.1:1\)/,
    ],
  ] as const;
  for (const [command, reason] of refused) {
    const said = failure(scene, command);
    assertMatch(said, reason);
    assertEquals(said.match(/^backy-extract: /gm)?.length, 1, said);
  }
  assertHolds(scene, ones);
});

cephTest("rbd:POOL/IMAGE is refused if somebody has locked it, as librbd would wait", (scene) => {
  scene.run(CREATE, "rbd lock add pool/vm0 mine");
  const said = failure(scene, RESTORE.replace("backy-extract", "backy-extract --force"));
  const [, client, lock] = said.match(
    /it is locked by (client\.\d+) \((mine)\), .* rbd lock rm$/m,
  )!;
  scene.run(`rbd lock rm pool/vm0 ${lock} ${client}`, UPDATE, COMPARE);
  // Without the feature, nobody heeds such a lock but who looks for it.
  scene.remove();
  scene.run("rbd create --size 1M --image-feature layering pool/vm0", "rbd lock add pool/vm0 mine");
  scene.run(`rbd resize --no-progress --size ${scene.store.image.length}B pool/vm0`);
  assertMatch(failure(scene, RESTORE), /it is locked by .* \(--force overrides this\)$/m);
  scene.run(RESTORE.replace("backy-extract", "backy-extract --force"), COMPARE);
});

cephTest("rbd:POOL/IMAGE is refused while somebody has it open, unless forced", async (scene) => {
  scene.run(CREATE);
  await using first = scene.start(SLOW);
  await first.untilSaid("Restoring");
  assertMatch(failure(scene, RESTORE), /client \S+ has it open .*\(--force overrides this\)$/m);
  // The first one does not give up its lock.
  const forced = RESTORE.replace("backy-extract", "backy-extract --force");
  assertMatch(failure(scene, forced), /another client keeps its exclusive lock/);
  first.signal("SIGTERM");
  await first.outcome();
  scene.run(RESTORE, COMPARE);
});

cephTest(
  "rbd:POOL/IMAGE is free again at once after an interrupt, and soon after a kill",
  (scene) => {
    scene.run(CREATE);
    const interrupted = scene.try(`timeout -s TERM 3 ${SLOW}`);
    assertMatch(interrupted.stderr, /"rbd:\S+" is incomplete: the same command with --update/);
    assertEquals(scene.run("rbd status pool/vm0").trim(), "Watchers: none");
    scene.run(UPDATE, COMPARE);
    scene.try(`timeout -s KILL 3 ${SLOW}`);
    assertMatch(failure(scene, UPDATE), /\(one that was killed: for half a minute more\)/);
    // Waits for the dead one's lock.
    scene.run(UPDATE.replace("backy-extract", "backy-extract --force"), COMPARE);
  },
);

cephTest("rbd:POOL/IMAGE in a full cluster fails at once", async (scene) => {
  // What has storage already could be overwritten, so the image must not be the one that has.
  scene.importBytes(scene.onesBeyond(0));
  const bytes = scene.store.image.length;
  scene.run(`rbd mv pool/vm0 ${OTHER_IMAGE}`, `rbd create --size ${bytes}B pool/vm0`);
  {
    using cluster = new FullCluster(scene);
    await cluster.untilFull();
    const said = failure(scene, RESTORE);
    assertMatch(said, /No space left on device \(ENOSPC\)/);
  }
  await until(
    () => !scene.run("ceph health detail").includes("FULL"),
    "a cluster that is not full any more",
  );
  scene.run(UPDATE, COMPARE);
});

for (const command of ["RESTORE", "UPDATE"] as const) {
  cephTest(
    `rbd:POOL/IMAGE: an OSD that stops ends a ${command.toLowerCase()} by its limit or a signal`,
    async (scene) => {
      // The first write begins seconds after the start.
      const line = (command === "RESTORE" ? RESTORE : UPDATE.replace(" --verify-target", ""))
        .replace("backy-extract", "backy-extract --bwlimit 1M");
      for (const signal of [null, "SIGINT", "SIGTERM"] as const) {
        scene.remove();
        scene.importBytes(scene.onesBeyond(0));
        await using restore = scene.start(signal === null ? IMPATIENT : ":", `exec ${line}`);
        await restore.untilSaid("workers");
        using osd = new StoppedOsd();
        if (signal === null) {
          const { code, stderr } = await restore.outcome();
          assertEquals(code, 4, stderr);
          assertMatch(stderr, /at byte \d+: Connection timed out \(ETIMEDOUT\)$/m);
          assertMatch(stderr, /is incomplete: the same command/);
        } else {
          await pause(4000);
          const start = performance.now();
          restore.signal(signal);
          const { code, stderr } = await restore.outcome();
          assertEquals(code, signal === "SIGINT" ? 130 : 143, stderr);
          assert(performance.now() - start < 20_000);
        }
        osd[Symbol.dispose]();
        scene.blockWatchers();
      }
      scene.run(UPDATE, COMPARE);
    },
  );
}

cephTest(
  "rbd:POOL/IMAGE: a user with the caps of the document may restore, others are told",
  (scene) => {
    const [user = "", dryRun = ""] = commandsOf(2);
    const grant = (osd: string) =>
      scene.run(
        "ceph auth rm client.restore 2>/dev/null || true",
        `ceph auth get-or-create client.restore mon 'profile rbd' osd '${osd}' ` +
          "-o /etc/ceph/restore.keyring",
      );
    try {
      grant("profile rbd pool=rbd");
      scene.run(user, CREATE, dryRun, UPDATE);
      scene.run(COMPARE);
      const other = user.replace("--id", "--name client.none --id");
      assertMatch(failure(scene, other, RESTORE), /did not let client\.none in: .*keyring/);
      assertMatch(
        failure(scene, user.replace("--keyring", "--keyring /none"), RESTORE),
        /did not let client\.restore in: .* its key should be in \/none; CEPH_ARGS="--id NAME/,
      );
      grant("profile rbd-read-only pool=rbd");
      assertMatch(
        failure(scene, user, dryRun),
        /client\.restore may not write to pool "rbd": .*; its caps should have mon 'profile rbd'/,
      );
      scene.run(COMPARE);
    } finally {
      scene.run("ceph auth rm client.restore");
    }
  },
  noUsers,
);
