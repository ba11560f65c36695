/**
 * File systems in TypeScript: bindings to libfuse3's low-level interface by FFI.
 *
 * ```ts ignore
 * import { Errno, FileType, FuseError, mount } from "deno-fuse";
 *
 * const root = { ino: 1, mode: FileType.S_IFDIR | 0o755 };
 * const session = await mount("/mnt/empty", {
 *   lookup: () => null,
 *   getattr({ ino }) {
 *     if (ino !== 1) throw new FuseError(Errno.ENOENT);
 *     return { attributes: root };
 *   },
 *   readdir: () => [],
 * }, { onError: (error, operation) => console.error(operation, error) });
 * await session.closed; // until somebody unmounts it
 * ```
 *
 * It needs Linux on x86_64 or aarch64, libfuse3, and the permissions `--allow-ffi --allow-read
 * --allow-sys=uid`. README.md has the mental model: threads, deadlocks, what the kernel caches. A
 * read passes `receive_loop.ts`, `dispatcher.ts`, `parameters.ts`, the file system's handler and
 * `reply.ts`.
 *
 * @module
 */

export { Errno } from "../linux/errno.ts";
export { CodedError, OsError } from "../linux/os_error.ts";
export * from "./answers.ts";
export * from "./errors.ts";
export * from "./handlers.ts";
export type { Mount } from "../linux/mounts.ts";
export type { ErrorListener, MountOptions } from "./mount_options.ts";
export { type FuseSession, mount, preflightMount } from "./session.ts";
export { FUSE_ROOT_ID } from "./structs.ts";
