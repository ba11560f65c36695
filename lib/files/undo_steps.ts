/**
 * What there is to undo: a mounted file system with its loop device, the mount of the revisions
 * with its server, the directory of the run.
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { findUsers } from "../fuse/user_search.ts";
import { backingName } from "../linux/loop_devices.ts";
import { unmountPath } from "../linux/mounting.ts";
import { isFuseMount, listMounts, type Mount } from "../linux/mounts.ts";
import { describeProcess, findProcesses } from "../linux/processes.ts";
import { sendSignal } from "../linux/signals.ts";
import { quote } from "../wording.ts";
import type { ImageServer } from "./image_server.ts";
import { pause, type UndoStep } from "./undo.ts";
import type { WorkDirectory } from "./work_directory.ts";

/** How long something may take to end by itself before its users are looked for. */
const ENDING_MS = 3000;
const POLL_MS = 20;

/** Waits until something holds, but not for long. @returns Whether it does. */
async function endsSoon(hasEnded: () => boolean): Promise<boolean> {
  const end = performance.now() + ENDING_MS;
  while (!hasEnded()) {
    if (performance.now() > end) return false;
    await pause(POLL_MS);
  }
  return true;
}

/** Unmounts a file system, and waits until its loop device has gone. */
export class MountStep implements UndoStep {
  readonly subject: string;
  readonly #mount: Mount;
  /** What the loop device stands on, if there is one. */
  readonly #backing: string | null;

  /** @param mount As the mount table has it. */
  constructor(mount: Mount) {
    this.#mount = mount;
    this.subject = `the mount at ${quote(mount.mountpoint)}`;
    this.#backing = backingName(mount.source);
  }

  get mountpoint(): string {
    return this.#mount.mountpoint;
  }

  /** Whether it is still mounted where it was. */
  get isMounted(): boolean {
    return listMounts().some(({ id, mountpoint }) =>
      id === this.#mount.id && mountpoint === this.#mount.mountpoint
    );
  }

  /** Whether something else was mounted over it, which unmounting the path would take away. */
  get #isCovered(): boolean {
    const top = listMounts().findLast(({ mountpoint }) => mountpoint === this.mountpoint);
    return top?.id !== this.#mount.id;
  }

  async undo(): Promise<readonly string[] | null> {
    if (this.isMounted) {
      const isBusy = this.#isCovered || await unmountPath(this.mountpoint) === "busy";
      if (isBusy) return await findUsers("users", this.#mount);
    }
    if (await endsSoon(() => !this.#hasLoop)) return null;
    return await findUsers("keepers", this.#mount);
  }

  /** Whether the loop device stands on the image still: others may use the device by now. */
  get #hasLoop(): boolean {
    return this.#backing !== null && backingName(this.#mount.source) === this.#backing;
  }

  async force(): Promise<void> {
    if (this.isMounted) await unmountPath(this.#mount.mountpoint, { lazy: true });
  }
}

/** Unmounts the revisions, and waits until their server has ended. */
export class ServerStep implements UndoStep {
  readonly subject: string;
  readonly #directory: WorkDirectory;
  readonly #server: ImageServer | null;
  #mount: Mount | null = null;
  #hasEnded = false;
  #isReady = false;
  #isTold = false;

  /** @param server The server that this process has started; `null` for that of a killed run. */
  constructor(directory: WorkDirectory, server: ImageServer | null) {
    this.#directory = directory;
    this.#server = server;
    this.subject = `the image in ${quote(directory.image)}`;
    server?.ready.then(() => this.#isReady = true, () => {});
    server?.ended.then(() => this.#hasEnded = true);
  }

  async undo(): Promise<readonly string[] | null> {
    const path = this.#directory.image;
    // It has not mounted yet, and is not to. Once: a second one would not let it end in order.
    if (!this.#isReady && !this.#isTold) this.#server?.signal("SIGTERM");
    this.#isTold = true;
    const mount = listMounts().findLast((mount) => mount.mountpoint === path && isFuseMount(mount));
    this.#mount = mount ?? this.#mount;
    if (mount && await unmountPath(path) === "busy") return await findUsers("users", mount);
    if (await endsSoon(() => !this.#isRunning) && !this.#isMounted) return null;
    const keepers = this.#mount === null ? [] : await findUsers("keepers", this.#mount);
    return keepers.length > 0 ? keepers : this.#pids.map(describeProcess);
  }

  /** The server's ids: those of a killed run are found by the mount point in their arguments. */
  get #pids(): number[] {
    if (this.#server !== null) return this.#hasEnded ? [] : [this.#server.pid];
    return findProcesses(this.#directory.image);
  }

  get #isRunning(): boolean {
    return this.#pids.length > 0;
  }

  get #isMounted(): boolean {
    return listMounts().some(({ mountpoint }) => mountpoint === this.#directory.image);
  }

  /** Whoever uses it gets errors from now on. */
  async force(): Promise<void> {
    const path = this.#directory.image;
    if (this.#isMounted) await unmountPath(path, { lazy: true });
    // A second one ends the server although its mount is in use.
    for (const signals of [["SIGTERM", "SIGTERM"], ["SIGKILL"]] as const) {
      for (const signal of signals) {
        for (const pid of this.#pids) sendSignal(pid, signal);
        await pause(POLL_MS);
      }
      if (await endsSoon(() => !this.#isRunning)) break;
    }
    while (this.#isMounted) {
      const outcome = await unmountPath(path, { lazy: true });
      if (outcome === "absent" && this.#isMounted) {
        // Mounts of another user namespace are locked together: mount_namespaces(7).
        throw new MountError(
          `Cannot unmount ${quote(path)}: another user namespace has mounted it`,
        );
      }
    }
  }
}

/** Removes the directory of the run. */
export class DirectoryStep implements UndoStep {
  readonly subject: string;
  readonly #directory: WorkDirectory;

  constructor(directory: WorkDirectory) {
    this.#directory = directory;
    this.subject = quote(directory.path);
  }

  undo(): Promise<null> {
    this.#directory.remove();
    return Promise.resolve(null);
  }

  force(): Promise<void> {
    return Promise.resolve();
  }
}
