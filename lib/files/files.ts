/**
 * Shows the files in a revision: `backy-fuse files`. Read this file first.
 *
 * Two processes: a server mounts the revisions as image files (`image_server.ts`), and this one
 * looks at the image (`lib/image/`), plans for each volume how its files are reached
 * (`mount_plan.ts`), and mounts it (`volume_mount.ts`). Whatever was done is a step to undo
 * (`undo_steps.ts`), which is put down as soon as it is done, so that nothing stays behind if a
 * later one fails or a signal comes. `clean.ts` removes what a run left that was killed.
 *
 * ```text
 * store --server--> /run/backy-fuse-1a2b3c4d/image/REV --loop device--> ext4 at MOUNTPOINT/1
 *                                                      --loop device--> XFS at MOUNTPOINT/2
 * ```
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { requireMountable } from "../fuse/preflight.ts";
import { type ImageLayout, readImageLayout, type Volume } from "../image/image_layout.ts";
import { describeVolume } from "../image/volume_content.ts";
import { reasonOf } from "../linux/errno.ts";
import { mountFileSystem, MountFlag } from "../linux/mounting.ts";
import { listMounts } from "../linux/mounts.ts";
import { isRoot } from "../linux/processes.ts";
import { type SelectedRevision, selectRevision } from "../store/select_revision.ts";
import { shellWord } from "../linux/printable.ts";
import { quote } from "../wording.ts";
import { ImageFile } from "./image_file.ts";
import type { ImageServer, StartServer } from "./image_server.ts";
import { planMount } from "./mount_plan.ts";
import { pause, undoAll, type UndoOptions, type UndoStep } from "./undo.ts";
import { DirectoryStep, MountStep, ServerStep } from "./undo_steps.ts";
import { MOUNT_FLAGS, mountVolume } from "./volume_mount.ts";
import { WorkDirectory } from "./work_directory.ts";

/** What is told about a volume: a partition, or the whole image. */
export interface VolumeName {
  /** The partition's number; `null` for the whole image. */
  readonly number: number | null;
  /** What it holds, such as "ext4"; `null` if nothing was recognised. */
  readonly content: string | null;
  /** Label of what it holds, or the partition's name; may be unprintable, "" for none. */
  readonly label: string;
  readonly bytes: number;
}

/** Events of {@linkcode showFiles}. */
export type FilesEvent =
  | { readonly type: "revision"; readonly revision: SelectedRevision }
  | { readonly type: "warning"; readonly text: string }
  /** Its files are at the path. */
  | {
    readonly type: "mounted";
    readonly volume: VolumeName;
    readonly path: string;
    /** Names of subvolumes at the top of a btrfs. */
    readonly subvolumes: readonly string[];
  }
  /** It is no file system; `next` says what to do, with commands. */
  | { readonly type: "other"; readonly volume: VolumeName; readonly next: string }
  /** It is a file system, but was not mounted. */
  | {
    readonly type: "failed";
    readonly volume: VolumeName;
    readonly reason: string;
    readonly next: string;
  };

/** What to show, and where. */
export interface FilesOptions extends UndoOptions {
  readonly basedir: string;
  /** Which revision; default: the newest whose backup ran to its end. */
  readonly spec?: string | undefined;
  /** An empty directory; default: one that is made. */
  readonly mountpoint?: string | undefined;
  readonly startServer: StartServer;
  /** Aborting it undoes what was done; its reason is thrown. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: FilesEvent) => void;
}

/** As `last` in a mount. */
const DEFAULT_SPEC = "last(clean)";

/**
 * Mounts the file systems in a revision.
 *
 * @throws {MountError} If that is impossible; everything is undone then.
 * @throws {RevisionError | StoreFormatError | UsageError | LockError} As a mount, and as
 *   `selectRevision` does.
 */
export async function showFiles(options: FilesOptions): Promise<ShownFiles> {
  const steps: UndoStep[] = [];
  try {
    return await show(options, steps);
  } catch (error) {
    await undoAll(steps, options);
    throw error;
  }
}

/** The files of a revision, mounted. */
export class ShownFiles {
  /** The directory that has them. */
  readonly root: string;
  /** Where file systems are mounted, in order. */
  readonly paths: readonly string[];
  /** Volumes that can be reached by hand as long as this lasts. */
  readonly otherCount: number;
  /** File systems that were not mounted. */
  readonly failureCount: number;
  /** Resolves when everything was unmounted, or the server has ended by itself. */
  readonly gone: Promise<"unmounted" | "server ended">;
  readonly #steps: UndoStep[];
  readonly #options: UndoOptions;
  #isEnding = false;

  constructor(
    found: Pick<ShownFiles, "root" | "paths" | "otherCount" | "failureCount">,
    { steps, server, options }: {
      readonly steps: UndoStep[];
      readonly server: ImageServer;
      readonly options: UndoOptions;
    },
  ) {
    this.root = found.root;
    this.paths = found.paths;
    this.otherCount = found.otherCount;
    this.failureCount = found.failureCount;
    this.#steps = steps;
    this.#options = options;
    this.gone = Promise.race([
      server.ended.then(() => this.#isEnding ? "unmounted" : "server ended"),
      this.#untilUnmounted(),
    ]);
  }

  /** Undoes everything, in order. @returns Whether that needed no force. */
  async end(): Promise<boolean> {
    this.#isEnding = true;
    return await undoAll(this.#steps, this.#options);
  }

  async #untilUnmounted(): Promise<"unmounted"> {
    const mounts = this.#steps.filter((step) => step instanceof MountStep);
    while (!this.#isEnding) {
      await pause(WATCH_MS);
      if (mounts.length > 0 && !mounts.some(({ isMounted }) => isMounted)) break;
    }
    return "unmounted";
  }
}

/** How often it is looked whether everything was unmounted. */
const WATCH_MS = 500;

async function show(options: FilesOptions, steps: UndoStep[]): Promise<ShownFiles> {
  const { basedir, spec = DEFAULT_SPEC, signal, force, onEvent } = options;
  if (!isRoot()) {
    throw new MountError(
      `Cannot show the files of ${quote(basedir)}: only root may mount what is in an image; ` +
        "use sudo, or mount the images alone (backy-fuse DIR MOUNTPOINT)",
    );
  }
  const mountpoint = requireMountpoint(options);
  const revision = await selectRevision(basedir, { spec, signal });
  onEvent({ type: "revision", revision });

  const directory = WorkDirectory.create(mountpoint);
  steps.push(new DirectoryStep(directory));
  const server = options.startServer(directory.image);
  steps.push(new ServerStep(directory, server));
  // Whatever waits for the server then fails.
  const kill = () => server.signal("SIGKILL");
  force.addEventListener("abort", kill);
  try {
    await unlessAborted(server.ready, signal);
    const image = `${directory.image}/${revision.name}`;
    const layout = readLayout(image);
    if (layout.tableFault !== null) onEvent({ type: "warning", text: layout.tableFault });
    const shower = new Shower(directory, { image, layout, steps, options });
    await shower.showAll();
    return new ShownFiles(shower, { steps, server, options });
  } finally {
    force.removeEventListener("abort", kill);
  }
}

/** @returns Its path, absolute and without symbolic links; `null` if none was named. */
function requireMountpoint({ mountpoint, basedir }: FilesOptions): string | null {
  if (mountpoint === undefined) return null;
  const refuse = (reason: string): never => {
    throw new MountError(`Cannot mount at ${quote(mountpoint)}: ${reason}`);
  };
  let names: string[] = [];
  try {
    names = Array.from(Deno.readDirSync(mountpoint), ({ name }) => name);
  } catch (error) {
    const remedy = error instanceof Deno.errors.NotFound
      ? `; create it (mkdir -p ${shellWord(mountpoint)})`
      : "";
    refuse(`${reasonOf(error)}${remedy}`);
  }
  if (names.length > 0) refuse("it is not empty; use an empty directory");
  requireMountable(mountpoint, { basedir, spillDir: basedir });
  const path = Deno.realPathSync(mountpoint);
  if (
    listMounts().some((mount) => mount.mountpoint === path && /^\/dev\/loop/.test(mount.source))
  ) {
    refuse("something is mounted there already");
  }
  return path;
}

function readLayout(path: string): ImageLayout {
  using image = new ImageFile(path);
  return readImageLayout(image);
}

/** Waits, but not after a signal was aborted. @throws Its reason then. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Sectors of an image without a partition table. */
const PLAIN_SECTOR_BYTES = 512;

/** Mounts the volumes of one image. */
class Shower {
  readonly root: string;
  readonly paths: string[] = [];
  otherCount = 0;
  failureCount = 0;
  readonly #directory: WorkDirectory;
  readonly #image: string;
  readonly #layout: ImageLayout;
  readonly #steps: UndoStep[];
  readonly #options: FilesOptions;

  constructor(
    directory: WorkDirectory,
    { image, layout, steps, options }: {
      readonly image: string;
      readonly layout: ImageLayout;
      readonly steps: UndoStep[];
      readonly options: FilesOptions;
    },
  ) {
    this.root = directory.mountpoint;
    this.#directory = directory;
    this.#image = image;
    this.#layout = layout;
    this.#steps = steps;
    this.#options = options;
  }

  async showAll(): Promise<void> {
    const { table, volumes } = this.#layout;
    if (table !== null) await this.#mountNumbers();
    for (const volume of volumes) {
      this.#options.signal.throwIfAborted();
      await this.#show(volume);
    }
    if (table !== null) await this.#closeNumbers();
    this.#options.signal.throwIfAborted();
  }

  /** Mounts a directory of its own for the numbers, which vanishes with all that is in it. */
  async #mountNumbers(): Promise<void> {
    await mountFileSystem({
      source: this.#directory.path,
      target: this.root,
      type: "tmpfs",
      flags: MOUNT_FLAGS,
      data: "mode=755,size=1m",
    });
    this.#pushMount(this.root);
  }

  /** Nobody is to write into it what would be lost. */
  async #closeNumbers(): Promise<void> {
    await mountFileSystem({
      source: this.#directory.path,
      target: this.root,
      type: "tmpfs",
      flags: MOUNT_FLAGS | MountFlag.MS_REMOUNT | MountFlag.MS_RDONLY,
      data: "",
    });
  }

  #pushMount(path: string): void {
    const mount = listMounts().findLast(({ mountpoint }) => mountpoint === path);
    if (mount !== undefined) this.#steps.push(new MountStep(mount));
  }

  async #show(volume: Volume): Promise<void> {
    const { partition, content, offset, bytes, contentFault } = volume;
    const { onEvent } = this.#options;
    const number = partition?.number ?? null;
    const name = nameOf(volume);
    const fault = contentFault ?? partition?.fault ?? null;
    // It holds the logical partitions, which have numbers of their own.
    if (fault === null && partition?.role === "extended") return;
    if (fault !== null) {
      this.failureCount++;
      return onEvent({ type: "failed", volume: name, reason: fault, next: "" });
    }
    const file = number === null ? this.#image : `${this.#image}.parts/${number}`;
    const plan = planMount(content, file);
    if (!plan.isFileSystem) {
      this.otherCount++;
      return onEvent({ type: "other", volume: name, next: plan.next });
    }
    const target = number === null ? this.root : `${this.root}/${number}`;
    if (number !== null) Deno.mkdirSync(target);
    const sectorBytes = this.#layout.table?.sectorBytes ?? PLAIN_SECTOR_BYTES;
    const range = { offset, length: bytes, sectorBytes };
    const { ways } = plan;
    const outcome = await mountVolume(this.#image, range, { ways, target });
    if (outcome.mount !== null) {
      this.#steps.push(new MountStep(outcome.mount));
      this.paths.push(target);
      const subvolumes = content?.kind === "btrfs" ? subvolumesIn(target) : [];
      return onEvent({ type: "mounted", volume: name, path: target, subvolumes });
    }
    if (number !== null) Deno.removeSync(target);
    this.failureCount++;
    const { reason, isSupported } = outcome;
    onEvent({
      type: "failed",
      volume: name,
      reason,
      next: isSupported ? plan.repair : plan.instead,
    });
  }
}

function nameOf({ partition, content, bytes }: Volume): VolumeName {
  return {
    number: partition?.number ?? null,
    content: content === null ? null : describeVolume(content),
    label: content?.label || partition?.name || "",
    bytes,
  };
}

/** Inode number of the top directory of a btrfs subvolume. Source: BTRFS_FIRST_FREE_OBJECTID. */
const SUBVOLUME_INODE = 256;

/** Names of the subvolumes at the top of a btrfs. */
function subvolumesIn(path: string): string[] {
  try {
    return Array.from(Deno.readDirSync(path), ({ name }) => name)
      .filter((name) => Deno.lstatSync(`${path}/${name}`).ino === SUBVOLUME_INODE).sort();
  } catch {
    return [];
  }
}
