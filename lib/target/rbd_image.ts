/**
 * Images in a Ceph cluster as targets: checks, opens, flushes and closes them on the main thread,
 * by way of `rbd_connection.ts`. `rbd_io.ts` writes them.
 *
 * @module
 */

import { OsError, TargetError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import type { RbdImage } from "../linux/rbd.ts";
import { RbdAccess } from "../linux/rbd_operations.ts";
import { quote } from "../wording.ts";
import { asWritten, type ZeroPolicy } from "./descriptor_io.ts";
import { contentToOverwrite, describeContent } from "./device_content.ts";
import { RbdConnection } from "./rbd_connection.ts";
import type { RbdHandle } from "./rbd_io.ts";
import { parseRbdName } from "./rbd_name.ts";
import type { CheckedTarget, OpenOptions, PreflightOptions, Target } from "./target.ts";
import { describeBytes, overriddenWarnings, refusal, requireHarmless } from "./wording.ts";

const ZERO_POLICIES = { auto: "deallocate", always: "trust", never: "write" } as const;
const NEW_ZERO_POLICIES = { auto: "skip", always: "skip", never: "write" } as const;

/** How long to read what will be overwritten; the event loop stands still meanwhile. */
const CONTENT_MS = 2000;

/**
 * Checks an image, or that there is none if one is to be created. It is opened, but not changed.
 *
 * @throws {TargetError} If it must not or cannot be written.
 */
export async function checkRbdImage(
  path: string,
  options: PreflightOptions,
): Promise<CheckedTarget> {
  const name = parseRbdName(path);
  if (name === null) {
    throw refusal(path, "the name is not rbd:POOL/IMAGE or rbd:POOL/NAMESPACE/IMAGE");
  }
  const connection = new RbdConnection(path, name, options.signal);
  try {
    await connection.connect();
    const image = await connection.openImage();
    if (image === null) {
      requireCreatable(path, options);
      return new CheckedRbdImage(connection, options, { warnings: [], content: null });
    }
    requireSize(path, image.bytes, options);
    const uses = await connection.uses(image);
    requireHarmless(path, uses, options);
    const warnings = overriddenWarnings(path, uses);
    return new CheckedRbdImage(connection, options, {
      warnings,
      content: contentToOverwrite(options, () => contentOf(image)),
    });
  } catch (error) {
    connection.close();
    throw connection.refusalOf(error);
  }
}

function requireCreatable(path: string, { mayCreate, heldBytes = 0 }: PreflightOptions): void {
  if (heldBytes > 0) {
    const reason = "there is no such image, so it cannot hold the base revision";
    throw refusal(path, `${reason}; leave out --base`);
  }
  if (!mayCreate) throw refusal(path, "there is no such image; --create makes it");
}

function requireSize(
  path: string,
  imageBytes: number,
  { extent, heldBytes = 0 }: PreflightOptions,
): void {
  const neededBytes = Math.max(extent.end, heldBytes);
  // What is written behind the end is dropped without a word.
  if (imageBytes >= neededBytes) return;
  throw refusal(
    path,
    `it has ${describeBytes(imageBytes)}, the revision needs ${describeBytes(neededBytes)}; ` +
      `enlarge it: rbd resize --size ${neededBytes}B`,
  );
}

/** Says what an image holds. @throws {OsError} If it cannot be read. */
function contentOf(image: RbdImage): string | null {
  const endMs = performance.now() + CONTENT_MS;
  using access = new RbdAccess(image.address);
  const read = (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    access.read(bytes, offset, () => performance.now() > endMs);
    return bytes;
  };
  return describeContent({ bytes: image.bytes, read });
}

class CheckedRbdImage implements CheckedTarget {
  readonly path: string;
  readonly kind = "rbd";
  readonly access = "random";
  readonly isNew: boolean;
  readonly warnings: readonly string[];
  readonly content: string | null;
  readonly #options: PreflightOptions;
  #connection: RbdConnection | null;

  constructor(
    connection: RbdConnection,
    options: PreflightOptions,
    { warnings, content }: Pick<CheckedTarget, "warnings"> & { content: string | null },
  ) {
    this.path = connection.path;
    this.isNew = connection.image === null;
    this.warnings = warnings;
    this.content = content;
    this.#options = options;
    this.#connection = connection;
  }

  async open({ signal }: OpenOptions = {}): Promise<Target> {
    const connection = this.#connection;
    if (connection === null) {
      throw new TypeError(`Cannot open ${quote(this.path)}: it was opened before`);
    }
    this.#connection = null;
    const { sparse, extent, isRead = false } = this.#options;
    try {
      connection.signal = signal;
      const image = connection.image ?? await connection.create(extent.end);
      await connection.lock(image);
      // Somebody may have opened it since the check; without the lock's feature, even to write.
      requireHarmless(this.path, await connection.uses(image), this.#options);
      requireSize(this.path, image.bytes, this.#options);
      const zeroPolicy = (this.isNew ? NEW_ZERO_POLICIES : ZERO_POLICIES)[sparse];
      return new OpenedRbdImage(connection, image, { zeroPolicy, isRead, endBytes: extent.end });
    } catch (error) {
      connection.close();
      throw connection.refusalOf(error);
    }
  }

  [Symbol.dispose](): void {
    this.#connection?.close();
    this.#connection = null;
  }
}

/** An image that is written, or was. */
class OpenedRbdImage implements Target {
  readonly failure = null;
  readonly handle: RbdHandle;
  readonly #connection: RbdConnection;
  readonly #image: RbdImage;
  readonly #isRead: boolean;
  /** What was written ends here. */
  readonly #endBytes: number;
  #dataRanges: Float64Array<SharedArrayBuffer> | null = null;

  constructor(
    connection: RbdConnection,
    image: RbdImage,
    options: { zeroPolicy: ZeroPolicy; isRead: boolean; endBytes: number },
  ) {
    const { zeroPolicy, isRead, endBytes } = options;
    this.#connection = connection;
    this.#image = image;
    this.#isRead = isRead;
    this.#endBytes = endBytes;
    this.handle = {
      access: "random",
      kind: "rbd",
      path: connection.path,
      image: image.address,
      zeroPolicy,
      dataRanges: null,
      // With "write", all of the target must have storage.
      mayHaveHoles: zeroPolicy !== "write",
    };
  }

  async settle(): Promise<string | null> {
    await this.flush();
    return null;
  }

  comparable({ isWritten = false }: { isWritten?: boolean } = {}): RbdHandle {
    const handle = { ...this.handle, dataRanges: this.#dataRanges };
    return isWritten ? asWritten(handle) : handle;
  }

  async flush(): Promise<void> {
    await this.#orFail(async () => {
      await this.#image.flush();
      if (!this.#isRead) return;
      this.#requireOpen();
      const shouldStop = () => !this.#connection.isOpen;
      const { bytes } = this.#image;
      this.#dataRanges = await this.#connection.lend(this.#image.dataRanges(bytes, shouldStop));
    });
  }

  async finish({ sync }: { sync: boolean }): Promise<void> {
    await this.#orFail(async () => {
      if (sync) await this.#image.flush();
      this.#requireOpen();
      const { bytes } = this.#image;
      if (bytes < this.#endBytes) {
        throw new TargetError(
          `Cannot finish ${quote(this.handle.path)}: another client cut it to ` +
            `${describeBytes(bytes)} while it was written; restore it once more`,
          { path: this.handle.path, offset: null },
        );
      }
      await this.#connection.finish();
    });
  }

  close(): void {
    this.#connection.close();
  }

  #requireOpen(): void {
    if (this.#connection.isOpen) return;
    throw new TypeError(`Cannot flush ${quote(this.handle.path)}: it is closed`);
  }

  async #orFail(store: () => Promise<void>): Promise<void> {
    this.#requireOpen();
    try {
      await store();
    } catch (error) {
      this.close();
      if (!(error instanceof OsError)) throw error;
      const { path } = this.handle;
      const message = `Cannot flush ${quote(path)}: ${reasonOf(error)}`;
      throw new TargetError(message, { path, offset: null }, { cause: error });
    }
  }
}
