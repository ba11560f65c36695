/**
 * The functions of librados and librbd, Ceph's client libraries, opened when a restore first needs
 * them. `rbd.ts` and `rbd_operations.ts` wrap them.
 *
 * They are the host's own, also in an executable that brings its C library (`release/portable`).
 * They run on that one, so a host whose libraries were built for a newer C library cannot use them
 * there. Once opened they are never closed.
 *
 * @module
 */

import { cString, libc } from "./libc.ts";
import { startVariable } from "./own_process.ts";

/**
 * Each function below its C declaration. Source: rados/librados.h. All return 0 or a negative
 * errno, unless stated otherwise. What asks the cluster runs on a thread of the runtime's pool.
 */
export const radosFunctions = {
  // int rados_create2(rados_t *pcluster, const char *const clustername, const char *const name,
  //                   uint64_t flags);
  rados_create2: { parameters: ["buffer", "buffer", "buffer", "u64"], result: "i32" },
  // int rados_conf_read_file(rados_t cluster, const char *path);
  rados_conf_read_file: { parameters: ["pointer", "buffer"], result: "i32" },
  // int rados_conf_parse_env(rados_t cluster, const char *var);
  rados_conf_parse_env: { parameters: ["pointer", "buffer"], result: "i32" },
  // int rados_conf_set(rados_t cluster, const char *option, const char *value);
  rados_conf_set: { parameters: ["pointer", "buffer", "buffer"], result: "i32" },
  // int rados_conf_get(rados_t cluster, const char *option, char *buf, size_t len);
  rados_conf_get: { parameters: ["pointer", "buffer", "buffer", "usize"], result: "i32" },
  // int rados_connect(rados_t cluster);
  rados_connect: { parameters: ["pointer"], result: "i32", nonblocking: true },
  // uint64_t rados_get_instance_id(rados_t cluster);
  rados_get_instance_id: { parameters: ["pointer"], result: "u64" },
  // void rados_shutdown(rados_t cluster);
  rados_shutdown: { parameters: ["pointer"], result: "void" },
  // int rados_ioctx_create(rados_t cluster, const char *pool_name, rados_ioctx_t *ioctx);
  rados_ioctx_create: {
    parameters: ["pointer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  // void rados_ioctx_set_namespace(rados_ioctx_t io, const char *nspace);
  rados_ioctx_set_namespace: { parameters: ["pointer", "buffer"], result: "void" },
  // Requests fail with ENOSPC where the pool is full, instead of waiting. Since Ceph 15 under this
  // name.
  // void rados_set_pool_full_try(rados_ioctx_t io);
  rados_set_pool_full_try: { parameters: ["pointer"], result: "void", optional: true },
  // void rados_set_osdmap_full_try(rados_ioctx_t io);
  rados_set_osdmap_full_try: { parameters: ["pointer"], result: "void", optional: true },
  // void rados_ioctx_destroy(rados_ioctx_t io);
  rados_ioctx_destroy: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Like {@linkcode radosFunctions}. Source: rbd/librbd.h. */
export const rbdFunctions = {
  // void rbd_image_options_create(rbd_image_options_t *opts);
  rbd_image_options_create: { parameters: ["buffer"], result: "void" },
  // void rbd_image_options_destroy(rbd_image_options_t opts);
  rbd_image_options_destroy: { parameters: ["pointer"], result: "void" },
  // int rbd_create4(rados_ioctx_t io, const char *name, uint64_t size, rbd_image_options_t opts);
  rbd_create4: {
    parameters: ["pointer", "buffer", "u64", "pointer"],
    result: "i32",
    nonblocking: true,
  },
  // int rbd_open(rados_ioctx_t io, const char *name, rbd_image_t *image, const char *snap_name);
  rbd_open: {
    parameters: ["pointer", "buffer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  // A second call crashes.
  // int rbd_aio_close(rbd_image_t image, rbd_completion_t c);
  rbd_aio_close: { parameters: ["pointer", "pointer"], result: "i32" },
  // int rbd_get_size(rbd_image_t image, uint64_t *size);
  rbd_get_size: { parameters: ["pointer", "buffer"], result: "i32" },
  // int rbd_get_features(rbd_image_t image, uint64_t *features);
  rbd_get_features: { parameters: ["pointer", "buffer"], result: "i32" },
  // int rbd_get_flags(rbd_image_t image, uint64_t *flags);
  rbd_get_flags: { parameters: ["pointer", "buffer"], result: "i32" },
  // int rbd_watchers_list(rbd_image_t image, rbd_image_watcher_t *watchers,
  //                       size_t *max_watchers);
  rbd_watchers_list: {
    parameters: ["pointer", "buffer", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  // void rbd_watchers_list_cleanup(rbd_image_watcher_t *watchers, size_t num_watchers);
  rbd_watchers_list_cleanup: { parameters: ["buffer", "usize"], result: "void" },
  // Returns the number of lockers.
  // ssize_t rbd_list_lockers(rbd_image_t image, int *exclusive, char *tag, size_t *tag_len,
  //                          char *clients, size_t *clients_len, char *cookies,
  //                          size_t *cookies_len, char *addrs, size_t *addrs_len);
  rbd_list_lockers: {
    parameters: [
      "pointer",
      "buffer",
      "buffer",
      "buffer",
      "buffer",
      "buffer",
      "buffer",
      "buffer",
      "buffer",
      "buffer",
    ],
    result: "isize",
    nonblocking: true,
  },
  // int rbd_lock_acquire(rbd_image_t image, rbd_lock_mode_t lock_mode);
  rbd_lock_acquire: { parameters: ["pointer", "u32"], result: "i32", nonblocking: true },
  // int rbd_diff_iterate2(rbd_image_t image, const char *fromsnapname, uint64_t ofs,
  //                       uint64_t len, uint8_t include_parent, uint8_t whole_object,
  //                       int (*cb)(uint64_t, size_t, int, void *), void *arg);
  rbd_diff_iterate2: {
    parameters: ["pointer", "buffer", "u64", "u64", "u8", "u8", "function", "pointer"],
    result: "i32",
    nonblocking: true,
  },

  // int rbd_aio_create_completion(void *cb_arg, rbd_callback_t complete_cb, rbd_completion_t *c);
  rbd_aio_create_completion: { parameters: ["pointer", "pointer", "buffer"], result: "i32" },
  // int rbd_aio_write(rbd_image_t image, uint64_t off, size_t len, const char *buf,
  //                   rbd_completion_t c);
  rbd_aio_write: { parameters: ["pointer", "u64", "usize", "buffer", "pointer"], result: "i32" },
  // Old releases lack it (14.2.21 has it). A discard is no substitute: it leaves parts of objects.
  // int rbd_aio_write_zeroes(rbd_image_t image, uint64_t off, size_t len, rbd_completion_t c,
  //                          int zero_flags, int op_flags);
  rbd_aio_write_zeroes: {
    parameters: ["pointer", "u64", "usize", "pointer", "i32", "i32"],
    result: "i32",
    optional: true,
  },
  // int rbd_aio_read(rbd_image_t image, uint64_t off, size_t len, char *buf, rbd_completion_t c);
  rbd_aio_read: { parameters: ["pointer", "u64", "usize", "pointer", "pointer"], result: "i32" },
  // int rbd_aio_flush(rbd_image_t image, rbd_completion_t c);
  rbd_aio_flush: { parameters: ["pointer", "pointer"], result: "i32" },
  // int rbd_aio_is_complete(rbd_completion_t c);
  rbd_aio_is_complete: { parameters: ["pointer"], result: "i32" },
  // Returns the number of bytes, 0, or a negative errno.
  // ssize_t rbd_aio_get_return_value(rbd_completion_t c);
  rbd_aio_get_return_value: { parameters: ["pointer"], result: "isize" },
  // void rbd_aio_release(rbd_completion_t c);
  rbd_aio_release: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

const RADOS = "librados.so.2", RBD = "librbd.so.1";

/** Both libraries, for the calling thread. */
export interface Librbd {
  readonly rados: Deno.StaticForeignLibraryInterface<typeof radosFunctions>;
  readonly rbd: Deno.StaticForeignLibraryInterface<typeof rbdFunctions>;
}

/** The libraries are not there, or this process cannot run them. The message says why. */
export class LibrbdError extends Error {
  /** Whether the host has no librbd at all. */
  readonly isAbsent: boolean;

  constructor(reason: string) {
    super(reason);
    this.isAbsent = reason.startsWith(`${RBD}: cannot open`);
  }
}

let opened: Librbd | undefined;

/**
 * Opens the libraries, once per thread.
 *
 * @throws {LibrbdError} If they cannot be opened.
 */
export function openLibrbd(): Librbd {
  if (opened) return opened;
  requireLoadable();
  try {
    opened = {
      rados: Deno.dlopen(RADOS, radosFunctions).symbols,
      rbd: Deno.dlopen(RBD, rbdFunctions).symbols,
    };
  } catch (error) {
    // Too old for one of the functions.
    throw new LibrbdError(error instanceof Error ? error.message : String(error));
  }
  return opened;
}

/** What librados reads of the environment, and Ceph's configuration calls $home. */
const VARIABLES = ["CEPH_CONF", "CEPH_ARGS", "CEPH_KEYRING", "HOME"];

/**
 * Gives librados the environment that the process was started with; executables keep little of it
 * (`release/portable/stub/stub.c`). Call it before there is another thread that uses librados.
 */
export function restoreCephVariables(): void {
  for (const name of VARIABLES) {
    const value = startVariable(name);
    if (value !== undefined) libc.setenv(cString(name), cString(value), 0);
  }
}

/** A variable as librados sees it. */
export function cephVariable(name: "CEPH_CONF" | "CEPH_ARGS"): string | undefined {
  const value = libc.getenv(cString(name));
  return value === null ? undefined : Deno.UnsafePointerView.getCString(value);
}

/** Source: bits/dlfcn.h. */
const RTLD_NOW = 2;

/**
 * Requires that each function that the libraries call is there. The runtime opens libraries
 * lazily: the first call of a missing one would end the process.
 */
function requireLoadable(): void {
  // Opening a function of libc would take the reason away.
  const { dlopen, dlerror } = libc;
  if (dlopen(cString(RBD), RTLD_NOW) !== null) return;
  const reason = dlerror();
  throw new LibrbdError(
    reason === null ? `${RBD} cannot be opened` : Deno.UnsafePointerView.getCString(reason),
  );
}
