/**
 * Regular files as targets: their checks. How they are made ready is in `checked_file.ts`.
 *
 * @module
 */

import { basename, dirname, isAbsolute } from "node:path";

import { describeErrno, Errno } from "../linux/errno.ts";
import { type FileStatus, statFd, statOrNull } from "../linux/file_status.ts";
import { AccessMode, nearestFolder, realPathOrNull, tryAccess } from "../linux/paths.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { describeHarm } from "./backup_files.ts";
import { CheckedFile, tryClaim } from "./checked_file.ts";
import {
  describeBarriers,
  describeFileUse,
  isWrittenByOthers,
  whyNotOpened,
} from "./file_users.ts";
import { storeOverlap } from "./store_overlap.ts";
import { amountOfFile, forecastRoom } from "./room.ts";
import type { CheckedTarget, PreflightOptions } from "./target.ts";
import { quote } from "../wording.ts";
import {
  describeBytes,
  doubtWarnings,
  overriddenWarnings,
  refusal,
  requireHarmless,
  roomWarnings,
} from "./wording.ts";

/**
 * Symbolic links that are followed before a path counts as endless. Source: MAXSYMLINKS,
 * linux/namei.h.
 */
const MAX_SYMLINKS = 40;

/** Checks an existing regular file. @throws {TargetError} If it must not or cannot be written. */
export function checkExistingFile(path: string, options: PreflightOptions): CheckedTarget {
  // Before it is opened here, which makes us one of them.
  const isWritten = isWrittenByOthers(path);
  let fd: number;
  try {
    fd = openFd(path, options.isRead ? OpenFlag.O_RDWR : OpenFlag.O_WRONLY);
  } catch (error) {
    throw refusal(path, whyNotOpened(path, error), error);
  }
  try {
    const info = statFd(fd);
    if (!info.isFile) throw refusal(path, "it changed while it was looked at");
    const file = { path, realPath: realPathOrNull(path), info };
    const overlap = storeOverlap(file, options);
    if (overlap !== null) throw refusal(path, overlap);
    const isClaimed = tryClaim(fd);
    const use = describeFileUse({ path, fd, info }, { isWritten, isClaimed });
    const uses = [...describeHarm(file), ...use.reasons];
    requireHarmless(path, uses, options);
    const { heldBytes = 0 } = options;
    if (info.size < heldBytes) {
      throw refusal(
        path,
        `it holds ${describeBytes(info.size)}, the base revision ${describeBytes(heldBytes)}; ` +
          "use --update instead of --base",
      );
    }
    const roomDoubts = requireRoom(path, options, { on: fd, old: info });
    const warnings = [
      ...overriddenWarnings(path, uses),
      ...doubtWarnings(path, use.doubt),
      ...roomDoubts,
    ];
    return new CheckedFile(path, options, { fd, warnings });
  } catch (error) {
    releaseFd(fd);
    throw error;
  }
}

/**
 * Checks a path at which nothing exists. @throws {TargetError} If no file can or should be created
 * there.
 */
export function checkNewFile(path: string, options: PreflightOptions): CheckedTarget {
  if (path === "") throw refusal(path, "the name is empty");
  if ((options.heldBytes ?? 0) > 0) {
    const reason = "there is no such file, so it cannot hold the base revision";
    throw refusal(path, `${reason}; leave out --base`);
  }
  const wanted = followLinks(path);
  const missingDevice = nearestFolder(wanted);
  if (missingDevice !== null && isDeviceFolder(missingDevice)) {
    throw refusal(path, "no such device");
  }
  const folder = realPathOrNull(dirname(wanted));
  if (folder === null) {
    throw refusal(path, `the directory ${quote(dirname(wanted))} does not exist`);
  }
  if (wanted.endsWith("/")) throw refusal(path, "the directory does not exist");
  const realPath = `${folder === "/" ? "" : folder}/${basename(wanted)}`;
  const file = { realPath, info: null };
  const overlap = storeOverlap(file, options);
  if (overlap !== null) throw refusal(path, overlap);
  const harm = describeHarm(file);
  requireHarmless(path, harm, options);
  const errno = tryAccess(folder, AccessMode.W_OK);
  if (errno !== 0) {
    throw refusal(
      path,
      `the directory ${quote(folder)} cannot be written: ${describeErrno(errno)}` +
        (errno === Errno.EPERM ? describeBarriers(folder) : ""),
    );
  }
  const roomDoubts = requireRoom(path, options, { on: folder, old: null });
  return new CheckedFile(path, options, {
    createAt: realPath,
    warnings: [...overriddenWarnings(path, harm), ...roomDoubts],
  });
}

/** The path that creating `path` would create: its own, or the one that dangling links lead to. */
function followLinks(path: string): string {
  let current = path;
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    let target: string;
    try {
      target = Deno.readLinkSync(current);
    } catch {
      return current;
    }
    current = isAbsolute(target) ? target : `${dirname(current)}/${target}`;
  }
  throw refusal(path, "too many symbolic links");
}

/**
 * Tells whether a folder is for device nodes, where a name that does not exist is a slip of the pen
 * and not a wish for a file in memory. File systems that are mounted below /dev, such as /dev/shm,
 * are for files.
 */
function isDeviceFolder(folder: string): boolean {
  if (folder !== "/dev" && !folder.startsWith("/dev/")) return false;
  if (folder === "/dev/shm" || folder.startsWith("/dev/shm/")) return false;
  return statOrNull(folder)?.dev === statOrNull("/dev")?.dev;
}

/**
 * @throws {TargetError} If the file system has not the room for what will be written. @returns
 *   Warnings if it may not.
 */
function requireRoom(
  path: string,
  options: PreflightOptions,
  at: { on: string | number; old: FileStatus | null },
): string[] {
  const { refusal: reason, doubt } = forecastRoom(at.on, amountOfFile(options), {
    old: at.old,
    sparse: options.sparse,
  });
  if (reason !== null) throw refusal(path, reason);
  return roomWarnings(path, doubt);
}
