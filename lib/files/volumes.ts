/**
 * Mounts the volumes of an image, each at its place, and says what they are. `mount_plan.ts` knows
 * how, `volume_mount.ts` does it.
 *
 * @module
 */

import type { Volume } from "../image/image_layout.ts";
import type { PartitionTable } from "../image/partition.ts";
import { describeVolume } from "../image/volume_content.ts";
import { mountFileSystem, MountFlag } from "../linux/mounting.ts";
import { listMounts } from "../linux/mounts.ts";
import { adviseOnCutPartition, planMount } from "./mount_plan.ts";
import type { UndoStep } from "./undo.ts";
import { MountStep } from "./undo_steps.ts";
import { MOUNT_FLAGS, mountVolume } from "./volume_mount.ts";
import type { WorkDirectory } from "./work_directory.ts";

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

/** What became of a volume. */
export type VolumeEvent =
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
  /** It is a file system, but was not mounted; `next` says what else to try, "" for nothing. */
  | {
    readonly type: "failed";
    readonly volume: VolumeName;
    readonly reason: string;
    readonly next: string;
  };

/** Sectors of an image without a partition table. */
const PLAIN_SECTOR_BYTES = 512;

/** Mounts the volumes of one image, and counts what became of them. */
export class VolumeMounter {
  /** The directory that has the files. */
  readonly root: string;
  /** Where file systems are mounted. */
  readonly paths: string[] = [];
  /** Volumes that are not mounted, of which people are told what to try by hand. */
  byHandCount = 0;
  /** File systems that were not mounted. */
  failureCount = 0;
  readonly #directory: WorkDirectory;
  readonly #image: string;
  readonly #imageBytes: number;
  readonly #table: PartitionTable | null;
  readonly #steps: UndoStep[];
  readonly #onEvent: (event: VolumeEvent) => void;
  readonly #signal: AbortSignal;

  /**
   * @param options.image The image's file.
   * @param options.imageBytes Its length.
   * @param options.table The image's partition table, if it has one.
   * @param options.steps Gets a step for each mount, as soon as it is there.
   * @param options.signal Aborted when no more is to be mounted; its reason is thrown.
   */
  constructor(options: {
    readonly directory: WorkDirectory;
    readonly image: string;
    readonly imageBytes: number;
    readonly table: PartitionTable | null;
    readonly steps: UndoStep[];
    readonly onEvent: (event: VolumeEvent) => void;
    readonly signal: AbortSignal;
  }) {
    this.root = options.directory.mountpoint;
    this.#directory = options.directory;
    this.#image = options.image;
    this.#imageBytes = options.imageBytes;
    this.#table = options.table;
    this.#steps = options.steps;
    this.#onEvent = options.onEvent;
    this.#signal = options.signal;
  }

  /** Mounts all volumes that are file systems, in order. @throws {OsError} Without loop devices. */
  async mountAll(volumes: readonly Volume[]): Promise<void> {
    const isNumbered = this.#table !== null;
    if (isNumbered) await this.#mountNumbers();
    for (const volume of volumes) {
      this.#signal.throwIfAborted();
      await this.#show(volume);
    }
    if (isNumbered) await this.#closeNumbers();
    this.#signal.throwIfAborted();
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
    const onEvent = this.#onEvent;
    const number = partition?.number ?? null;
    const name = nameOf(volume);
    const fault = contentFault ?? partition?.fault ?? null;
    // It holds the logical partitions, which have numbers of their own.
    if (fault === null && partition?.role === "extended") return;
    if (fault !== null) {
      this.failureCount++;
      const isCut = contentFault === null && partition?.role !== "extended" &&
        offset < this.#imageBytes && bytes > 0 && Number.isSafeInteger(offset + bytes);
      const next = isCut ? adviseOnCutPartition(this.#image, { offset, length: bytes }) : "";
      if (next !== "") this.byHandCount++;
      return onEvent({ type: "failed", volume: name, reason: fault, next });
    }
    const file = number === null ? this.#image : `${this.#image}.parts/${number}`;
    const plan = planMount(content, file);
    if (!plan.isFileSystem) {
      this.byHandCount++;
      return onEvent({ type: "other", volume: name, next: plan.next });
    }
    const target = number === null ? this.root : `${this.root}/${number}`;
    if (number !== null) Deno.mkdirSync(target);
    const sectorBytes = this.#table?.sectorBytes ?? PLAIN_SECTOR_BYTES;
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
    const next = isSupported ? plan.repair : plan.instead;
    if (next !== "") this.byHandCount++;
    onEvent({ type: "failed", volume: name, reason, next });
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
