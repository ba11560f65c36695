/**
 * Block devices as targets: checks them and claims them. `opened_block.ts` is next.
 *
 * @module
 */

import { OsError } from "../errors.ts";
import { blockDeviceBytes, isReadOnlyDevice, logicalBlockBytes } from "../linux/block_devices.ts";
import { Errno, reasonOf } from "../linux/errno.ts";
import { statFd, statOrNull } from "../linux/file_status.ts";
import { openFd, OpenFlag, pageBytes, readAt, releaseFd } from "../linux/files.ts";
import type { ZeroPolicy } from "./descriptor_io.ts";
import { describeDeviceUsers } from "./file_users.ts";
import { describeDeviceUse } from "./in_use.ts";
import { contentToOverwrite, describeContent } from "./device_content.ts";
import { OpenedBlock } from "./opened_block.ts";
import type { CheckedTarget, DirectMode, PreflightOptions, Target } from "./target.ts";
import { quote } from "../wording.ts";
import {
  describeBytes,
  doubtWarnings,
  overriddenWarnings,
  refusal,
  requireHarmless,
} from "./wording.ts";

const READ_ONLY = "the device is read-only; blockdev --setrw may end that";

const ZERO_POLICIES = { auto: "deallocate", always: "trust", never: "write" } as const;

/** Checks a block device. @throws {TargetError} If it must not or cannot be written. */
export function checkDevice(path: string, options: PreflightOptions): CheckedTarget {
  const { fd, uses } = claim(path, options);
  try {
    const info = statFd(fd);
    if (!info.isBlockDevice) throw refusal(path, "it changed while it was looked at");
    const deviceBytes = blockDeviceBytes(fd, path);
    const neededBytes = Math.max(options.extent.end, options.heldBytes ?? 0);
    if (deviceBytes < neededBytes) {
      throw refusal(
        path,
        `the device has ${describeBytes(deviceBytes)}, the image needs ` +
          `${describeBytes(neededBytes)}; enlarge it or name another`,
      );
    }
    const { reasons, doubt } = describeDeviceUsers({ path, fd, info });
    uses.push(...reasons);
    requireHarmless(path, uses, options);
    return new CheckedDevice(path, {
      fd,
      // Whole pages of the page cache, even if the sectors are smaller. Otherwise one worker's
      // write through a stale cached page could bring back what another had zeroed past the
      // cache. (Workers' parts of an image need not begin at a page of the target.)
      blockBytes: Math.max(logicalBlockBytes(fd, path), pageBytes()),
      zeroPolicy: ZERO_POLICIES[options.sparse],
      direct: options.direct,
      warnings: [...overriddenWarnings(path, uses), ...doubtWarnings(path, doubt)],
      content: contentToOverwrite(options, () => contentOf(path, deviceBytes)),
    });
  } catch (error) {
    releaseFd(fd);
    throw error;
  }
}

/**
 * Opens a device for writing, exclusively: until it is closed nobody can mount it or swap to it.
 *
 * @returns The descriptor, and what the device is used for if `--force` overrides that.
 */
function claim(path: string, options: PreflightOptions): { fd: number; uses: string[] } {
  const access = options.isRead ? OpenFlag.O_RDWR : OpenFlag.O_WRONLY;
  const rdev = statOrNull(path)?.rdev ?? 0;
  if (isReadOnlyDevice(path, rdev)) throw refusal(path, READ_ONLY);
  try {
    return { fd: openFd(path, access | OpenFlag.O_EXCL), uses: [] };
  } catch (error) {
    const isBusy = error instanceof OsError && error.errno === Errno.EBUSY;
    if (!isBusy) throw refusal(path, reasonOf(error), error);
    const uses = describeDeviceUse(rdev);
    if (uses.length === 0) uses.push("another program or the kernel holds it exclusively");
    requireHarmless(path, uses, options, error);
    try {
      return { fd: openFd(path, access), uses };
    } catch (secondError) {
      // A kernel built without CONFIG_BLK_DEV_WRITE_MOUNTED has the last word.
      throw refusal(path, `${uses.join(", ")}, and the kernel forbids writing`, secondError);
    }
  }
}

/** Says what a device holds. @throws {OsError} If it cannot be read. */
function contentOf(path: string, deviceBytes: number): string | null {
  const fd = openFd(path, OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    readAt(fd, bytes, offset);
    return bytes;
  };
  try {
    return describeContent({ bytes: deviceBytes, read });
  } finally {
    releaseFd(fd);
  }
}

class CheckedDevice implements CheckedTarget {
  readonly path: string;
  readonly kind = "block";
  readonly access = "random";
  readonly isNew = false;
  readonly warnings: readonly string[];
  readonly content: string | null;
  readonly #blockBytes: number;
  readonly #zeroPolicy: ZeroPolicy;
  readonly #direct: DirectMode | undefined;
  #fd: number | null;

  constructor(
    path: string,
    found: {
      fd: number;
      blockBytes: number;
      zeroPolicy: ZeroPolicy;
      direct: DirectMode | undefined;
      warnings: readonly string[];
      content: string | null;
    },
  ) {
    this.path = path;
    this.warnings = found.warnings;
    this.content = found.content;
    this.#blockBytes = found.blockBytes;
    this.#zeroPolicy = found.zeroPolicy;
    this.#direct = found.direct;
    this.#fd = found.fd;
  }

  open(): Promise<Target> {
    const fd = this.#fd;
    if (fd === null) {
      throw new TypeError(`Cannot open ${quote(this.path)}: it was opened before`);
    }
    this.#fd = null;
    try {
      const opened = new OpenedBlock({
        path: this.path,
        fd,
        zeroPolicy: this.#zeroPolicy,
        blockBytes: this.#blockBytes,
        direct: this.#direct,
      });
      return Promise.resolve(opened);
    } catch (error) {
      releaseFd(fd);
      if (!(error instanceof OsError)) throw error;
      throw refusal(this.path, reasonOf(error), error);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) releaseFd(this.#fd);
    this.#fd = null;
  }
}
