/**
 * `backy-fuse nbd`: its options, help and run. Next: `nbd_run.ts`.
 *
 * @module
 */

import type { NbdAddress } from "../nbd/listen.ts";
import { type CommandOf, defineCommand } from "./command.ts";
import { flag, optional, parseText, required, valued, ValueFault } from "./option.ts";
import { IMAGE_OPTIONS } from "./shared_options.ts";

/** The protocol's port, on this host only. */
const DEFAULT_ADDRESS = { hostname: "127.0.0.1", port: 10_809 } as const;

const ARGUMENTS = {
  basedir: required({ name: "DIR", names: "directory", help: "a backup directory" }),
  spec: optional({
    name: "SPEC",
    names: "spec",
    help: "the only revision to serve, such as last; default: all of them",
  }),
};

const OPTIONS = {
  socket: valued({
    long: "socket",
    value: "PATH",
    names: "file",
    help: "listen at a socket that is made there, for its owner only",
    conflicts: [{ with: ["--listen"], reason: "clients come by one of them" }],
    parse: parseText,
  }),
  listen: valued({
    long: "listen",
    value: "ADDR:PORT",
    help: "listen by TCP; whoever can connect can read the images",
    default: `${DEFAULT_ADDRESS.hostname}:${DEFAULT_ADDRESS.port}`,
    absent: DEFAULT_ADDRESS,
    parse: parseAddress,
  }),
  writable: flag({
    long: "writable",
    help: "let clients write; changes are kept apart from the backup and gone at the end",
  }),
  ...IMAGE_OPTIONS,
};

/** A server as the command line asks for it. */
export type NbdCommand = CommandOf<"nbd", typeof OPTIONS, typeof ARGUMENTS>;

/** `backy-fuse nbd`. */
export const NBD = defineCommand({
  kind: "nbd",
  verb: "serve",
  name: "backy-fuse nbd",
  summary: "Serves the images of revisions, and their partitions, by NBD: for qemu, nbdcopy, " +
    "nbdfuse and others, where there is no FUSE. An export is named by a revision's uuid or " +
    "SPEC, with /N for its partition N. There is no encryption and no password.",
  brief: "serve images to NBD clients",
  arguments: ARGUMENTS,
  options: OPTIONS,
  run: async (command, tool, write) => {
    // Loaded only now: a mount need not wait for it.
    const { runNbd } = await import("./nbd_run.ts");
    return await runNbd(command, { tool, write });
  },
});

/** Reads "127.0.0.1:10809", "localhost:0" or "[::1]:10809". */
function parseAddress(text: string): Exclude<NbdAddress, { path: string }> {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+)):([0-9]{1,5})$/
    .exec(text) ?? [];
  const hostname = bracketed ?? plain;
  const port = Number(digits);
  if (hostname === undefined || port > 65_535) {
    throw new ValueFault("not an address and a port, such as 127.0.0.1:10809 or [::1]:10809");
  }
  return { hostname, port };
}
