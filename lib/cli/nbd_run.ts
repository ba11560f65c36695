/**
 * Runs `backy-fuse nbd`: serves until a signal comes.
 *
 * @module
 */

import { freeMemoryBytes } from "../linux/free_memory.ts";
import { raiseDescriptorLimit } from "../linux/headroom.ts";
import { absolutePath } from "../linux/paths.ts";
import type { NbdAddress } from "../nbd/listen.ts";
import { type NbdServer, serveNbd } from "../nbd/server.ts";
import { quote } from "../wording.ts";
import { interruptedBy, SignalWatch } from "./command_run.ts";
import { ExitCode, exitCodeFor } from "./exit_code.ts";
import { describeFailure } from "./failure.ts";
import { formatQuantity } from "./format.ts";
import { defaultCacheBytes, defaultLockTimeoutMs } from "./mount_command.ts";
import { ProgressReporter } from "./progress.ts";
import { reportCommonEvent } from "./reporter.ts";
import { notifyServiceManager } from "./service_manager.ts";
import type { ImageOptionValues } from "./shared_options.ts";
import { type Sink, stderrDisplay } from "./terminal.ts";

/** What to serve, as the options of `nbd_command.ts` say. */
export interface NbdRequest extends ImageOptionValues {
  readonly basedir: string;
  readonly spec: string | undefined;
  readonly socket: string | undefined;
  readonly listen: NbdAddress;
  readonly writable: boolean;
}

/** Runs the command. @returns The exit code, when the server has ended. */
export async function runNbd(
  command: NbdRequest,
  { tool, write }: { readonly tool: string; readonly write: Sink },
): Promise<ExitCode> {
  using reporter = new ProgressReporter({ tool, write, display: stderrDisplay(), quiet: false });
  raiseDescriptorLimit();
  const { basedir, spec, writable, threads, verify, socket, listen } = command;
  const address: NbdAddress = socket === undefined ? listen : { path: absolutePath(socket) };
  const interruption = new AbortController();
  let server: NbdServer | undefined;
  const end = (isUrgent: boolean) => {
    if (!server) return;
    notifyServiceManager({ isStopping: true });
    if (isUrgent) return server.close();
    server.drain();
    if (server.clientCount === 0) return;
    const clients = formatQuantity(server.clientCount, "client");
    reporter.warn(`${clients} connected: waiting for the end; a second signal cuts them off`);
  };
  using _signals = new SignalWatch((signal, count) => {
    interruption.abort(interruptedBy(signal));
    end(count > 1);
  });
  try {
    server = await serveNbd({
      basedir,
      spec,
      address,
      writable,
      threads,
      verify,
      cacheBytes: command.cacheBytes ?? defaultCacheBytes(freeMemoryBytes()),
      spill: command.spill,
      lockTimeoutMs: command.lockTimeoutMs ?? defaultLockTimeoutMs(Deno.stderr.isTerminal()),
      signal: interruption.signal,
      onEvent: (event) => reportCommonEvent(reporter, event),
    });
    reporter.stop();
    if (!("path" in address) && !isLoopback(address.hostname)) {
      reporter.warn(
        "whoever reaches this port can read the images: there is no encryption and no password",
      );
    }
    const what = spec === undefined ? "the revisions" : `revision ${quote(spec)}`;
    const ready = `Serving ${what} of ${quote(basedir)} at ${server.uri}`;
    reporter.message(ready);
    notifyServiceManager({ isReady: true, status: ready });
    // A signal that came before there was a server.
    if (interruption.signal.aborted) end(false);
    await server.closed;
    reporter.message("Ended");
    return ExitCode.COMPLETE;
  } catch (error) {
    reporter.fail(describeFailure(error));
    return exitCodeFor(error);
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(\.\d+){1,3}$/.test(hostname);
}
