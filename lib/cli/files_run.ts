/**
 * Runs `backy-fuse files`: mounts, prints where, runs the user's program or waits, and undoes
 * everything. `lib/files/files.ts` does the work.
 *
 * @module
 */

import { type EndSignal, UsageError } from "../errors.ts";
import { cleanUp } from "../files/clean.ts";
import { type FilesEvent, showFiles } from "../files/files.ts";
import type { ShownFiles } from "../files/shown_files.ts";
import type { UndoOptions } from "../files/undo.ts";
import type { VolumeName } from "../files/volumes.ts";
import type { MountEvent } from "../fuse/mount.ts";
import { giveUpStdout } from "../linux/descriptors.ts";
import { reasonOf } from "../linux/errno.ts";
import { quote } from "../wording.ts";
import { startBackground } from "./background.ts";
import { CommandProcess, exitCodeOfStart } from "./command_process.ts";
import { interruptedBy, SignalWatch } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure } from "./failure.ts";
import { formatBytes, formatListedTime } from "./format.ts";
import { listOf } from "./mount_ending.ts";
import { ProgressReporter } from "./progress.ts";
import { reportCommonEvent } from "./reporter.ts";
import { type ImageOptionValues, MIB_BYTES } from "./shared_options.ts";
import { type Sink, stderrDisplay, writeAll } from "./terminal.ts";

/** Files to show, as the options of `files_command.ts` say. */
export interface FilesRequest extends ImageOptionValues {
  /** Required unless something is cleaned up. */
  readonly basedir: string | undefined;
  readonly mountpoint: string | undefined;
  /** A program and its arguments; empty if none is to be run. */
  readonly program: readonly string[];
  readonly spec: string | undefined;
  /** Where to remove what was left. */
  readonly clean: string | undefined;
}

type ShowRequest = FilesRequest & { readonly basedir: string };

/** Runs the command. @returns The exit code: its own, or the program's. */
export async function runFiles(
  command: FilesRequest,
  { tool, write }: { readonly tool: string; readonly write: Sink },
): Promise<number> {
  const { basedir, clean, program } = command;
  if (clean === undefined && basedir === undefined) {
    throw new UsageError("Cannot show files: the argument DIR is missing (see --help)");
  }
  // A program's output is its own matter.
  const quiet = program.length > 0;
  using reporter = new ProgressReporter({ tool, write, display: stderrDisplay(), quiet });
  using run = new FilesRun(reporter);
  try {
    return basedir === undefined
      ? await run.clean(clean!)
      : await run.show({ ...command, basedir });
  } catch (error) {
    reporter.fail(describeFailure(error));
    return exitCodeFor(error);
  }
}

/** One run, with its signals. */
class FilesRun implements Disposable {
  readonly #reporter: ProgressReporter;
  readonly #signals: SignalWatch;
  /** Aborted by the first signal, which is to end everything in order. */
  readonly #end = new AbortController();
  /** Aborted by a signal that came because something was in use. */
  readonly #force = new AbortController();
  #forcedBy: EndSignal | null = null;
  #isReady = false;
  /** Whether the user knows that a signal goes on with force. */
  #isBusyTold = false;
  /** The last signal that came when everything was ending already. */
  #impatience: EndSignal | null = null;
  #hasFailed = false;
  #program: CommandProcess | null = null;

  constructor(reporter: ProgressReporter) {
    this.#reporter = reporter;
    // Its default would end this process alone, and leave all mounts.
    const quits = true;
    this.#signals = new SignalWatch((signal, count) => this.#heed(signal, count), { quits });
  }

  #heed(signal: EndSignal, count: number): void {
    if (this.#program !== null) {
      if (this.#program.heed(signal)) return;
      this.#useForce(signal);
    }
    // While it starts, something may hang that only the end of the server ends.
    if (this.#isBusyTold || (!this.#isReady && count > 1)) this.#useForce(signal);
    if (this.#end.signal.aborted) this.#impatience = signal;
    this.#end.abort(interruptedBy(signal));
  }

  #useForce(signal: EndSignal): void {
    this.#forcedBy ??= signal;
    this.#force.abort();
  }

  get #undoOptions(): UndoOptions {
    return {
      force: this.#force.signal,
      onFailure: (error) => {
        this.#hasFailed = true;
        this.#reporter.warn(describeFailure(error));
      },
      onBusy: (subject, users) => {
        this.#isBusyTold = true;
        const inUse = `${subject} is in use by ${listOf(users)}`;
        // Somebody who has asked twice need not ask once more.
        if (this.#impatience !== null) {
          this.#reporter.warn(inUse);
          return this.#useForce(this.#impatience);
        }
        this.#reporter.warn(
          `${inUse}: waiting for them to end; Ctrl-C or SIGTERM takes it away all the same`,
        );
      },
    };
  }

  /** Removes what another run left. */
  async clean(mountpoint: string): Promise<number> {
    this.#isReady = true;
    return this.#finish(await cleanUp(mountpoint, this.#undoOptions), ExitCode.COMPLETE);
  }

  async show(command: ShowRequest): Promise<number> {
    const others: string[] = [];
    const shown = await showFiles({
      ...this.#undoOptions,
      basedir: command.basedir,
      spec: command.spec,
      mountpoint: command.mountpoint,
      signal: this.#end.signal,
      startServer: (mountpoint) =>
        startBackground(
          serverArguments(command, mountpoint),
          (event) => this.#showServerEvent(event),
        ),
      onEvent: (event) => {
        if (event.type === "other") others.push(otherLine(event));
        this.#showEvent(event, command.program.length > 0);
      },
    });
    this.#isReady = true;
    this.#reporter.stop();
    let code: number;
    let isClean: boolean;
    try {
      if (shown.paths.length === 0 && (command.program.length > 0 || shown.byHandCount === 0)) {
        if (command.program.length > 0) this.#reporter.listing(others);
        this.#reporter.fail(`Cannot show files of ${quote(command.basedir)}: nothing was mounted`);
        code = ExitCode.FAILURE;
      } else if (command.program.length > 0) {
        code = await this.#runProgram(command.program, shown);
      } else {
        code = await this.#serve(shown);
      }
    } finally {
      isClean = await shown.end();
    }
    return this.#finish(isClean, code);
  }

  #finish(isClean: boolean, code: number): number {
    if (!isClean && this.#forcedBy !== null) {
      this.#reporter.warn("taken away while in use: whoever still uses it gets errors from now on");
      return ExitCode[this.#forcedBy];
    }
    if (this.#hasFailed && code === ExitCode.COMPLETE) return ExitCode.FAILURE;
    this.#reporter.message("Unmounted");
    return code;
  }

  async #runProgram(words: readonly string[], shown: ShownFiles): Promise<number> {
    if (this.#end.signal.aborted) return exitCodeFor(this.#end.signal.reason);
    try {
      this.#program = new CommandProcess(words, shown.root);
    } catch (error) {
      this.#reporter.fail(describeFailure(error));
      return exitCodeOfStart(error);
    }
    void shown.gone.then((how) => this.#tellEnd(how));
    const forced = aborted(this.#force.signal).then(() => ExitCode.FAILURE);
    const code = await Promise.race([this.#program.exitCode, forced]);
    this.#program = null;
    return code;
  }

  /** Waits until everything was unmounted, or for a signal. */
  async #serve(shown: ShownFiles): Promise<number> {
    if (!Deno.stdout.isTerminal()) {
      try {
        await writeAll(Deno.stdout, shown.paths.map((path) => `${path}\n`).join(""));
      } catch (error) {
        this.#reporter.fail(`Cannot write standard output: ${reasonOf(error)}`);
        return ExitCode.FAILURE;
      }
      // Whoever reads the paths is not to wait for more.
      giveUpStdout();
    }
    this.#reporter.message("To unmount: Ctrl-C, or SIGTERM to this process");
    const how = await Promise.race([shown.gone, aborted(this.#end.signal)]);
    const hasServed = this.#tellEnd(how);
    return hasServed && shown.failureCount === 0 ? ExitCode.COMPLETE : ExitCode.FAILURE;
  }

  /** @returns Whether it ended as somebody wanted. */
  #tellEnd(how: "unmounted" | "server ended" | undefined): boolean {
    if (how !== "server ended" || this.#end.signal.aborted) return true;
    this.#hasFailed = true;
    this.#reporter.warn(
      "the process that served the image has ended: what is mounted gives errors",
    );
    return false;
  }

  #showEvent(event: FilesEvent, hasProgram: boolean): void {
    const reporter = this.#reporter;
    switch (event.type) {
      case "revision": {
        const { name, entry, warnings } = event.revision;
        for (const warning of warnings) reporter.warn(warning);
        const time = entry === null ? "" : `, ${formatListedTime(entry.time)}`;
        reporter.message(`Revision ${name}${time}`);
        return reporter.step("Mounting");
      }
      case "warning":
        return reporter.warn(event.text);
      case "mounted": {
        const { subvolumes } = event;
        const more = subvolumes.length === 0
          ? ""
          : ` (subvolumes: ${subvolumes.map((name) => quote(name, 40)).join(", ")})`;
        return reporter.message(`${nameOf(event.volume)}: ${quote(event.path)}${more}`);
      }
      case "other":
        return reporter.message(otherLine(event));
      case "failed": {
        // With a program, the files that it names are soon gone.
        const next = event.next !== "" && !hasProgram ? `; to try: ${event.next}` : "";
        return reporter.warn(`${nameOf(event.volume)} is not mounted: ${event.reason}${next}`);
      }
    }
  }

  #showServerEvent(event: MountEvent): void {
    // Its mount is this one's matter.
    if (event.type === "mounting" || event.type === "lingering") return;
    if (event.type === "warning" && this.#end.signal.aborted) return;
    reportCommonEvent(this.#reporter, event);
  }

  [Symbol.dispose](): void {
    this.#signals[Symbol.dispose]();
  }
}

function otherLine(event: FilesEvent & { readonly type: "other" }): string {
  return `${nameOf(event.volume)}: ${event.next}`;
}

const LABEL_MAX_CHARS = 72;

/** Such as `partition 1, ext4 "root", 20.0 GiB`. */
function nameOf({ number, content, label, bytes }: VolumeName): string {
  const place = number === null ? "the image" : `partition ${number}`;
  const what = content ?? "unknown";
  const named = label === "" ? what : `${what} ${quote(label, LABEL_MAX_CHARS)}`;
  return `${place}, ${named}, ${formatBytes(bytes)}`;
}

/** Resolves when a signal is aborted. */
function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}

/** The command line of the mount that serves the image. */
function serverArguments(
  command: ShowRequest,
  mountpoint: string,
): string[] {
  const { basedir, cacheBytes, threads, spill, verify, lockTimeoutMs } = command;
  return [
    // For root alone, who is the one to read it.
    "--mountopts=",
    ...cacheBytes === undefined ? [] : [`--cache=${cacheBytes / MIB_BYTES}`],
    ...threads === undefined ? [] : [`--threads=${threads}`],
    ...spill === undefined ? [] : [`--spill=${spill}`],
    ...verify ? [] : ["--no-verify"],
    ...lockTimeoutMs === undefined ? [] : [`--lock-timeout=${lockTimeoutMs / 1000}`],
    ...["--", basedir, mountpoint],
  ];
}
