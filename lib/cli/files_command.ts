/**
 * `backy-fuse files`: its options, help and run. Next: `files_run.ts`.
 *
 * @module
 */

import { type CommandOf, defineCommand } from "./command.ts";
import { optional, parseText, program, valued } from "./option.ts";
import { IMAGE_OPTIONS, REVISION_SPEC } from "./shared_options.ts";

const ARGUMENTS = {
  /** Required unless something is cleaned up. */
  basedir: optional({ name: "DIR", names: "directory", help: "a backup directory" }),
  mountpoint: optional({
    name: "MOUNTPOINT",
    names: "directory",
    help: "an empty directory; without it, one is made",
  }),
  program: program({
    name: "COMMAND",
    help: "run this in the directory with the files, unmount when it ends, exit as it does",
  }),
};

const OPTIONS = {
  spec: {
    ...REVISION_SPEC,
    help: 'choose the revision, such as last, 2, tag:daily, 2026-01-31, "last(trust:verified)"',
    default: "the newest whose backup ran to its end",
  },
  ...IMAGE_OPTIONS,
  clean: valued({
    long: "clean",
    value: "MOUNTPOINT",
    names: "directory",
    help: "only remove what a run left there that was killed",
    conflicts: [{
      with: ["DIR", "COMMAND", "--revision", "--cache", "--spill", "--threads", "--no-verify"],
      reason: "nothing is mounted then",
    }],
    parse: parseText,
  }),
};

/** Files to show, as the command line asks for them. */
export type FilesCommand = CommandOf<"files", typeof OPTIONS, typeof ARGUMENTS>;

/** `backy-fuse files`. */
export const FILES = defineCommand({
  kind: "files",
  verb: "show files",
  name: "backy-fuse files",
  summary: "Mounts the file systems in a revision, read-only and with their journals replayed: " +
    "one that fills the image at MOUNTPOINT, those of partitions at MOUNTPOINT/1, MOUNTPOINT/2 " +
    "and so on. Prints where they are, and undoes everything when COMMAND ends, when they are " +
    "unmounted, or at Ctrl-C. Only for root.",
  brief: "mount the file systems in a revision",
  arguments: ARGUMENTS,
  options: OPTIONS,
  revisions: "one",
  says: ({ basedir, program }) => [
    ...basedir === undefined ? [] : ["DIR"],
    ...program.length === 0 ? [] : ["COMMAND"],
  ],
  run: async (command, tool, write) => {
    // Loaded only now: a mount need not wait for it.
    const { runFiles } = await import("./files_run.ts");
    return await runFiles(command, { tool, write });
  },
});
