/**
 * What docs/ceph.md says about restores into Ceph that fail, wait, or must not begin, against a
 * cluster for tests.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "../assert.ts";
import { pause } from "../support/wait.ts";
import {
  cephTest,
  Command,
  DOCUMENT,
  FullCluster,
  noDaemon,
  OTHER_IMAGE,
  type Scene,
} from "./ceph_scene.ts";
import { recipe, shellQuote } from "./recipes.ts";
import { Seq } from "./sample_store.ts";

const IN_USE = "Is the image in use?";
const FAILURE = "When it fails";
const FULL = "The cluster is full";
const { PIPEFAIL, CREATE, RESTORE, COMPARE } = Command;
/** Slow enough to be killed in its middle. */
const SLOW = RESTORE.replace("--format", "--bwlimit 500K --format");
/** Exit code of rbd import-diff for a stream that ends early: EBADMSG. */
const BAD_MESSAGE = 74;
const TIMED_OUT = 110;
const MIB = 1_048_576;
/** Of timeout(1), for what it ended. */
const ENDED = 124;

/** Runs a pipe. @returns The exit codes of both sides, and what they said. */
function bothCodes(scene: Scene, pipe: string): { codes: string; stderr: string } {
  const { stdout, stderr } = scene.try("set +e", pipe, 'echo "${PIPESTATUS[@]}"');
  return { codes: stdout.trim(), stderr };
}

/** The restore with a reader that is killed after a time. */
const killedAfter = (seconds: number, restore: string) =>
  restore.replace("| rbd", `| timeout -s KILL ${seconds} rbd`);

cephTest(
  "rbd import-diff fails where the stream was cut, and the same command mends it",
  async (scene) => {
    scene.run(CREATE);
    const full = shellQuote(scene.store.file("full.diff"));
    scene.run(`backy-extract -q --format=rbd-diff /srv/backy/vm0/last >${full}`);
    const bytes = Deno.statSync(scene.store.file("full.diff")).size;
    for (const kept of [0, 100, bytes >> 1, bytes - 1]) {
      const cut = `head -c ${kept} ${full} | rbd import-diff --no-progress - pool/vm0`;
      assertEquals(scene.try(cut).code, BAD_MESSAGE, `${kept} of ${bytes} bytes`);
    }
    await scene.store.withDamage(scene.store.chunkFileAt(Seq.UNALIGNED_ZEROS), () => {}, () => {
      const { codes, stderr } = bothCodes(scene, RESTORE);
      assertEquals(codes, `3 ${BAD_MESSAGE}`, stderr);
      assertMatch(stderr, /rbd: failed to decode/);
      // A raw image that was cut is taken for a whole one.
      const raw = "backy-extract -q /srv/backy/vm0/last | rbd import --no-progress - pool/vm0";
      scene.run("rbd rm --no-progress pool/vm0", raw);
      assert(scene.imageBytes() < scene.store.image.length);
      assertEquals(scene.try("rbd rm --no-progress pool/vm0", PIPEFAIL, raw).code, 3);
      return Promise.resolve();
    });
    scene.run(PIPEFAIL, RESTORE, COMPARE);
  },
);

cephTest(
  "a killed restore is seen on both sides of the pipe, and the same command mends it",
  (scene) => {
    scene.run(CREATE);
    for (const [signal, code] of [["KILL", 137], ["TERM", ENDED]] as const) {
      const { codes, stderr } = bothCodes(scene, `timeout -s ${signal} 3 ${SLOW}`);
      assertEquals(codes, `${code} ${BAD_MESSAGE}`, stderr);
      if (signal === "TERM") assertMatch(stderr, /standard output is incomplete/);
    }
    scene.run(PIPEFAIL, RESTORE, COMPARE);
  },
);

cephTest("a reader that fails or is killed ends the restore: exit 4", (scene) => {
  const missing = bothCodes(scene, RESTORE);
  assertEquals(missing.codes, "4 2", missing.stderr);
  assertMatch(missing.stderr, /^rbd: error opening image/m);
  assertMatch(missing.stderr, /^backy-extract: Cannot write standard output .*Broken pipe/m);
  scene.run(CREATE);
  const killed = bothCodes(scene, killedAfter(2, SLOW));
  assertEquals(killed.codes, "4 137", killed.stderr);
  assertMatch(killed.stderr, /^backy-extract: standard output is incomplete$/m);
  // Else the cluster would keep the dead one's lock for up to half a minute.
  scene.blockWatchers();
  scene.run(PIPEFAIL, RESTORE, COMPARE);
});

cephTest(
  "rbd import-diff writes to an image in use, which its watchers tell, unless they are blocked",
  async (scene) => {
    scene.last = scene.later;
    const file = shellQuote(scene.store.file("export.img"));
    const { status, isUnused, block } = recipesInUse();
    scene.importBytes(scene.onesBeyond(0));
    scene.run(isUnused);
    const serve = recipe(DOCUMENT, "Where the kernel has no rbd").slice(0, 3);
    await using machine = scene.start(...serve, "echo serving: $pid. >&2; wait $pid");
    await machine.untilSaid(".\n");
    const pid = Number(machine.said.match(/serving: (\d+)/)?.[1]);
    const write = `dd if=/dev/zero of=${file} bs=1M count=1 conv=notrunc,fsync`;
    scene.run(write);
    assertEquals(scene.try(isUnused).code, 1);
    scene.run(PIPEFAIL, RESTORE, COMPARE);
    assertEquals(scene.try(isUnused).code, 1, "the machine still has it open");
    const [, address] = scene.run(status).match(/watcher=(\S+)/) ?? [];
    assert(address !== undefined);
    scene.run(block.replace(/\S+$/, address));
    try {
      scene.run(isUnused);
      assert(scene.try(write).code !== 0, "the machine cannot write any more");
      scene.run(COMPARE);
    } finally {
      scene.try(`ceph osd blocklist rm ${address}`);
      Deno.kill(pid, "SIGTERM");
    }
    await machine.outcome();
  },
  noDaemon,
);

/** The commands that look whether an image is in use, by what they are for. */
function recipesInUse(): { status: string; isUnused: string; block: string; listLocks: string } {
  const [status = "", listLocks = ""] = recipe(DOCUMENT, IN_USE, 0);
  const [isUnused = ""] = recipe(DOCUMENT, IN_USE, 1);
  const [, block = ""] = recipe(DOCUMENT, IN_USE, 2);
  return { status, isUnused, block, listLocks };
}

cephTest(
  "rbd import-diff waits for a lock to be removed, if the image has the feature exclusive-lock",
  async (scene) => {
    const lock = "rbd lock add pool/vm0 mine";
    scene.run(CREATE.replace("create", "create --image-feature layering"));
    scene.run(lock, PIPEFAIL, RESTORE, COMPARE);
    scene.remove();
    scene.importBytes(scene.onesBeyond(MIB));
    scene.run(lock);
    await using restore = scene.start(PIPEFAIL, RESTORE);
    await pause(4000);
    assert(!restore.hasEnded, restore.said);
    const { listLocks } = recipesInUse();
    const [, locker, id] = scene.run(listLocks).match(/^(client\S+)\s+(\S+)/m) ?? [];
    scene.run(`rbd lock rm pool/vm0 ${id} ${locker}`);
    await restore.outcome();
    // Ceph 16 exits with 0 here, and leaves the size: the image was locked when that was to be set.
    if (scene.imageBytes() !== scene.last.image.length) assert(scene.try(COMPARE).code !== 0);
    scene.run(PIPEFAIL, RESTORE, COMPARE);
  },
);

cephTest(
  "in a full cluster a restore waits, and goes on by itself when there is room",
  async (scene) => {
    /** A restore that stops after 5 MB, until something is written to a FIFO. */
    const startWithGate = (restore: string, gate: string) => {
      const middle = `| { head -c 5000000; cat ${shellQuote(gate)}; cat; } |`;
      return scene.start("set +e", restore.replace("|", middle), 'echo "${PIPESTATUS[@]}"');
    };
    const gates = ["gate", "other gate"].map((name) => scene.store.file(name)) as [string, string];
    const [limited] = recipe(DOCUMENT, FAILURE) as [string];
    const inSeconds = limited.replace("timeout 300", "timeout 3");
    scene.run(CREATE, CREATE.replace("pool/vm0", OTHER_IMAGE));
    scene.run(...gates.map((gate) => `mkfifo ${shellQuote(gate)}`));
    await using restore = startWithGate(RESTORE, gates[0]);
    await using impatient = startWithGate(inSeconds.replace("pool/vm0", OTHER_IMAGE), gates[1]);
    {
      using cluster = new FullCluster(scene);
      await cluster.untilFull();
      for (const gate of gates) {
        scene.run(`timeout 60 sh -c ': >"$1"' sh ${shellQuote(gate)}`);
      }
      const ended = codesOf(await impatient.outcome());
      assertMatch(ended, new RegExp(` ${TIMED_OUT}$`), "in the middle");
      const { codes, stderr } = bothCodes(scene, inSeconds);
      assertEquals(codes, `4 ${TIMED_OUT}`, stderr);
      assertEquals(scene.try(`timeout -s INT 3 bash -c ${shellQuote(RESTORE)}`).code, ENDED);
      scene.run(...recipe(DOCUMENT, FULL));
      assert(!restore.hasEnded, restore.said);
    }
    assertEquals(codesOf(await restore.outcome()), "0 0 0", restore.said);
    scene.run(COMPARE);
  },
);

/** The exit codes that a pipe printed. */
function codesOf({ stdout }: { stdout: Uint8Array }): string {
  return new TextDecoder().decode(stdout).trim();
}
