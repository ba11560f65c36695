/**
 * Handles of targets, for tests that write to them as workers do.
 *
 * @module
 */

import type { DescriptorHandle } from "../../lib/target/descriptor_io.ts";
import type { StreamHandle, Target, TargetHandle } from "../../lib/target/target.ts";
import { assert, assertEquals } from "../assert.ts";

/** The handle of a file or block device, made from parts of it. */
export function descriptorHandle(
  fields: Pick<DescriptorHandle, "fd" | "path"> & Partial<DescriptorHandle>,
): DescriptorHandle {
  return {
    access: "random",
    kind: "descriptor",
    zeroPolicy: "deallocate",
    blockBytes: 1,
    directFd: null,
    direct: null,
    mayHaveHoles: true,
    ...fields,
  };
}

/** The handle of an opened file or block device. */
export function descriptorOf(target: Pick<Target, "handle">): DescriptorHandle {
  return asDescriptor(target.handle);
}

/** A handle that is a file's or block device's. */
export function asDescriptor(handle: TargetHandle): DescriptorHandle {
  assert(handle.access === "random");
  assertEquals(handle.kind, "descriptor");
  return handle as DescriptorHandle;
}

/** The handle of an opened stream. */
export function streamOf({ handle }: Pick<Target, "handle">): StreamHandle {
  assert(handle.access === "stream");
  return handle;
}
