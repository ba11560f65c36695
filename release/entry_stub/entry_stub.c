/*
 * What the executables do before the runtime starts: after ld.so has loaded everything, in place of the runtime's own
 * entry, which follows. `../entry_stub.ts` puts it into the file that `deno compile` makes.
 *
 * The runtime (Deno 2.6) cannot be told to do without what makes it fail or behave otherwise:
 *
 * - SIGUSR1 ends the process until JavaScript listens to it. Ignored from here on.
 * - An argument that is not UTF-8 makes it panic. One line, exit 2.
 * - A working directory that was removed makes it panic; with a name that is not UTF-8, workers do. Left for "/", and
 *   SIGRTMAX is ignored as a sign of it: JavaScript then refuses relative paths (lib/cli/process_start.ts).
 * - It opens /dev/null for descriptors 0 to 2 that are closed, and a restore to a standard output that was closed would end
 *   well. Opened here, standard output for reading only: lib/target/stream.ts then refuses it.
 * - More than thirty variables of the environment are heeded: DENO_LOG prints what happens, DENO_V8_FLAGS and
 *   RUST_MIN_STACK change it, others belong to other programs (CI, NODE_OPTIONS). Only those that the tools need stay.
 *
 * No libc, no data, no relocations: everything is relative to the instruction pointer. `build.sh` compiles it.
 */

typedef unsigned long word;

/* Filled in by entry_stub.ts. */
struct config {
  long entry;    /* distance from this structure to the runtime's entry */
  char name[24]; /* of the tool, for messages */
};
__attribute__((section(".config"), used, visibility("hidden")))
const volatile struct config config = {0};

enum { SIGUSR1 = 10, SIGRTMAX = 64, SIG_DFL = 0, SIG_IGN = 1, EXIT_USAGE = 2, STDERR = 2 };
enum { STDOUT = 1, O_RDONLY = 0, O_RDWR = 2, F_GETFD = 1, AT_FDCWD = -100 };
enum { ENOENT = 2, EBADF = 9, PATH_MAX = 4096 };

#if defined(__x86_64__)
enum { SYS_write = 1, SYS_rt_sigaction = 13, SYS_fcntl = 72, SYS_getcwd = 79, SYS_chdir = 80 };
enum { SYS_exit_group = 231, SYS_openat = 257 };

static long call(long number, word a, word b, word c, word d) {
  long result;
  register word r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { SYS_getcwd = 17, SYS_fcntl = 25, SYS_chdir = 49, SYS_openat = 56, SYS_write = 64 };
enum { SYS_exit_group = 94, SYS_rt_sigaction = 134 };

static long call(long number, word a, word b, word c, word d) {
  register long x8 __asm__("x8") = number;
  register word x0 __asm__("x0") = a;
  register word x1 __asm__("x1") = b;
  register word x2 __asm__("x2") = c;
  register word x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return (long)x0;
}
#endif

/* The kernel's struct, not libc's: signal(7), asm/signal.h. */
static void set_signal(int signal, word handler) {
  word action[4] = {handler, 0, 0, 0};
  call(SYS_rt_sigaction, signal, (word)action, 0, 8);
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

__attribute__((noreturn)) static void refuse_argument(word index) {
  char text[128], *end = append(text, config.name);
  end = append(end, ": Cannot use argument ");
  end = append_number(end, index);
  end = append(end, ": it is not UTF-8; make a link to the file, and name that\n");
  call(SYS_write, STDERR, (word)text, end - text, 0);
  for (;;) call(SYS_exit_group, EXIT_USAGE, 0, 0, 0);
}

/* Keeps the variables that the tools need: how to draw, the zone of dates, and where libfuse looks for fusermount3. */
static void clean_environment(char **environment) {
  char **kept = environment;
  for (char **entry = environment; *entry; entry++) {
    if (is_variable(*entry, "PATH") || is_variable(*entry, "TERM") || is_variable(*entry, "NO_COLOR") ||
        is_variable(*entry, "TZ")) {
      *kept++ = *entry;
    }
  }
  /* As unsetenv(3) does. The auxiliary vector stays where it is; ld.so knows the place. */
  while (*kept) *kept++ = 0;
}

/* Leaves a working directory that the runtime cannot use. */
static int leave_unusable_directory(void) {
  char path[PATH_MAX];
  long length = call(SYS_getcwd, (word)path, sizeof path, 0, 0);
  /* Where it lies outside of the root directory, "(unreachable)" stands before it: getcwd(2). */
  int is_unusable = length == -ENOENT || (length > 0 && (path[0] != '/' || !is_utf8(path)));
  return is_unusable && call(SYS_chdir, (word) "/", 0, 0, 0) == 0;
}

/* Opens what is closed of descriptors 0 to 2. In this order each gets the number that is meant, the lowest free one. */
static void open_standard_descriptors(void) {
  for (long fd = 0; fd <= STDERR; fd++) {
    if (call(SYS_fcntl, fd, F_GETFD, 0, 0) != -EBADF) continue;
    call(SYS_openat, AT_FDCWD, (word) "/dev/null", fd == STDOUT ? O_RDONLY : O_RDWR, 0);
  }
}

/*
 * Called with the stack as the kernel made it: argc, argv, NULL, environment, NULL, auxiliary vector.
 * Returns the runtime's entry.
 */
__attribute__((visibility("hidden"), used)) word prepare(word *stack) {
  word count = stack[0];
  char **arguments = (char **)(stack + 1);
  set_signal(SIGUSR1, SIG_IGN);
  open_standard_descriptors();
  for (word i = 1; i < count; i++) {
    if (!is_utf8(arguments[i])) refuse_argument(i);
  }
  /* The program's own name, which the runtime reads as well. */
  if (count > 0 && !is_utf8(arguments[0])) arguments[0] = (char *)config.name;
  clean_environment(arguments + count + 1);
  set_signal(SIGRTMAX, leave_unusable_directory() ? SIG_IGN : SIG_DFL);
  return (word)&config + config.entry;
}

/* rdx, or x0, is what ld.so wants to have called at exit: it is the runtime's. */
#if defined(__x86_64__)
__asm__(".section .text.start,\"ax\",@progbits\n"
        "  push %rdx\n"
        "  lea 8(%rsp), %rdi\n"
        "  sub $8, %rsp\n" /* aligns the stack to 16 bytes */
        "  call prepare\n"
        "  add $8, %rsp\n"
        "  pop %rdx\n"
        "  xor %ebp, %ebp\n"
        "  jmp *%rax\n"
        ".previous\n");
#elif defined(__aarch64__)
__asm__(".section .text.start,\"ax\",%progbits\n"
        "  str x0, [sp, #-16]!\n"
        "  add x0, sp, #16\n"
        "  bl prepare\n"
        "  mov x16, x0\n"
        "  ldr x0, [sp], #16\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  br x16\n"
        ".previous\n");
#endif
