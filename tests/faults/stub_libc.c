/*
 * A C library between a program and the real one, whose calls do less than they are asked for: reads and writes are cut short, and
 * many calls fail with EINTR before they have done anything, as POSIX allows all of them to.
 *
 * Compiled twice. With -DPRELOAD it is for LD_PRELOAD, and does one thing: who opens "libc.so.6" by dlopen, as the tools' foreign
 * functions do, is given the other one, whose path is in STUB_LIBC. So nothing but those functions is concerned; the
 * runtime's own calls go to the real library. All names that the other one lacks are found in the library that it needs.
 *
 * STUB_COUNTS names a file of two 64-bit counters, of calls that were cut short and of calls that were interrupted.
 */

#define _GNU_SOURCE
#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef PRELOAD

void *dlopen(const char *name, int flags) {
  static void *(*next)(const char *, int);
  if (!next) next = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
  const char *stub = getenv("STUB_LIBC");
  if (stub && name && strcmp(name, "libc.so.6") == 0) name = stub;
  return next(name, flags);
}

#else

static _Atomic uint64_t nowhere[2];
static _Atomic uint64_t *counts = nowhere;

static void *real(const char *name);

__attribute__((constructor)) static void open_counts(void) {
  const char *path = getenv("STUB_COUNTS");
  if (!path) return;
  int fd = ((int (*)(const char *, int))real("open"))(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) counts = at;
  close(fd);
}

/* xorshift, a state a thread. */
static uint64_t some(uint64_t bound) {
  static __thread uint64_t state;
  if (!state) state = (uintptr_t)&state | 1;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % bound;
}

/* One call in four. */
static int interrupted(void) {
  if (some(4) != 0) return 0;
  atomic_fetch_add(&counts[1], 1);
  errno = EINTR;
  return 1;
}

/* A length to pass on: of one call in two only a part, of at least a byte, and rarely a very small one. */
static size_t some_of(size_t length) {
  if (length < 2 || some(2) != 0) return length;
  atomic_fetch_add(&counts[0], 1);
  return 1 + some(some(16) == 0 ? (length < 40 ? length : 40) : length);
}

/* The real function: names are looked up from the program on, where this library, opened by dlopen, is not among them. */
static void *real(const char *name) {
  return dlsym(RTLD_DEFAULT, name);
}

#define REAL(name) ((__typeof__(&name))real(#name))

ssize_t read(int fd, void *buffer, size_t length) {
  return interrupted() ? -1 : REAL(read)(fd, buffer, some_of(length));
}

ssize_t pread(int fd, void *buffer, size_t length, off_t offset) {
  return interrupted() ? -1 : REAL(pread)(fd, buffer, some_of(length), offset);
}

ssize_t write(int fd, const void *buffer, size_t length) {
  return interrupted() ? -1 : REAL(write)(fd, buffer, some_of(length));
}

ssize_t pwrite(int fd, const void *buffer, size_t length, off_t offset) {
  return interrupted() ? -1 : REAL(pwrite)(fd, buffer, some_of(length), offset);
}

/* Of direct writes the kernel cuts whole blocks off. */
int aio_write(struct aiocb *block) {
  size_t some = some_of(block->aio_nbytes);
  if (some > 4096) block->aio_nbytes = some == block->aio_nbytes ? some : some & ~(size_t)4095;
  return REAL(aio_write)(block);
}

int aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout) {
  return interrupted() ? -1 : REAL(aio_suspend)(list, count, timeout);
}

ssize_t vmsplice(int fd, const struct iovec *pieces, size_t count, unsigned int flags) {
  if (interrupted()) return -1;
  struct iovec piece = {pieces[0].iov_base, some_of(pieces[0].iov_len)};
  return REAL(vmsplice)(fd, &piece, 1, flags);
}

int open(const char *path, int flags, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, flags);
  unsigned int mode = __builtin_va_arg(arguments, unsigned int);
  __builtin_va_end(arguments);
  return interrupted() ? -1 : REAL(open)(path, flags, mode);
}

int ftruncate(int fd, off_t length) {
  return interrupted() ? -1 : REAL(ftruncate)(fd, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  return interrupted() ? -1 : REAL(fallocate)(fd, mode, offset, length);
}

int flock(int fd, int operation) {
  return interrupted() ? -1 : REAL(flock)(fd, operation);
}

int fdatasync(int fd) {
  return interrupted() ? -1 : REAL(fdatasync)(fd);
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  return interrupted() ? -1 : REAL(poll)(fds, count, timeout);
}

int statvfs(const char *path, void *result) {
  return interrupted() ? -1 : ((int (*)(const char *, void *))real("statvfs"))(path, result);
}

#endif
