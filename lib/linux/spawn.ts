/**
 * Starts other programs, and tells how they ended.
 *
 * By posix_spawn(3): the runtime starts only programs that an executable's permissions name, and
 * gives them neither a session nor descriptors of their own.
 *
 * @module
 */

import { type EnvironmentChanges, startEnvironment } from "./own_process.ts";
import { osError } from "./errno.ts";
import { releaseFd } from "./files.ts";
import { cString, cStringArray, lastErrno, libc } from "./libc.ts";
import { listNames } from "./paths.ts";
import { isSignalIgnored, SignalNumber, useDefaultSignal } from "./signals.ts";

/** How a process ended: by its exit code, or by a signal. */
export type ExitStatus =
  | { readonly code: number; readonly signal: null }
  | { readonly code: null; readonly signal: number };

/** How a program is started. */
export interface SpawnOptions {
  /** All words of its command line; the first is its name. None may contain a NUL. */
  readonly words: readonly string[];
  /**
   * What it gets as descriptors 0, 1, 2 and so on; default: 0, 1 and 2 of this process. The caller
   * keeps them and may close them afterwards.
   */
  readonly descriptors?: readonly number[];
  /**
   * Whether it gets none of the other descriptors that this process was started with. Those that
   * the tools and the runtime open are close-on-exec, and never go to another program.
   */
  readonly closesOthers?: boolean;
  /**
   * Whether it gets a session of its own: it has no terminal then, and neither Ctrl-C nor the end
   * of the terminal reaches it.
   */
  readonly ownSession?: boolean;
  /** Its working directory; default: that of this process. Needs glibc 2.29. */
  readonly directory?: string;
  /** Changes to the environment that this process was started with. */
  readonly environment?: EnvironmentChanges;
}

/** Sizes of C types, the same on x86_64 and aarch64; checked against the compiler's in a test. */
export const SpawnLayout = {
  posix_spawn_file_actions_t: 80,
  posix_spawnattr_t: 336,
  sigset_t: 128,
  siginfo_t: 128,
} as const;

/** Flags of `posix_spawnattr_setflags`. Source: spawn.h. */
const POSIX_SPAWN_SETSIGDEF = 0x04, POSIX_SPAWN_SETSID = 0x80;

/**
 * Signals that the runtime or the stub ignores; ignored ones would stay so in the program. (Those
 * with a listener get their default.)
 */
const RESET_SIGNALS = [SignalNumber.SIGPIPE, SignalNumber.SIGXFSZ, SignalNumber.SIGRTMAX];

/**
 * Starts a program.
 *
 * @param program Path, or a name to look for along `PATH`.
 * @returns The process; its end must be waited for, or it stays a zombie.
 * @throws {OsError} If it cannot be started.
 */
export function spawn(program: string, options: SpawnOptions): ChildProcess {
  const { words, descriptors = [0, 1, 2], closesOthers = false, ownSession = false } = options;
  // The kernel would not keep the status of a process that ends.
  if (isSignalIgnored(SignalNumber.SIGCHLD)) useDefaultSignal(SignalNumber.SIGCHLD);
  const file = cString(program);
  const argv = words.map(cString);
  const envp = startEnvironment(options.environment).map((entry) => new Uint8Array([...entry, 0]));
  const [argvArray, envpArray] = [cStringArray(argv), cStringArray(envp)];
  const pid = new Int32Array(1);
  using actions = new FileActions(descriptors, closesOthers);
  const directory = options.directory === undefined ? null : cString(options.directory);
  if (directory !== null) {
    libc.posix_spawn_file_actions_addchdir_np(actions.struct, directory);
  }
  using attributes = new Attributes(ownSession);
  const pidBytes = new Uint8Array(pid.buffer);
  const errno = libc.posix_spawnp(
    pidBytes,
    file,
    actions.struct,
    attributes.struct,
    argvArray,
    envpArray,
  );
  // Keeps what the arrays point to from the garbage collector until here.
  void [argv, envp, directory];
  if (errno !== 0) throw osError(errno, { syscall: "start", path: program });
  return new ChildProcess(pid[0]!);
}

/** What becomes of descriptors between the fork and the program. */
class FileActions implements Disposable {
  readonly struct = new Uint8Array(new ArrayBuffer(SpawnLayout.posix_spawn_file_actions_t));
  readonly #copies: number[] = [];

  constructor(descriptors: readonly number[], closesOthers: boolean) {
    libc.posix_spawn_file_actions_init(this.struct);
    try {
      descriptors.forEach((fd, place) => this.#put(fd, place, descriptors.length));
      if (!closesOthers) return;
      for (const fd of inheritableFds().filter((fd) => fd >= descriptors.length)) {
        libc.posix_spawn_file_actions_addclose(this.struct, fd);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #put(fd: number, place: number, count: number): void {
    // A copy beyond all places: none is taken for another before it was used.
    const F_DUPFD_CLOEXEC = 1030; // linux/fcntl.h
    const copy = libc.fcntl(fd, F_DUPFD_CLOEXEC, BigInt(count));
    if (copy < 0) throw osError(lastErrno(), { syscall: "duplicate descriptor", path: `${fd}` });
    this.#copies.push(copy);
    libc.posix_spawn_file_actions_adddup2(this.struct, copy, place);
  }

  [Symbol.dispose](): void {
    libc.posix_spawn_file_actions_destroy(this.struct);
    for (const fd of this.#copies.splice(0)) releaseFd(fd);
  }
}

/** The descriptors that a program would inherit. */
function inheritableFds(): number[] {
  const F_GETFD = 1, FD_CLOEXEC = 1; // asm-generic/fcntl.h
  return listNames("/proc/self/fd").map(Number).filter((fd) => {
    const flags = libc.fcntl(fd, F_GETFD, 0n);
    return flags >= 0 && (flags & FD_CLOEXEC) === 0;
  });
}

/** Signals and session of the program. */
class Attributes implements Disposable {
  readonly struct = new Uint8Array(new ArrayBuffer(SpawnLayout.posix_spawnattr_t));

  constructor(ownSession: boolean) {
    libc.posix_spawnattr_init(this.struct);
    const flags = POSIX_SPAWN_SETSIGDEF | (ownSession ? POSIX_SPAWN_SETSID : 0);
    libc.posix_spawnattr_setflags(this.struct, flags);
    // A sigset_t has a bit for each signal, from 1 on, in words of 64 bits.
    const signals = new BigUint64Array(SpawnLayout.sigset_t / 8);
    for (const signal of RESET_SIGNALS) signals[0]! |= 1n << BigInt(signal - 1);
    libc.posix_spawnattr_setsigdefault(this.struct, new Uint8Array(signals.buffer));
  }

  [Symbol.dispose](): void {
    libc.posix_spawnattr_destroy(this.struct);
  }
}

/** Options and a kind of `waitid`. Source: linux/wait.h. */
const WNOHANG = 1, WEXITED = 4, WNOWAIT = 0x0100_0000, P_PID = 1;

/** A process that {@linkcode spawn} has started. */
export class ChildProcess {
  readonly pid: number;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<ExitStatus>;
  #status: ExitStatus | null = null;

  constructor(pid: number) {
    this.pid = pid;
    this.ended = this.#wait();
  }

  /** Sends a signal. @returns `false` if the process has ended. */
  signal(name: keyof typeof SignalNumber): boolean {
    // Until its status is taken the process is a zombie, and its id nobody else's.
    return this.#status === null && libc.kill(this.pid, SignalNumber[name]) === 0;
  }

  async #wait(): Promise<ExitStatus> {
    const info = new Uint8Array(new ArrayBuffer(SpawnLayout.siginfo_t));
    for (;;) {
      // On another thread, which leaves the status for this one: so `signal` cannot meet an id that
      // was freed and given to another process.
      await libc.waitidAsync(P_PID, this.pid, info, WEXITED | WNOWAIT);
      const status = new Int32Array(1);
      const pid = libc.waitpid(this.pid, new Uint8Array(status.buffer), WNOHANG);
      // Keeps the buffer until the call has ended: Deno 2.6 does not.
      void info.length;
      if (pid === this.pid) return this.#status = parseStatus(status[0]!);
      // Somebody else has taken it; what it was is lost. Otherwise a signal has ended the wait.
      if (pid < 0) return this.#status = { code: 255, signal: null };
    }
  }
}

/** Source: bits/waitstatus.h. */
function parseStatus(status: number): ExitStatus {
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal };
}
