/**
 * The process that serves the revisions while another one mounts what is in them. (A thread that
 * serves a mount must not touch it, see `lib/README.md`.)
 *
 * @module
 */

/** A process that mounts the revisions, and serves them until it is unmounted. */
export interface ImageServer {
  readonly pid: number;
  /** Resolves when the mount is ready; rejects with the reason why there is none. */
  readonly ready: Promise<unknown>;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<unknown>;
  /**
   * Sends a signal; does nothing if the process has ended. Before the mount is ready, one ends the
   * process; afterwards, a first one if nobody uses the mount, and a second one all the same.
   */
  signal(signal: "SIGTERM" | "SIGKILL"): void;
}

/** Starts a server. @param mountpoint An empty directory. */
export type StartServer = (mountpoint: string) => ImageServer;
