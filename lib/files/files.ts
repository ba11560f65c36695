/**
 * Shows the files in a revision: `backy-fuse files`. Read this file first.
 *
 * Two processes: a server mounts the revisions as image files (`image_server.ts`), and this one
 * looks at the image (`lib/image/`), plans for each volume how its files are reached
 * (`volumes.ts`, `mount_plan.ts`), and mounts it (`volume_mount.ts`). Whatever was done is a step
 * to undo (`undo_steps.ts`), which is put down as soon as it is done, so that nothing stays behind
 * if a later one fails or a signal comes. `clean.ts` removes what a run left that was killed.
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
import { type ImageLayout, readImageLayout } from "../image/image_layout.ts";
import { reasonOf } from "../linux/errno.ts";
import { realPathOrNull } from "../linux/paths.ts";
import { shellWord } from "../linux/printable.ts";
import { isRoot } from "../linux/processes.ts";
import { type SelectedRevision, selectRevision } from "../store/select_revision.ts";
import { quote } from "../wording.ts";
import { ImageFile } from "./image_file.ts";
import type { StartServer } from "./image_server.ts";
import { ShownFiles } from "./shown_files.ts";
import { undoAll, type UndoOptions, type UndoStep } from "./undo.ts";
import { DirectoryStep, ServerStep } from "./undo_steps.ts";
import { type VolumeEvent, VolumeMounter } from "./volumes.ts";
import { WorkDirectory } from "./work_directory.ts";

/** Events of {@linkcode showFiles}. */
export type FilesEvent =
  | { readonly type: "revision"; readonly revision: SelectedRevision }
  | { readonly type: "warning"; readonly text: string }
  | VolumeEvent;

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

async function show(options: FilesOptions, steps: UndoStep[]): Promise<ShownFiles> {
  const { basedir, spec = DEFAULT_SPEC, signal, force, onEvent } = options;
  if (!isRoot()) {
    throw new MountError(
      `Cannot show the files of ${quote(basedir)}: only root may mount what is in an image; ` +
        "use sudo, or mount the images alone (backy-fuse DIR MOUNTPOINT)",
    );
  }
  const mountpoint = await requireMountpoint(options);
  const revision = await selectRevision(basedir, { spec, signal });
  onEvent({ type: "revision", revision });

  const directory = WorkDirectory.create(mountpoint);
  steps.push(new DirectoryStep(directory));
  // Another run may have come as far meanwhile: whoever looks second sees the other.
  if (mountpoint !== null) requireUnused(mountpoint, directory);
  const server = options.startServer(directory.image);
  steps.push(new ServerStep(directory, server));
  // Whatever waits for the server then fails.
  const kill = () => server.signal("SIGKILL");
  force.addEventListener("abort", kill);
  try {
    await unlessAborted(server.ready, signal);
    const image = `${directory.image}/${revision.name}`;
    const { layout, imageBytes } = readLayout(image);
    if (layout.tableFault !== null) onEvent({ type: "warning", text: layout.tableFault });
    const { table, volumes } = layout;
    for (const text of table?.warnings ?? []) onEvent({ type: "warning", text });
    const mounter = new VolumeMounter({
      directory,
      image,
      imageBytes,
      table,
      steps,
      onEvent,
      signal,
    });
    await mounter.mountAll(volumes);
    return new ShownFiles(mounter, { steps, server, options });
  } finally {
    force.removeEventListener("abort", kill);
  }
}

/** @returns Its path, absolute and without symbolic links; `null` if none was named. */
async function requireMountpoint(
  { mountpoint, basedir }: FilesOptions,
): Promise<string | null> {
  if (mountpoint === undefined) return null;
  const refuse = (reason: string): never => {
    throw new MountError(`Cannot mount at ${quote(mountpoint)}: ${reason}`);
  };
  const path = realPathOrNull(mountpoint) ?? mountpoint;
  requireUnused(path);
  let names: string[] = [];
  try {
    names = Array.from(Deno.readDirSync(path), ({ name }) => name);
  } catch (error) {
    const remedy = error instanceof Deno.errors.NotFound
      ? `; create it (mkdir -p ${shellWord(mountpoint)})`
      : "";
    refuse(`${reasonOf(error)}${remedy}`);
  }
  if (names.length > 0) refuse("it is not empty; use an empty directory");
  await requireMountable(mountpoint, { basedir, spillDir: basedir });
  return path;
}

/** @param own The directory of this run, if it has one. @throws {MountError} If it is used. */
function requireUnused(mountpoint: string, own?: WorkDirectory): void {
  const isUsed = WorkDirectory.list().some((other) =>
    other.path !== own?.path && other.mountpoint === mountpoint
  );
  if (!isUsed) return;
  throw new MountError(
    `Cannot mount at ${quote(mountpoint)}: another run shows its files there; if it was killed: ` +
      `backy-fuse files --clean ${shellWord(mountpoint)}`,
  );
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

function readLayout(path: string): { layout: ImageLayout; imageBytes: number } {
  using image = new ImageFile(path);
  return { layout: readImageLayout(image), imageBytes: image.bytes };
}
