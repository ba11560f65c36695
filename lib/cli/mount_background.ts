/**
 * Mounts in the background: what the process does that the user has started and waits for. Next:
 * `background.ts`.
 *
 * @module
 */

import type { InterruptedError } from "../errors.ts";
import { type BackgroundMount, startBackground } from "./background.ts";
import { interruptedBy, SignalWatch } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import type { MountAudience } from "./mount_audience.ts";
import { FORCE_MS } from "./mount_ending.ts";
import { notifyServiceManager } from "./service_manager.ts";

/** How long the server may take to end after a second signal; a disk may hold it up. */
const GRACE_MS = 2 * FORCE_MS;

/**
 * Mounts in the background: `--background`.
 *
 * @param args Command line of `backy-fuse`, with `--background`, without the program's name.
 * @returns The exit code, when the mount is ready or has failed; the audience was told which.
 */
export async function mountInBackground(
  args: readonly string[],
  audience: MountAudience,
): Promise<ExitCode> {
  let server: BackgroundMount | undefined;
  let interruption: InterruptedError | undefined;
  let isDone = false;
  // Until the process ends: without a listener a signal would end it as if there were no mount.
  const _signals = new SignalWatch((signal, count) => {
    if (isDone) return;
    interruption ??= interruptedBy(signal);
    server?.signal(signal);
    if (count > 1) setTimeout(() => Deno.exit(ExitCode[signal]), GRACE_MS);
  });
  try {
    server = startBackground(args, (event) => audience.event(event));
    const mount = await server.ready;
    // It was ready when it got the signal, and unmounts.
    if (interruption !== undefined) throw interruption;
    isDone = true;
    notifyServiceManager({ isReady: true, mainPid: server.pid });
    audience.ready(mount);
    return ExitCode.COMPLETE;
  } catch (error) {
    await server?.ended;
    // A server that was only starting has not said that it was interrupted.
    const reason = interruption ?? error;
    audience.failed(reason);
    return exitCodeFor(reason);
  }
}
