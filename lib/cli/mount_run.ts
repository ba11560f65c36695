/**
 * Serves a mount, in the foreground or the background, until it is gone: signals
 * (`mount_ending.ts`), and who is told what (`mount_audience.ts`, `service_manager.ts`).
 *
 * @module
 */

import { InterruptedError } from "../errors.ts";
import { mountBackup, type MountOptions } from "../fuse/mount.ts";
import { quote } from "../wording.ts";
import { interruptedBy, SignalWatch } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure } from "./failure.ts";
import { describeMount, type MountAudience } from "./mount_audience.ts";
import { FORCE_MS, MountEnding, ParentWatch } from "./mount_ending.ts";
import { notifyServiceManager } from "./service_manager.ts";

/**
 * Mounts a backup directory and serves it.
 *
 * @returns The exit code, when the mount is gone; the audience was told why.
 */
export async function serveMount(
  options: Omit<MountOptions, "signal" | "onEvent">,
  audience: MountAudience,
): Promise<ExitCode> {
  const interruption = new AbortController();
  let ending: MountEnding | undefined;
  // A lost connection to the rescue host must not leave a dead mount behind.
  let signalCount = 0;
  using _signals = new SignalWatch((signal, count) => {
    signalCount = count;
    interruption.abort(interruptedBy(signal));
    if (ending) return ending.heed(signal, count);
    notifyServiceManager({ isStopping: true });
    // Ending between the mount and its first answer would leave a dead mount behind.
    if (count > 1) setTimeout(() => ending ?? Deno.exit(ExitCode[signal]), FORCE_MS);
  });
  using parent = new ParentWatch((error) => interruption.abort(error));
  try {
    const mounted = await mountBackup({
      ...options,
      signal: interruption.signal,
      onEvent: (event) => {
        if (event.type === "lock-wait") {
          parent.begin(`mount at ${quote(options.mountpoint)}`);
          notifyServiceManager({ status: `Waiting for the purge lock, held by ${event.holder}` });
        }
        if (event.type === "mounting") parent.end();
        audience.event(event);
      },
    });
    ending = new MountEnding(mounted, audience);
    // A signal that arrived while mounting had nothing to unmount yet.
    const { reason } = interruption.signal;
    if (reason instanceof InterruptedError) ending.heed(reason.signal, signalCount);
    notifyServiceManager({ isReady: true, status: describeMount(options.basedir, mounted) });
    void endUnlessAwaited(audience.ready(mounted), ending);
    const signal = await Promise.race([mounted.closed, ending.forced]);
    // Not at a signal that leaves a mount in use alone: systemd would kill this process soon after.
    notifyServiceManager({ isStopping: true });
    if (signal !== undefined) return ExitCode[signal];
    audience.ended();
    return ExitCode.COMPLETE;
  } catch (error) {
    notifyServiceManager({ status: describeFailure(error) });
    audience.failed(error);
    return exitCodeFor(error);
  }
}

/** Ends the mount if nobody waits for it, as the process that has started it is gone. */
async function endUnlessAwaited(
  isAwaited: boolean | Promise<boolean>,
  ending: MountEnding,
): Promise<void> {
  if (!await isAwaited) ending.heed("SIGTERM", 1);
}
