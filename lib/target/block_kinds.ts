/**
 * The kinds of target that take bytes at any offset, by the `kind` of their handle. A new one is a
 * file of its own, a line here, and a line in `preflight.ts` that says which outputs it is for.
 *
 * @module
 */

import type { BlockIo, BlockIoOptions } from "./block_io.ts";
import { type DescriptorHandle, DescriptorIo } from "./descriptor_io.ts";
import { type RbdHandle, RbdIo } from "./rbd_io.ts";
import type { BlockHandle } from "./target.ts";

/** How a worker opens its access to a target of one kind. */
export interface BlockKind {
  /** @throws {TargetError} If it cannot be opened. */
  open(handle: BlockHandle, options: BlockIoOptions): BlockIo;
}

/** All kinds. Tests add their own. */
export const BLOCK_KINDS: Record<string, BlockKind> = {
  descriptor: { open: (handle: DescriptorHandle, options) => new DescriptorIo(handle, options) },
  rbd: { open: (handle: RbdHandle, options) => new RbdIo(handle, options) },
};

/**
 * Opens a worker's access to a target.
 *
 * @throws {TargetError} If it cannot be opened.
 */
export function openBlockIo(handle: BlockHandle, options: BlockIoOptions): BlockIo {
  const kind = BLOCK_KINDS[handle.kind];
  if (!kind) throw new TypeError(`Cannot open a target of kind "${handle.kind}": unknown`);
  return kind.open(handle, options);
}
