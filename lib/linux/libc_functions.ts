/**
 * The functions of the C library that are used, with their types for FFI. `libc.ts` opens them.
 *
 * @module
 */

/**
 * The functions, each below its C declaration; a test compares both with the compiler's.
 *
 * `open`, `fcntl`, `ioctl` and `syscall` are variadic in C. The System V ABI of x86_64 and the
 * Linux ABI of aarch64 pass integer arguments of variadic functions like fixed ones, so a fixed
 * arity is sound on Linux (not on macOS). A nonblocking call loses its errno, which is set on
 * another thread.
 */
export const libcFunctions = {
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
  // char *strerror(int errnum);
  strerror: { parameters: ["i32"], result: "pointer" },

  // int open(const char *pathname, int flags, mode_t mode);
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  openAsync: {
    name: "open",
    parameters: ["buffer", "i32", "u32"],
    result: "i32",
    nonblocking: true,
  },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  closeAsync: { name: "close", parameters: ["i32"], result: "i32", nonblocking: true },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // ssize_t pread(int fd, void *buf, size_t count, off_t offset);
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset);
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  // off_t lseek(int fd, off_t offset, int whence);
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  // mode_t umask(mode_t mask);
  umask: { parameters: ["u32"], result: "u32" },
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  ftruncateAsync: {
    name: "ftruncate",
    parameters: ["i32", "i64"],
    result: "i32",
    nonblocking: true,
  },
  // int fallocate(int fd, int mode, off_t offset, off_t len);
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  fallocateAsync: {
    name: "fallocate",
    parameters: ["i32", "i32", "i64", "i64"],
    result: "i32",
    nonblocking: true,
  },
  // Returns the error number; errno is not set.
  // int posix_fadvise(int fd, off_t offset, off_t len, int advice);
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
  posix_fadviseAsync: {
    name: "posix_fadvise",
    parameters: ["i32", "i64", "i64", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int fsync(int fd);
  fsync: { parameters: ["i32"], result: "i32" },
  // int fdatasync(int fd);
  fdatasync: { parameters: ["i32"], result: "i32" },
  // int aio_fsync(int op, struct aiocb *aiocbp);
  aio_fsync: { parameters: ["i32", "pointer"], result: "i32" },
  // Returns EINPROGRESS while the operation runs, then 0 or the error number; errno is not set.
  // int aio_error(const struct aiocb *aiocbp);
  aio_error: { parameters: ["pointer"], result: "i32" },
  // ssize_t aio_return(struct aiocb *aiocbp);
  aio_return: { parameters: ["pointer"], result: "isize" },
  // int aio_write(struct aiocb *aiocbp);
  aio_write: { parameters: ["pointer"], result: "i32" },
  // int aio_suspend(const struct aiocb *const *list, int nent, const struct timespec *timeout);
  aio_suspend: { parameters: ["buffer", "i32", "buffer"], result: "i32" },
  // int aio_cancel(int fd, struct aiocb *aiocbp);
  aio_cancel: { parameters: ["i32", "pointer"], result: "i32" },
  // int access(const char *pathname, int mode);
  access: { parameters: ["buffer", "i32"], result: "i32" },
  // glibc has a function of its own from 2.28 on; 2.27 is supported.
  // long syscall(long number, int dirfd, const char *pathname, int flags, unsigned int mask,
  //              struct statx *statxbuf);
  statx: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "i32", "u32", "buffer"],
    result: "i64",
  },
  // int statfs(const char *path, struct statfs *buf);
  statfs: { parameters: ["buffer", "buffer"], result: "i32" },
  // int fstatfs(int fd, struct statfs *buf);
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  // int flock(int fd, int operation);
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // int fcntl(int fd, int cmd, long arg);
  fcntl: { parameters: ["i32", "i32", "i64"], result: "i32" },
  // int fcntl(int fd, int cmd, struct flock *lock);
  fcntlLock: { name: "fcntl", parameters: ["i32", "i32", "buffer"], result: "i32" },
  // int ioctl(int fd, unsigned long request, void *argp);
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  // int dup2(int oldfd, int newfd);
  dup2: { parameters: ["i32", "i32"], result: "i32" },
  // int socket(int domain, int type, int protocol);
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // ssize_t sendto(int fd, const void *buf, size_t n, int flags, __CONST_SOCKADDR_ARG addr,
  //                socklen_t addr_len);
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "isize" },
  // int bind(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len);
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int fd, int n);
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *addr_len, int flags);
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  // int getsockname(int fd, __SOCKADDR_ARG addr, socklen_t *len);
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int setsockopt(int fd, int level, int optname, const void *optval, socklen_t optlen);
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // ssize_t recv(int fd, void *buf, size_t n, int flags);
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "isize" },
  // ssize_t sendmsg(int fd, const struct msghdr *message, int flags);
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
  sendmsgAsync: {
    name: "sendmsg",
    parameters: ["i32", "buffer", "i32"],
    result: "isize",
    nonblocking: true,
  },
  // int shutdown(int fd, int how);
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  // int getaddrinfo(const char *name, const char *service, const struct addrinfo *req,
  //                 struct addrinfo **pai);
  getaddrinfo: { parameters: ["buffer", "buffer", "buffer", "buffer"], result: "i32" },
  // void freeaddrinfo(struct addrinfo *ai);
  freeaddrinfo: { parameters: ["pointer"], result: "void" },
  // const char *gai_strerror(int ecode);
  gai_strerror: { parameters: ["i32"], result: "pointer" },
  // const char *inet_ntop(int af, const void *cp, char *buf, socklen_t len);
  inet_ntop: { parameters: ["i32", "buffer", "buffer", "u32"], result: "pointer" },
  // int epoll_create1(int flags);
  epoll_create1: { parameters: ["i32"], result: "i32" },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  epoll_waitAsync: {
    name: "epoll_wait",
    parameters: ["i32", "buffer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int isatty(int fd);
  isatty: { parameters: ["i32"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout);
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  pollAsync: {
    name: "poll",
    parameters: ["buffer", "u64", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int pipe2(int *pipefd, int flags);
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  // ssize_t vmsplice(int fd, const struct iovec *iov, size_t nr_segs, unsigned int flags);
  vmsplice: { parameters: ["i32", "buffer", "usize", "u32"], result: "isize" },

  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  // int madvise(void *addr, size_t length, int advice);
  madvise: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  // void *memcpy(void *dest, const void *src, size_t n);
  memcpy: { parameters: ["buffer", "buffer", "usize"], result: "pointer" },
  // void *malloc(size_t size);
  malloc: { parameters: ["usize"], result: "pointer" },
  // void free(void *ptr);
  free: { parameters: ["pointer"], result: "void" },
  // A va_list is an array on x86_64 and a large struct on aarch64: both ABIs pass its address.
  // int vsnprintf(char *str, size_t size, const char *format, va_list ap);
  vsnprintf: { parameters: ["buffer", "usize", "pointer", "pointer"], result: "i32" },

  // long sysconf(int name);
  sysconf: { parameters: ["i32"], result: "i64" },
  // uid_t geteuid(void);
  geteuid: { parameters: [], result: "u32" },
  // char *getcwd(char *buf, size_t size);
  getcwd: { parameters: ["buffer", "usize"], result: "pointer" },
  // int chdir(const char *path);
  chdir: { parameters: ["buffer"], result: "i32" },
  // void *dlopen(const char *filename, int flags);
  dlopen: { parameters: ["buffer", "i32"], result: "pointer" },
  // char *dlerror(void);
  dlerror: { parameters: [], result: "pointer" },
  // char *getenv(const char *name);
  getenv: { parameters: ["buffer"], result: "pointer" },
  // int setenv(const char *name, const char *value, int overwrite);
  setenv: { parameters: ["buffer", "buffer", "i32"], result: "i32" },
  // int unsetenv(const char *name);
  unsetenv: { parameters: ["buffer"], result: "i32" },
  // int mount(const char *source, const char *target, const char *filesystemtype,
  //           unsigned long mountflags, const void *data);
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
  mountAsync: {
    name: "mount",
    parameters: ["buffer", "buffer", "buffer", "u64", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  // int umount2(const char *target, int flags);
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
  umount2Async: {
    name: "umount2",
    parameters: ["buffer", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int getrlimit(__rlimit_resource_t resource, struct rlimit *rlim);
  getrlimit: { parameters: ["u32", "buffer"], result: "i32" },
  // int getrusage(__rusage_who_t who, struct rusage *usage);
  getrusage: { parameters: ["i32", "buffer"], result: "i32" },
  // int setrlimit(__rlimit_resource_t resource, const struct rlimit *rlim);
  setrlimit: { parameters: ["u32", "buffer"], result: "i32" },
  // int sigaction(int signum, const struct sigaction *act, struct sigaction *oldact);
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // sighandler_t signal(int signum, sighandler_t handler);
  signal: { parameters: ["i32", "pointer"], result: "pointer" },

  // int kill(pid_t pid, int sig);
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // pid_t waitpid(pid_t pid, int *wstatus, int options);
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // int waitid(idtype_t idtype, id_t id, siginfo_t *infop, int options);
  waitidAsync: {
    name: "waitid",
    parameters: ["u32", "u32", "buffer", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // Functions of posix_spawn* return the error number; errno is not set.
  // int posix_spawnp(pid_t *pid, const char *file,
  //                  const posix_spawn_file_actions_t *file_actions,
  //                  const posix_spawnattr_t *attrp, char *const *argv, char *const *envp);
  posix_spawnp: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  // int posix_spawn_file_actions_init(posix_spawn_file_actions_t *file_actions);
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  // int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *file_actions);
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  // int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *file_actions, int fildes,
  //                                      int newfildes);
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  // In glibc from 2.29 on.
  // int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *file_actions,
  //                                          const char *path);
  posix_spawn_file_actions_addchdir_np: { parameters: ["buffer", "buffer"], result: "i32" },
  // int posix_spawn_file_actions_addclose(posix_spawn_file_actions_t *file_actions, int fildes);
  posix_spawn_file_actions_addclose: { parameters: ["buffer", "i32"], result: "i32" },
  // int posix_spawnattr_init(posix_spawnattr_t *attr);
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  // int posix_spawnattr_destroy(posix_spawnattr_t *attr);
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  // int posix_spawnattr_setflags(posix_spawnattr_t *attr, short flags);
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  // int posix_spawnattr_setsigdefault(posix_spawnattr_t *attr, const sigset_t *sigdefault);
  posix_spawnattr_setsigdefault: { parameters: ["buffer", "buffer"], result: "i32" },

  // Functions of pthread_* return the error number; errno is not set.
  // int pthread_attr_init(pthread_attr_t *attr);
  pthread_attr_init: { parameters: ["buffer"], result: "i32" },
  // int pthread_attr_setstacksize(pthread_attr_t *attr, size_t stacksize);
  pthread_attr_setstacksize: { parameters: ["buffer", "usize"], result: "i32" },
  // int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
  //                    void *(*start_routine)(void *), void *arg);
  pthread_create: { parameters: ["buffer", "buffer", "pointer", "buffer"], result: "i32" },
  // int pthread_join(pthread_t thread, void **retval);
  pthread_join: { parameters: ["u64", "pointer"], result: "i32" },
  // int sem_init(sem_t *sem, int pshared, unsigned int value);
  sem_init: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int sem_post(sem_t *sem);
  sem_post: { parameters: ["buffer"], result: "i32" },
  // int sem_destroy(sem_t *sem);
  sem_destroy: { parameters: ["buffer"], result: "i32" },
  // Its address, for threads to run: it takes one pointer, and its result is not looked at.
  // int sem_wait(sem_t *sem);
  semWait: { name: "sem_wait", type: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;
