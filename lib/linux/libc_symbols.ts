/**
 * The C library's functions as FFI sees them, opened on first use; `libc.ts` wraps them for
 * everybody else.
 *
 * @module
 */

import { prepareErrno } from "./errno.ts";

// open, fcntl, ioctl and syscall are variadic in C. The System V ABI of x86_64 and the Linux ABI of
// aarch64 pass integer arguments of variadic functions like fixed ones, so a fixed arity is sound
// on Linux (not on macOS).
const libcSymbols = {
  open: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  close: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
    ],
    result: "isize", // ssize_t
  },
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
    ],
    result: "isize", // ssize_t
  },
  pwrite: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize", // ssize_t
  },
  pread: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize", // ssize_t
  },
  lseek: {
    parameters: [
      "i32", // int fd
      "i64", // off_t offset
      "i32", // int whence
    ],
    result: "i64", // off_t
  },
  ftruncate: {
    parameters: [
      "i32", // int fd
      "i64", // off_t length
    ],
    result: "i32",
  },
  ftruncateAsync: {
    name: "ftruncate",
    parameters: [
      "i32", // int fd
      "i64", // off_t length
    ],
    result: "i32", // without errno, which a nonblocking call loses
    nonblocking: true,
  },
  fallocate: {
    parameters: [
      "i32", // int fd
      "i32", // int mode
      "i64", // off_t offset
      "i64", // off_t len
    ],
    result: "i32",
  },
  fallocateAsync: {
    name: "fallocate",
    parameters: [
      "i32", // int fd
      "i32", // int mode
      "i64", // off_t offset
      "i64", // off_t len
    ],
    result: "i32", // without errno, which a nonblocking call loses
    nonblocking: true,
  },
  posix_fadvise: {
    parameters: [
      "i32", // int fd
      "i64", // off_t offset
      "i64", // off_t len
      "i32", // int advice
    ],
    result: "i32", // the error number itself; errno is not set
  },
  madvise: {
    parameters: [
      "buffer", // void *addr
      "usize", // size_t length
      "i32", // int advice
    ],
    result: "i32",
  },
  mmap: {
    parameters: [
      "pointer", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "usize", // void *, or MAP_FAILED, which is (void *) -1
  },
  vmsplice: {
    parameters: [
      "i32", // int fd
      "buffer", // const struct iovec *iov
      "usize", // size_t nr_segs
      "u32", // unsigned int flags
    ],
    result: "isize", // ssize_t
  },
  munmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
    ],
    result: "i32",
  },
  getrlimit: {
    parameters: [
      "i32", // __rlimit_resource_t resource
      "buffer", // struct rlimit *rlim
    ],
    result: "i32",
  },
  setrlimit: {
    parameters: [
      "i32", // __rlimit_resource_t resource
      "buffer", // const struct rlimit *rlim
    ],
    result: "i32",
  },
  fsync: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  fdatasync: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  flock: {
    parameters: [
      "i32", // int fd
      "i32", // int operation
    ],
    result: "i32",
  },
  fcntl: {
    parameters: [
      "i32", // int fd
      "i32", // int cmd
      "i64", // int or long arg
    ],
    result: "i32",
  },
  fcntlLock: {
    name: "fcntl",
    parameters: [
      "i32", // int fd
      "i32", // int cmd
      "buffer", // struct flock *lock
    ],
    result: "i32",
  },
  ioctl: {
    parameters: [
      "i32", // int fd
      "u64", // unsigned long request
      "buffer", // void *argp
    ],
    result: "i32",
  },
  poll: {
    parameters: [
      "buffer", // struct pollfd *fds
      "u64", // nfds_t nfds
      "i32", // int timeout
    ],
    result: "i32",
  },
  pollAsync: {
    name: "poll",
    parameters: [
      "buffer", // struct pollfd *fds
      "u64", // nfds_t nfds
      "i32", // int timeout
    ],
    result: "i32", // without errno, which a nonblocking call loses
    nonblocking: true,
  },
  isatty: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  access: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // int mode
    ],
    result: "i32",
  },
  statfs: {
    parameters: [
      "buffer", // const char *path
      "buffer", // struct statfs *buf
    ],
    result: "i32",
  },
  fstatfs: {
    parameters: [
      "i32", // int fd
      "buffer", // struct statfs *buf
    ],
    result: "i32",
  },
  statx: {
    name: "syscall",
    parameters: [
      "i64", // long number
      "i32", // int dirfd
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // unsigned int mask
      "buffer", // struct statx *statxbuf
    ],
    result: "i64", // long
  },
  geteuid: {
    parameters: [],
    result: "u32", // uid_t
  },
  getcwd: {
    parameters: [
      "buffer", // char *buf
      "usize", // size_t size
    ],
    result: "pointer", // char *
  },
  chdir: {
    parameters: [
      "buffer", // const char *path
    ],
    result: "i32",
  },
  sigaction: {
    parameters: [
      "i32", // int signum
      "buffer", // const struct sigaction *act
      "buffer", // struct sigaction *oldact
    ],
    result: "i32",
  },
  signal: {
    parameters: [
      "i32", // int signum
      "pointer", // sighandler_t handler
    ],
    result: "pointer", // sighandler_t
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Deno.StaticForeignLibraryInterface<typeof libcSymbols>;
let symbols: Libc | undefined;

/** The symbols, for the calling thread. */
export function libc(): Libc {
  if (!symbols) {
    // Never closed: calls through a closed library still run, into unmapped memory.
    symbols = Deno.dlopen("libc.so.6", libcSymbols).symbols;
    prepareErrno();
  }
  return symbols;
}
