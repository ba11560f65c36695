/**
 * Refuses relative paths where the working directory cannot be used.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import type { ExtractCommand } from "./extract_commands.ts";
import type { FuseCommand } from "./fuse_arguments.ts";
import { processStart } from "./process_start.ts";

/**
 * Requires that a command names absolute paths only, if the process had to leave its working
 * directory.
 *
 * @throws {UsageError} If a path is relative: it would now be looked for in "/".
 */
export function requireUsablePaths(command: ExtractCommand | FuseCommand): void {
  if (!processStart().hasLeftDirectory) return;
  const relative = pathsOf(command).find((path) => path !== undefined && !path.startsWith("/"));
  if (relative === undefined) return;
  throw new UsageError(
    `Cannot use relative path ${quote(relative)}: the working directory was removed, or its name ` +
      "is not UTF-8; change to another directory, or use absolute paths",
  );
}

/** All paths that a command names. */
function pathsOf(command: ExtractCommand | FuseCommand): (string | undefined)[] {
  switch (command.kind) {
    case "help":
    case "version":
      return [];
    case "restore": {
      const { revision, output, also, base, reportFile } = command;
      // A bare name is a revision in the backup directory.
      const basePath = base?.includes("/") ? base : undefined;
      return [revision, output === "-" ? undefined : output, ...also, basePath, reportFile];
    }
    case "list":
      return [command.dir];
    case "check":
      return [...command.revisions];
    case "mount":
      return [command.basedir, command.mountpoint, command.spill];
  }
}
