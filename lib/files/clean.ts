/**
 * Removes what a run of `files` left that was killed: its mounts, loop devices, server and
 * directory, as the mount table and `work_directory.ts` tell them.
 *
 * @module
 */

import { MountError } from "../errors.ts";
import { backingName } from "../linux/loop_devices.ts";
import { listMounts } from "../linux/mounts.ts";
import { isInside, realPathOrNull } from "../linux/paths.ts";
import { isRoot } from "../linux/processes.ts";
import { quote } from "../wording.ts";
import { undoAll, type UndoOptions } from "./undo.ts";
import { DirectoryStep, MountStep, ServerStep } from "./undo_steps.ts";
import { WorkDirectory } from "./work_directory.ts";

/**
 * Removes what killed runs left at a mount point.
 *
 * @param mountpoint As it was named, or as the run has printed it.
 * @returns Whether that needed no force.
 * @throws {MountError} If there is nothing, or the run still lives.
 */
export async function cleanUp(mountpoint: string, options: UndoOptions): Promise<boolean> {
  const refuse = (reason: string): never => {
    throw new MountError(`Cannot clean up ${quote(mountpoint)}: ${reason}`);
  };
  if (!isRoot()) refuse("only root may");
  const wanted = realPathOrNull(mountpoint) ?? mountpoint;
  const found = WorkDirectory.list().filter((directory) =>
    directory.mountpoint === wanted || isInside(wanted, directory.path) ||
    mountsOf(directory).some(({ mountpoint }) => mountpoint === wanted)
  );
  if (found.length === 0) {
    refuse("nothing is left there by backy-fuse files; findmnt and losetup -l show what there is");
  }
  const steps = found.flatMap((directory) => {
    directory.takeOver();
    return [
      new DirectoryStep(directory),
      new ServerStep(directory, null),
      ...mountsOf(directory),
    ];
  });
  return await undoAll(steps, options);
}

/** The mounts of a run in the order in which they were made. */
function mountsOf(directory: WorkDirectory): MountStep[] {
  return listMounts().filter(({ source }) =>
    source === directory.path || isInside(backingName(source) ?? "", directory.image)
  ).map((mount) => new MountStep(mount));
}
