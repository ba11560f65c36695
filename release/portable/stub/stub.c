/*
 * What the executables do before the runtime starts. `../pack.ts` puts it into the file that `deno compile` makes, in
 * one of two ways:
 *
 * - A portable executable brings its own dynamic loader (ld.so) and C library. The kernel enters `start`, which does
 *   what it would have done had ld.so been the file's interpreter, and jumps to ld.so.
 * - A plain executable uses those of its host. The kernel starts the host's ld.so.
 *
 * In both, ld.so then enters `enter` instead of the runtime, which follows.
 *
 * `enter` is there because the runtime (Deno 2.6) cannot be told to do without what makes it fail or behave otherwise:
 *
 * - It reads its own file by the name that /proc/self/exe has for it, and ends with a back trace if it cannot: without
 *   /proc, or where the file was removed or may not be read. One line, exit 1.
 * - It would do for anyone what only the owner of a set-user-id file may do. One line, exit 1.
 * - SIGUSR1 ends the process until JavaScript listens to it. Ignored from here on, or from `start` on.
 * - An argument that is not UTF-8 makes it panic. One line, exit 2.
 * - A working directory that was removed makes it panic; with a name that is not UTF-8, workers do. Left for "/", and
 *   SIGRTMAX is ignored as a sign of it: JavaScript then refuses relative paths (lib/cli/process_start.ts).
 * - It opens /dev/null for descriptors 0 to 2 that are closed, and a restore to a standard output that was closed would end
 *   well. Opened here, standard output for reading only: lib/target then refuses it.
 * - More than thirty variables of the environment are heeded: DENO_LOG prints what happens, DENO_V8_FLAGS and
 *   RUST_MIN_STACK change it, others belong to other programs (CI, NODE_OPTIONS). Only those that the tools need stay. The kernel's copy
 *   (/proc/self/environ) is left alone: from there commands that are run for the user get all (lib/linux/own_process.ts).
 *
 * No libc, no writable data, no relocations: everything is relative to the instruction pointer. `build.sh` compiles it.
 */

typedef unsigned long word;

#define MAX_LIBRARIES 12
/* Where descriptors of libraries are, if not above 1000. */
#define HIGH_DESCRIPTOR 40
/* The runtime panics unless it can open this many files. */
#define NEEDED_DESCRIPTORS 12
#define LIBRARY_PATH "/proc/self/fd/"

/* Filled in by pack.ts; distances are from this structure. */
struct config {
  long entry;       /* the runtime's entry */
  char name[24];    /* of the tool, for messages */
  long headers;     /* the runtime's own program headers, which ld.so reads */
  word header_count;
  long loader;      /* where ld.so is mapped */
  long loader_entry;
  word library_count; /* 0 in a plain executable */
  struct library {
    long content;
    word bytes;
    char name[32];
  } libraries[MAX_LIBRARIES];
};
__attribute__((section(".config"), used, visibility("hidden")))
const volatile struct config config = {0};

enum { SIGUSR1 = 10, SIGXFSZ = 25, SIGRTMAX = 64, SIG_DFL = 0, SIG_IGN = 1 };
enum { EXIT_FAILURE = 1, EXIT_USAGE = 2, STDOUT = 1, STDERR = 2 };
enum { AT_FDCWD = -100, F_GETFD = 1, F_DUPFD_CLOEXEC = 1030, O_RDONLY = 0, O_RDWR = 2, O_CLOEXEC = 02000000 };
enum { MFD_CLOEXEC = 1, MFD_NOEXEC_SEAL = 8, PATH_MAX = 4096 };
enum { ENOENT = 2, EBADF = 9, EINVAL = 22, EMFILE = 24, EFBIG = 27 };
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20 };
enum { AT_NULL = 0, AT_PHDR = 3, AT_PHNUM = 5, AT_BASE = 7, AT_ENTRY = 9, AT_SECURE = 23 };

#if defined(__x86_64__)
enum { SYS_write = 1, SYS_close = 3, SYS_lseek = 8, SYS_mmap = 9, SYS_munmap = 11, SYS_rt_sigaction = 13, SYS_fcntl = 72 };
enum { SYS_getcwd = 79, SYS_chdir = 80, SYS_exit_group = 231, SYS_openat = 257, SYS_readlinkat = 267, SYS_memfd_create = 319 };
enum { O_TMPFILE = 020200000 };

static long call6(long number, word a, word b, word c, word d, word e, word f) {
  long result;
  register word r10 __asm__("r10") = d;
  register word r8 __asm__("r8") = e;
  register word r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { SYS_getcwd = 17, SYS_fcntl = 25, SYS_chdir = 49, SYS_openat = 56, SYS_close = 57, SYS_lseek = 62, SYS_write = 64 };
enum { SYS_readlinkat = 78, SYS_exit_group = 94, SYS_rt_sigaction = 134, SYS_munmap = 215, SYS_mmap = 222, SYS_memfd_create = 279 };
enum { O_TMPFILE = 020040000 };

static long call6(long number, word a, word b, word c, word d, word e, word f) {
  register long x8 __asm__("x8") = number;
  register word x0 __asm__("x0") = a;
  register word x1 __asm__("x1") = b;
  register word x2 __asm__("x2") = c;
  register word x3 __asm__("x3") = d;
  register word x4 __asm__("x4") = e;
  register word x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return (long)x0;
}
#endif

static long call(long number, word a, word b, word c, word d) { return call6(number, a, b, c, d, 0, 0); }

static word address(long distance) { return (word)&config + distance; }

static char *append(char *to, const volatile char *text) {
  while (*text) *to++ = *text++;
  return to;
}

static char *append_number(char *to, word number) {
  char digits[20];
  int count = 0;
  do digits[count++] = '0' + number % 10;
  while (number /= 10);
  while (count) *to++ = digits[--count];
  return to;
}

/* Ends the process with a line: name, text, number if it is not 0, rest. */
__attribute__((noreturn)) static void end(int code, const char *text, word number, const volatile char *rest) {
  char line[320], *to = append(line, config.name);
  to = append(to, text);
  if (number) to = append_number(to, number);
  to = append(to, rest);
  *to++ = '\n';
  call(SYS_write, STDERR, (word)line, to - line, 0);
  for (;;) call(SYS_exit_group, code, 0, 0, 0);
}

__attribute__((noreturn)) static void refuse_descriptors(void) {
  end(EXIT_FAILURE, ": Cannot start: too few open files are allowed; raise the limit (ulimit -n)", 0, "");
}

/* Requires that the runtime can read its own file. */
static void require_own_file(void) {
  char path[PATH_MAX];
  long length = call(SYS_readlinkat, AT_FDCWD, (word) "/proc/self/exe", (word)path, sizeof path - 1);
  if (length < 0) end(EXIT_FAILURE, ": Cannot start: /proc is not mounted; mount it: mount -t proc proc /proc", 0, "");
  path[length] = 0;
  long fd = call(SYS_openat, AT_FDCWD, (word)path, O_RDONLY | O_CLOEXEC, 0);
  if (fd == -EMFILE) refuse_descriptors();
  if (fd < 0) {
    end(EXIT_FAILURE, ": Cannot start: it cannot read its own file, which was removed or replaced, or may only be executed", 0, "");
  }
  call(SYS_close, fd, 0, 0, 0);
}

__attribute__((noreturn)) static void refuse_raised_rights(void) {
  end(EXIT_FAILURE,
      ": Cannot start with raised rights (set-user-id, set-group-id, file capabilities, or a security module's rule): "
      "start a plain copy of the file, as a user who has these rights",
      0, "");
}

/* The kernel's struct, not libc's: signal(7), asm/signal.h. */
struct action {
  word handler, flags, restorer, mask;
};

static void set_signal(int signal, word handler) {
  struct action action = {handler, 0, 0, 0};
  call(SYS_rt_sigaction, signal, (word)&action, 0, 8);
}

/* Unicode 16, table 3-7: what Rust's str::from_utf8 takes. */
static int is_utf8(const char *text) {
  const unsigned char *at = (const unsigned char *)text;
  while (*at) {
    unsigned lead = *at++, low = 0x80, high = 0xbf, more;
    if (lead < 0x80) continue;
    if (lead >= 0xc2 && lead <= 0xdf) more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) more = 2;
    else if (lead >= 0xf0 && lead <= 0xf4) more = 3;
    else return 0;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f; /* surrogates */
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (; more; more--, at++, low = 0x80, high = 0xbf) {
      if (*at < low || *at > high) return 0; /* the end, too, which is 0 */
    }
  }
  return 1;
}

/* Whether an entry of the environment is the variable NAME. */
static int is_variable(const char *entry, const char *name) {
  while (*name) {
    if (*entry++ != *name++) return 0;
  }
  return *entry == '=';
}

/* The variables that the tools need: how to draw, the zone of dates, and where libfuse looks for fusermount3. */
static int is_kept(const char *entry) {
  return is_variable(entry, "PATH") || is_variable(entry, "TERM") || is_variable(entry, "NO_COLOR") ||
         is_variable(entry, "TZ");
}

/*
 * Opens what is closed of descriptors 0 to 2. In this order each gets the number that is meant, the lowest free one.
 * Before any other file is opened: nothing else may become standard output.
 */
static void open_standard_descriptors(void) {
  for (long fd = 0; fd <= STDERR; fd++) {
    if (call(SYS_fcntl, fd, F_GETFD, 0, 0) != -EBADF) continue;
    if (call(SYS_openat, AT_FDCWD, (word) "/dev/null", fd == STDOUT ? O_RDONLY : O_RDWR, 0) < 0) {
      end(EXIT_FAILURE, ": Cannot start: a standard descriptor is closed, and /dev/null cannot take its place", 0, "");
    }
  }
}

/* Before ld.so: `start`. */

/*
 * Writes a library to a file, and tries whether code in it may be run: not on a noexec mount, nor in a memory file where
 * SELinux confines the process. Returns 0 or a negative errno.
 */
static long fill(long fd, const volatile struct library *library) {
  for (word done = 0; done < library->bytes;) {
    long count = call(SYS_write, fd, address(library->content) + done, library->bytes - done, 0);
    if (count <= 0) return count < 0 ? count : -EINVAL;
    done += count;
  }
  long map = call6(SYS_mmap, 0, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  if (map < 0 && map > -4096) return map;
  call(SYS_munmap, map, 1, 0, 0);
  return 0;
}

/*
 * Puts a library into a file that has no name: in memory (Linux 3.17), otherwise wherever there is room and code may be run
 * from. Its descriptor is high, so that nobody's own is taken, and stays open, as debuggers and back traces open
 * /proc/self/fd/N by that name.
 */
static long open_library(const volatile struct library *library) {
  const char *folder = "/dev/shm\0/run\0/tmp\0/var/tmp\0";
  long fd = call(SYS_memfd_create, (word)library->name, MFD_CLOEXEC | MFD_NOEXEC_SEAL, 0, 0); /* Linux 6.3 */
  if (fd == -EINVAL) fd = call(SYS_memfd_create, (word)library->name, MFD_CLOEXEC, 0, 0);
  for (;;) {
    long error = fd < 0 ? fd : fill(fd, library);
    if (error == 0) break;
    if (error == -EMFILE) refuse_descriptors();
    if (error == -EFBIG) end(EXIT_FAILURE, ": Cannot start: files may not be as large as the C library; raise the limit (ulimit -f)", 0, "");
    if (fd >= 0) call(SYS_close, fd, 0, 0, 0);
    if (!*folder) {
      end(EXIT_FAILURE,
          ": Cannot start: no place for the C library: neither memory files nor /dev/shm, /run, /tmp or /var/tmp have room and "
          "may hold code",
          0, "");
    }
    fd = call(SYS_openat, AT_FDCWD, (word)folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    while (*folder++) {
    }
  }
  /* Fails where a limit (ulimit -n) is lower, or what is above is taken. */
  long high = call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 1000, 0);
  if (high < 0) high = call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR, 0);
  if (high < 0) return fd; /* `enter` closes it */
  call(SYS_close, fd, 0, 0, 0);
  return high;
}

/* The variable that names all libraries to ld.so, which takes them for those of their names (DT_SONAME). */
static char *name_libraries(void) {
  long page = call6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page < 0 && page > -4096) end(EXIT_FAILURE, ": Cannot start: no memory", 0, "");
  char *to = append((char *)page, "LD_PRELOAD=");
  /* Otherwise the signal ends the process where a limit (ulimit -f) is too low for a library. */
  struct action before, ignore = {SIG_IGN, 0, 0, 0};
  call(SYS_rt_sigaction, SIGXFSZ, (word)&ignore, (word)&before, 8);
  for (word i = 0; i < config.library_count; i++) {
    if (i) *to++ = ':';
    to = append_number(append(to, LIBRARY_PATH), open_library(&config.libraries[i]));
  }
  call(SYS_rt_sigaction, SIGXFSZ, (word)&before, 0, 8);
  *to = 0;
  return (char *)page;
}

__attribute__((visibility("hidden"))) void enter(void);

struct jump {
  word *stack;
  word to;
};

/*
 * Called with the stack as the kernel made it: argc, argv, NULL, environment, NULL, auxiliary vector. Makes another of it,
 * with the one variable more, two words below so that the stack stays aligned. Variables that the tools do not need are
 * left out here, so that ld.so does not see those meant for the host's libraries (LD_PRELOAD, LD_LIBRARY_PATH, ...).
 */
__attribute__((visibility("hidden"), used)) struct jump prepare_start(word *stack) {
  set_signal(SIGUSR1, SIG_IGN);
  open_standard_descriptors();
  char *libraries = name_libraries();
  require_own_file(); /* ld.so needs a free descriptor, as this does */
  word *from = stack, *to = stack - 2;
  for (word left = *from + 2; left; left--) *to++ = *from++; /* argc, the arguments, NULL */
  for (; *from; from++) {
    if (is_kept((char *)*from)) *to++ = *from;
  }
  *to++ = (word)libraries;
  *to++ = 0;
  for (from++;; from += 2, to += 2) {
    word key = from[0], value = from[1]; /* both are read first, as they may be overwritten */
    if (key == AT_PHDR) value = address(config.headers);
    if (key == AT_PHNUM) value = config.header_count;
    if (key == AT_BASE) value = address(config.loader);
    if (key == AT_ENTRY) value = (word)enter;
    if (key == AT_SECURE && value) refuse_raised_rights();
    to[0] = key;
    to[1] = value;
    if (key == AT_NULL) break;
  }
  return (struct jump){stack - 2, address(config.loader_entry)};
}

/* After ld.so: `enter`. */

/*
 * Closes libraries that are not high, as few files may be open then, and the runtime needs the room more than back traces do.
 * Needs the variable that names them.
 */
static void close_low_libraries(char **environment) {
  while (*environment && !is_variable(*environment, "LD_PRELOAD")) environment++;
  if (!*environment) return;
  for (const char *at = *environment; *at;) {
    while (*at && !(at[0] == '/' && at[1] >= '0' && at[1] <= '9')) at++;
    word fd = 0;
    if (*at) at++;
    while (*at >= '0' && *at <= '9') fd = 10 * fd + (*at++ - '0');
    if (fd > STDERR && fd < HIGH_DESCRIPTOR) call(SYS_close, fd, 0, 0, 0);
  }
}

/* Requires that as many files can be opened as the runtime needs. */
static void require_descriptors(void) {
  long fds[NEEDED_DESCRIPTORS];
  int count = 0;
  while (count < NEEDED_DESCRIPTORS && (fds[count] = call(SYS_fcntl, STDERR, F_DUPFD_CLOEXEC, 0, 0)) >= 0) count++;
  if (count < NEEDED_DESCRIPTORS) refuse_descriptors();
  while (count) call(SYS_close, fds[--count], 0, 0, 0);
}

/* Removes the variables that are not needed, as unsetenv(3) does: the auxiliary vector stays where ld.so has found it. */
static void clean_environment(char **environment) {
  char **kept = environment;
  for (char **entry = environment; *entry; entry++) {
    if (is_kept(*entry)) *kept++ = *entry;
  }
  while (*kept) *kept++ = 0;
}

/* Says in the auxiliary vector what the kernel would have said. */
static void restore_entry(word *environment) {
  while (*environment++) {
  }
  for (word *pair = environment; pair[0] != AT_NULL; pair += 2) {
    if (pair[0] == AT_ENTRY) pair[1] = address(config.entry);
    if (pair[0] == AT_SECURE && pair[1]) refuse_raised_rights();
  }
}

/* Leaves a working directory that the runtime cannot use. */
static int leave_unusable_directory(void) {
  char path[PATH_MAX];
  long length = call(SYS_getcwd, (word)path, sizeof path, 0, 0);
  /* Where it lies outside of the root directory, "(unreachable)" stands before it: getcwd(2). */
  int is_unusable = length == -ENOENT || (length > 0 && (path[0] != '/' || !is_utf8(path)));
  return is_unusable && call(SYS_chdir, (word) "/", 0, 0, 0) == 0;
}

/* Called with the stack as the runtime will see it. Returns the runtime's entry. */
__attribute__((visibility("hidden"), used)) word prepare_enter(word *stack) {
  word count = stack[0];
  char **arguments = (char **)(stack + 1);
  set_signal(SIGUSR1, SIG_IGN);
  open_standard_descriptors();
  if (config.library_count > 0) close_low_libraries(arguments + count + 1);
  require_descriptors();
  require_own_file();
  for (word i = 1; i < count; i++) {
    if (!is_utf8(arguments[i])) {
      end(EXIT_USAGE, ": Cannot use argument ", i, ": it is not UTF-8; make a link to the file, and name that");
    }
  }
  /* The program's own name, which the runtime reads as well. */
  if (count > 0 && !is_utf8(arguments[0])) arguments[0] = (char *)config.name;
  restore_entry((word *)arguments + count + 1);
  clean_environment(arguments + count + 1);
  set_signal(SIGRTMAX, leave_unusable_directory() ? SIG_IGN : SIG_DFL);
  return address(config.entry);
}

/*
 * The entries: `enter` comes first, `start` 64 bytes behind it. rdx, or x0, holds what ld.so wants to have called at exit:
 * it is the runtime's. `start` leaves room for its own work below the stack that it makes.
 */
#if defined(__x86_64__)
__asm__(".section .text.start,\"ax\",@progbits\n"
        ".globl enter\n"
        ".hidden enter\n"
        "enter:\n"
        "  push %rdx\n"
        "  lea 8(%rsp), %rdi\n"
        "  sub $8, %rsp\n" /* aligns the stack to 16 bytes */
        "  call prepare_enter\n"
        "  add $8, %rsp\n"
        "  pop %rdx\n"
        "  xor %ebp, %ebp\n"
        "  jmp *%rax\n"
        ".balign 64\n"
        "start:\n"
        "  xor %ebp, %ebp\n"
        "  mov %rsp, %rdi\n"
        "  sub $4096, %rsp\n"
        "  and $-16, %rsp\n"
        "  call prepare_start\n"
        "  mov %rax, %rsp\n"
        "  mov %rdx, %rax\n"
        "  xor %edx, %edx\n"
        "  jmp *%rax\n"
        ".previous\n");
#elif defined(__aarch64__)
__asm__(".section .text.start,\"ax\",%progbits\n"
        ".globl enter\n"
        ".hidden enter\n"
        "enter:\n"
        "  str x0, [sp, #-16]!\n"
        "  add x0, sp, #16\n"
        "  bl prepare_enter\n"
        "  mov x16, x0\n"
        "  ldr x0, [sp], #16\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  br x16\n"
        ".balign 64\n"
        "start:\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  mov x0, sp\n"
        "  sub sp, sp, #4096\n"
        "  bl prepare_start\n"
        "  mov sp, x0\n"
        "  mov x16, x1\n"
        "  mov x0, #0\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  br x16\n"
        ".previous\n");
#endif
