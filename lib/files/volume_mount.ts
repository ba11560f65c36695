/**
 * Mounts one volume of an image: attaches a loop device to its range, so that no partition nodes
 * are needed, and tries the ways that `mount_plan.ts` names.
 *
 * The loop device can be written to although the file system is mounted read-only: only so does
 * the kernel replay the journal of a machine that was running. What it writes stays in the server's
 * overlay.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { Errno, reasonOf } from "../linux/errno.ts";
import { openFd, OpenFlag, releaseFd } from "../linux/files.ts";
import { KernelLog } from "../linux/kernel_log.ts";
import { attachLoop, type LoopRange } from "../linux/loop_attach.ts";
import { mountFileSystem, MountFlag } from "../linux/mounting.ts";
import { listMounts, type Mount } from "../linux/mounts.ts";
import { openPipe, tryRead } from "../linux/pipes.ts";
import { spawn } from "../linux/spawn.ts";
import { printable } from "../wording.ts";
import type { MountWay } from "./mount_plan.ts";

/**
 * Flags of all mounts. The image is another machine's: its devices, its set-user-ID programs and
 * its programs are not to be used here.
 */
export const MOUNT_FLAGS = MountFlag.MS_NODEV | MountFlag.MS_NOSUID | MountFlag.MS_NOEXEC;

/** What became of an attempt to mount. */
export type MountOutcome =
  | { readonly mount: Mount }
  | {
    readonly mount: null;
    readonly reason: string;
    /** Whether the machine has a way to mount such a file system at all. */
    readonly isSupported: boolean;
  };

/**
 * Mounts a file system of an image, read-only.
 *
 * @param image The image's file.
 * @param target An empty directory, absolute and without symbolic links.
 * @throws {OsError} If no loop device can be attached.
 */
export async function mountVolume(
  image: string,
  range: LoopRange,
  { ways, target }: { readonly ways: readonly MountWay[]; readonly target: string },
): Promise<MountOutcome> {
  // Closed in the end: the mount keeps the loop device, and without one it is detached.
  using loop = attachLoop(image, range);
  const missing: string[] = [];
  for (const way of ways) {
    const attempt = way.by === "kernel"
      ? await mountByKernel(way, loop.path, target)
      : await mountByProgram(way.program, loop.path, target);
    if (attempt === "mounted") return { mount: mountAt(target) };
    if (attempt !== "missing") return { mount: null, reason: attempt.reason, isSupported: true };
    missing.push(way.by === "kernel" ? `this kernel has no ${way.type}` : `no ${way.program}`);
  }
  return { mount: null, reason: missing.join(", and "), isSupported: false };
}

type Attempt = "mounted" | "missing" | { readonly reason: string };

async function mountByKernel(
  { type, data }: { readonly type: string; readonly data: string },
  source: string,
  target: string,
): Promise<Attempt> {
  using log = new KernelLog();
  try {
    const flags = MOUNT_FLAGS | MountFlag.MS_RDONLY;
    await mountFileSystem({ source, target, type, flags, data });
    return "mounted";
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    if (error.errno === Errno.ENODEV) return "missing";
    return { reason: [reasonOf(error), ...saidAbout(source, log.read())].join("; ") };
  }
}

/** How many of the kernel's lines are shown: the first ones have the cause. */
const LINES_MAX = 3, LINE_MAX_CHARS = 200;

/** What the kernel said about a device. */
function saidAbout(device: string, lines: readonly string[]): string[] {
  const name = new RegExp(`\\b${device.slice("/dev/".length)}\\b`);
  // It was tried twice, see `mountFileSystem`.
  const said = new Set(lines.filter((line) => name.test(line)));
  return [...said].slice(0, LINES_MAX).map((line) => printable(line, LINE_MAX_CHARS));
}

async function mountByProgram(program: string, source: string, target: string): Promise<Attempt> {
  const nothing = openFd("/dev/null", OpenFlag.O_RDWR);
  const { readFd: reader, writeFd: writer } = openPipe();
  try {
    const options = "ro,nodev,nosuid,noexec";
    const child = spawn(program, {
      words: [program, "-o", options, source, target],
      descriptors: [nothing, writer, writer],
      closesOthers: true,
      // Ctrl-C is for the front, which undoes this.
      ownSession: true,
    });
    // It ends when it has mounted, and its own child serves the mount.
    const { code } = await child.ended;
    if (code === 0) return "mounted";
    const said = readAll(reader).trim().split("\n").slice(0, LINES_MAX);
    return { reason: [`${program} failed`, ...said].map((line) => printable(line)).join("; ") };
  } catch (error) {
    if (error instanceof OsError && error.errno === Errno.ENOENT) return "missing";
    throw error;
  } finally {
    for (const fd of [nothing, reader, writer]) releaseFd(fd);
  }
}

/** What a program that has ended has left in a pipe. */
function readAll(fd: number): string {
  const bytes = new Uint8Array(65_536);
  const count = tryRead(fd, bytes);
  return new TextDecoder().decode(bytes.subarray(0, Math.max(count, 0)));
}

function mountAt(path: string): Mount {
  const mount = listMounts().findLast(({ mountpoint }) => mountpoint === path);
  if (mount === undefined) throw new TypeError(`Cannot find the mount at ${path}`);
  return mount;
}
