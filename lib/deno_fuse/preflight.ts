/**
 * Finds out why a mount would fail before libfuse is asked, and says what to do about it.
 *
 * @module
 */

import { dirname } from "node:path";
import { Errno, errnoName, errnoOf } from "../linux/errno.ts";
import { AccessMode, readText, tryAccess } from "../linux/paths.ts";
import { closeFd, openFd, OpenFlag } from "../linux/files.ts";
import { shellWord } from "../linux/printable.ts";
import { MountError } from "./errors.ts";
import type { MountOptions } from "./mount_options.ts";

const DEVICE = "/dev/fuse";
const CONFIG = "/etc/fuse.conf";

/**
 * Checks device, mount point and permissions.
 *
 * @param options With the mount options for libfuse.
 * @returns The mount point's absolute path without symbolic links.
 * @throws {MountError} If mounting cannot succeed; the message ends with the remedy.
 */
export async function requireMountable(
  mountpoint: string,
  options: Pick<MountOptions, "mountOptions" | "plainMountHint">,
): Promise<string> {
  const path = await requireDirectory(mountpoint);
  requireDevice(mountpoint);
  if (Deno.uid() !== 0) requireUserMayMount(mountpoint, options);
  return path;
}

function refuse(mountpoint: string, reason: string, cause?: unknown): never {
  throw new MountError(`Cannot mount at "${mountpoint}": ${reason}`, { cause });
}

async function requireDirectory(mountpoint: string): Promise<string> {
  let path: string;
  let isDirectory: boolean;
  try {
    path = await Deno.realPath(mountpoint);
    ({ isDirectory } = await Deno.stat(path));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      refuse(mountpoint, `no such directory; create it (mkdir -p ${shellWord(mountpoint)})`, cause);
    }
    if (isDead(cause)) {
      // Root may do without fusermount3, which a rescue system may lack.
      const program = Deno.uid() === 0 ? "umount -l" : "fusermount3 -uz";
      const remedy = `clear it away (${program} ${shellWord(await deadMountAbove(mountpoint))})`;
      refuse(
        mountpoint,
        `a file system that has died is still mounted there (Transport endpoint is not connected); ${remedy}`,
        cause,
      );
    }
    refuse(mountpoint, cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (!isDirectory) refuse(mountpoint, "it is not a directory");
  return path;
}

/** Whether an error says that the process of a file system has ended. */
function isDead(error: unknown): boolean {
  return errnoOf(error) === Errno.ENOTCONN;
}

/** The mount point of a file system that has died, at or above a path in it. */
async function deadMountAbove(path: string): Promise<string> {
  const above = dirname(path);
  if (above === path) return path;
  try {
    await Deno.stat(above);
  } catch (error) {
    if (isDead(error)) return await deadMountAbove(above);
  }
  return path;
}

function requireDevice(mountpoint: string): void {
  try {
    closeFd(openFd(DEVICE, OpenFlag.O_RDWR), DEVICE);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === null) throw cause;
    if (errno === Errno.ENOENT || errno === Errno.ENODEV || errno === Errno.ENXIO) {
      const remedy = "load the kernel's module (modprobe fuse), or give the container the device";
      refuse(mountpoint, `there is no ${DEVICE}; ${remedy}`, cause);
    }
    const remedy = Deno.uid() === 0
      ? "give the container the device (--device /dev/fuse)"
      : `run as root, or let users open it (chmod 666 ${DEVICE})`;
    refuse(mountpoint, `${DEVICE} cannot be opened (${errnoName(errno)}); ${remedy}`, cause);
  }
}

function requireUserMayMount(
  mountpoint: string,
  { mountOptions = [], plainMountHint }: Pick<MountOptions, "mountOptions" | "plainMountHint">,
): void {
  if (tryAccess(mountpoint, AccessMode.W_OK) !== 0) {
    refuse(mountpoint, "the directory is not writable for this user, which mounting requires");
  }
  const shared = mountOptions.find((o) => o === "allow_other" || o === "allow_root");
  if (shared && !isSharingAllowed()) {
    const hint = plainMountHint === undefined ? "" : ` (${plainMountHint})`;
    const remedy =
      `mount without that option${hint}, or put the line "user_allow_other" into ${CONFIG}`;
    refuse(mountpoint, `only root may use the mount option ${shared}; ${remedy}`);
  }
}

function isSharingAllowed(): boolean {
  try {
    return /^[ \t]*user_allow_other[ \t]*$/m.test(readText(CONFIG));
  } catch {
    // To fusermount3 a missing or unreadable file is an empty one.
    return false;
  }
}

/**
 * Builds the error of a mount that failed in libfuse.
 *
 * @param lines What libfuse logged.
 */
export function mountFailure(mountpoint: string, lines: readonly string[]): MountError {
  // libfuse is silent if it left the mounting to fusermount3, which prints to stderr what is wrong.
  const reason = lines.map((line) => line.replace(/^fuse: /, "")).join("; ") ||
    "fusermount3 failed, see its message";
  let remedy = "";
  if (Deno.uid() !== 0) {
    remedy = "; if it is missing, install it (Debian and Ubuntu: package fuse3; " +
      "NixOS: programs.fuse.enable)";
  } else if (lines.length === 0 || /permitted|denied/i.test(reason)) {
    remedy = "; root needs CAP_SYS_ADMIN to mount (containers: --cap-add SYS_ADMIN)";
  }
  return new MountError(`Cannot mount at "${mountpoint}": ${reason}${remedy}`);
}
