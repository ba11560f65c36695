/**
 * Regular files as targets: checks them. `checked_file.ts` makes them ready to be written.
 *
 * @module
 */

import { basename, dirname, isAbsolute } from "node:path";

import { describeErrno, Errno } from "../linux/errno.ts";
import { statFd, statOrNull } from "../linux/file_status.ts";
import {
  AccessMode,
  isInside,
  linkOrNull,
  nearestFolder,
  realPathOrNull,
  tryAccess,
} from "../linux/paths.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { describeHarm, storeOverlap } from "./backup_files.ts";
import { CheckedFile, tryClaim } from "./checked_file.ts";
import {
  describeBarriers,
  describeFileUse,
  isWrittenByOthers,
  whyNotOpened,
} from "./file_users.ts";
import { amountOfFile, requireRoom } from "./room.ts";
import type { CheckedTarget, PreflightOptions } from "./target.ts";
import { quote } from "../wording.ts";
import {
  describeBytes,
  doubtWarnings,
  overriddenWarnings,
  refusal,
  requireHarmless,
} from "./wording.ts";

/** Symbolic links that are followed in one path. Source: MAXSYMLINKS, linux/namei.h. */
const MAX_SYMLINKS = 40;

/** Checks an existing regular file. @throws {TargetError} If it must not or cannot be written. */
export function checkExistingFile(path: string, options: PreflightOptions): CheckedTarget {
  // Asked before it is opened here, which would count too.
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
    const roomDoubts = requireRoom(path, amountOfFile(options), {
      at: fd,
      old: info,
      sparse: options.sparse,
    });
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
  const roomDoubts = requireRoom(path, amountOfFile(options), {
    at: folder,
    old: null,
    sparse: options.sparse,
  });
  return new CheckedFile(path, options, {
    createAt: realPath,
    warnings: [...overriddenWarnings(path, harm), ...roomDoubts],
  });
}

/** Returns the path that creating `path` would create: itself, or where dangling links lead. */
function followLinks(path: string): string {
  let current = path;
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    const target = linkOrNull(current);
    if (target === null) return current;
    current = isAbsolute(target) ? target : `${dirname(current)}/${target}`;
  }
  throw refusal(path, "too many symbolic links");
}

/**
 * Whether a folder is for device nodes. A name that does not exist there is a typing error, not a
 * request for a file in memory. File systems mounted below /dev, such as /dev/shm, are for files.
 */
function isDeviceFolder(folder: string): boolean {
  if (!isInside(folder, "/dev") || isInside(folder, "/dev/shm")) return false;
  return statOrNull(folder)?.dev === statOrNull("/dev")?.dev;
}
