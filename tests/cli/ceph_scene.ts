/**
 * A backup and an image in a Ceph cluster for tests, in whose pool "rbd" images are made and
 * deleted. The environment variable BACKY_TEST_CEPH_CONF names the cluster's configuration.
 *
 * @module
 */

import { dirname } from "node:path";

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assertEquals } from "../assert.ts";
import { isFilled } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { type CommandOutcome, programProblem } from "../support/programs.ts";
import { sampleBytes } from "../support/store_builder.ts";
import { EXTRACT, RunningTool } from "../support/tool.ts";
import { until } from "../support/wait.ts";
import { recipe, shellQuote } from "./recipes.ts";
import { SampleStore } from "./sample_store.ts";

export const DOCUMENT = "docs/ceph.md";
const DIRECT = "Without a mapped device";
const CONF = Deno.env.get("BACKY_TEST_CEPH_CONF") ?? "";
const POOL = "rbd";

/** Why nothing can be tried on a cluster here; `null` if it can. */
export const noCluster = CONF === ""
  ? "BACKY_TEST_CEPH_CONF names no cluster"
  : programProblem("rbd", "ceph", "timeout", "cmp");
/** Why images cannot be shown as files here; `null` if they can. */
export const noDaemon = noCluster ?? programProblem("qemu-storage-daemon", "fusermount3") ??
  (Deno.uid() === 0 ? null : "not root");

/** Why users' rights cannot be tried here; `null` if they can. */
export const noUsers = noCluster ??
  (/auth_client_required = cephx/.test(Deno.readTextFileSync(CONF))
    ? null
    : "the cluster asks nobody for a key");

// Where nothing is tried, nothing depends on the document either.
const direct = (block: number) => noCluster === null ? recipe(DOCUMENT, DIRECT, block) : [];
const [pipefail = "", create = "", restore = ""] = direct(0);
/** What the document says about a restore through a pipe. */
export const Command = {
  PIPEFAIL: pipefail,
  CREATE: create.replace("100G", "1M"),
  RESTORE: restore,
  /** Succeeds if the image is the newest revision. */
  COMPARE: direct(1).join("\n"),
} as const;

/** One more image of a scene. */
export const OTHER_IMAGE = "pool/vm0-other";

/** Kinds of images, and the options of `rbd import` that make them. */
export const IMAGE_KINDS = [
  ["of default objects", ""],
  ["of objects of 8 MiB", "--object-size 8M"],
  ["of objects of 32 KiB", "--object-size 32K"],
  ["in stripes", "--stripe-unit 64K --stripe-count 3"],
  ["with no feature but layering", "--image-feature layering"],
] as const;

/** A sample with a later revision, and an image of its own in the cluster, not made yet. */
export class Scene implements Disposable {
  readonly store = new SampleStore();
  readonly image = `backy-test-${crypto.randomUUID()}`;
  /** For the key of another user. */
  readonly keyring = this.store.file("restore.keyring");
  /** What is taken for the newest revision, and its image. */
  last: { readonly path: string; readonly image: Uint8Array } = {
    path: this.store.revision.path,
    image: this.store.image,
  };
  /** Of whole chunks. */
  readonly later = this.store.add("Later", [sampleBytes(70), "absent", sampleBytes(71)]);
  readonly #env: Readonly<Record<string, string>>;

  constructor() {
    const programs = this.store.file("programs");
    Deno.mkdirSync(programs);
    const tool = `#!/bin/sh\nexec ${EXTRACT.map(shellQuote).join(" ")} "$@"\n`;
    Deno.writeTextFileSync(`${programs}/backy-extract`, tool, { mode: 0o755 });
    const path = `${programs}:${Deno.env.get("PATH")}`;
    this.#env = { CEPH_CONF: CONF, LC_ALL: "C.UTF-8", PATH: path };
  }

  /** Commands of the document for bash, with this test's names in place of theirs. */
  #words(commands: readonly string[]): string[] {
    const here = commands.map((command) =>
      command
        .replaceAll("pool/vm0", `${POOL}/${this.image}`)
        .replaceAll("pool=pool,image=vm0", `pool=${POOL},image=${this.image}`)
        .replaceAll("/run/vm0.img", shellQuote(this.store.file("export.img")))
        .replaceAll("/etc/ceph/restore.keyring", this.keyring)
        .replaceAll("/srv/backy/vm0/last", shellQuote(this.last.path))
        .replaceAll("/srv/backy/vm0/1", shellQuote(this.later.path))
        .replaceAll("Nym6uacWoXGb8VnbksM3yH", "SampleRevision")
    );
    return ["-s", "KILL", "120", "bash", "-ec", here.join("\n")];
  }

  /** Runs commands of the document in bash, until one fails. */
  try(...commands: readonly string[]): CommandOutcome {
    const command = new Deno.Command("timeout", { args: this.#words(commands), env: this.#env });
    const { code, stdout, stderr } = command.outputSync();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Runs commands that must succeed. @returns What they printed. */
  run(...commands: readonly string[]): string {
    const { code, stdout, stderr } = this.try(...commands);
    assertEquals(code, 0, `${commands.join("\n")}: ${stdout}${stderr}`);
    return stdout;
  }

  /** Starts commands in the background. */
  start(...commands: readonly string[]): RunningTool {
    return new RunningTool(["timeout", ...this.#words(commands)], { env: this.#env });
  }

  /** Makes the image, of a content. @param options Of `rbd import`. */
  importBytes(bytes: Uint8Array, options = ""): void {
    const file = shellQuote(this.store.file("imported", bytes));
    this.run(`rbd import --no-progress ${options} ${file} pool/vm0`);
  }

  /** Makes the image, a clone of the other one. @param bytes What that one holds. */
  makeClone(bytes: Uint8Array): void {
    this.importBytes(bytes);
    this.run(
      `rbd mv pool/vm0 ${OTHER_IMAGE}`,
      `rbd snap create --no-progress ${OTHER_IMAGE}@golden`,
      `rbd snap protect ${OTHER_IMAGE}@golden`,
      `rbd clone ${OTHER_IMAGE}@golden pool/vm0`,
    );
  }

  /** Bytes of a file for the cluster that are all 0xFF, more than the newest revision has. */
  onesBeyond(bytes: number): Uint8Array {
    return new Uint8Array(this.last.image.length + bytes).fill(0xff);
  }

  imageBytes(): number {
    return JSON.parse(this.run("rbd info --format json pool/vm0")).size;
  }

  /** How much storage the image takes. */
  usedBytes(): number {
    return JSON.parse(this.run("rbd du --format json pool/vm0")).images[0].used_size;
  }

  /** How much storage the newest revision takes in objects as long as chunks. */
  objectBytes(): number {
    const { image } = this.last;
    let bytes = 0;
    for (let at = 0; at < image.length; at += CHUNK_BYTES) {
      if (!isFilled(image.subarray(at, at + CHUNK_BYTES), 0)) bytes += CHUNK_BYTES;
    }
    return bytes;
  }

  /** Blocks whoever has an image open, dead or alive, so that nobody has to wait for them. */
  blockWatchers(image = "pool/vm0"): void {
    const { stdout } = this.try(`rbd status ${image}`);
    for (const [, address] of stdout.matchAll(/watcher=(\S+)/g)) {
      this.run(`ceph osd blocklist add ${address}`);
    }
  }

  /** Deletes the image and the other one, which may be its parent, with their snapshots. */
  remove(): void {
    for (const image of ["pool/vm0", OTHER_IMAGE]) {
      this.blockWatchers(image);
      this.try(
        `rbd snap unprotect ${image}@golden || true`,
        `rbd snap purge --no-progress ${image} || true`,
        `rbd rm --no-progress ${image}`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.try("umount -l /run/vm0.img");
    this.remove();
    this.store[Symbol.dispose]();
  }
}

/** A cluster that takes itself for full. */
export class FullCluster implements Disposable {
  constructor(readonly scene: Scene) {
    this.#limit("0.0001", "0.0002", "0.0003");
  }

  #limit(nearFull: string, backfillFull: string, full: string): void {
    const set = (name: string, ratio: string) => `ceph osd set-${name}-ratio ${ratio}`;
    const rise = [set("full", full), set("backfillfull", backfillFull), set("nearfull", nearFull)];
    // OSDs ignore limits that do not rise.
    this.scene.run(...(full < "0.5" ? rise.reverse() : rise));
  }

  async untilFull(): Promise<void> {
    await until(
      () => this.scene.run("ceph health detail").includes("OSD_FULL"),
      "a full cluster",
    );
  }

  [Symbol.dispose](): void {
    this.#limit("0.85", "0.9", "0.95");
  }
}

/** The cluster's OSD, stopped until this is disposed: nothing that is asked of it ends. */
export class StoppedOsd implements Disposable {
  readonly #pid = Number(Deno.readTextFileSync(`${dirname(CONF)}/run/osd.0.pid`));

  constructor() {
    Deno.kill(this.#pid, "SIGSTOP");
  }

  [Symbol.dispose](): void {
    Deno.kill(this.#pid, "SIGCONT");
  }
}

/** Declares a test on the cluster. */
export function cephTest(
  name: string,
  body: (scene: Scene) => void | Promise<void>,
  problem = noCluster,
): void {
  testUnless(problem, name, async () => {
    using scene = new Scene();
    await body(scene);
  });
}
