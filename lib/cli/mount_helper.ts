/**
 * What makes the tool a helper of mount(8), which has no options but `-o OPTS`, on its command line
 * and in /etc/fstab, and waits until its helper has ended.
 *
 * For `mount -t fuse.backy-fuse`, mount.fuse3(8) runs `backy-fuse DIR MOUNTPOINT -o OPTS` by a
 * shell. If there is a link to the tool, `/sbin/mount.fuse.backy-fuse` or
 * `/sbin/mount.backy-fuse`, mount(8) runs that itself.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { ownWords } from "../linux/own_process.ts";
import { splitPath } from "../linux/paths.ts";
import { ancestry, programName } from "../linux/processes.ts";
import { splitLine } from "./command_line.ts";
import type { Option } from "./option.ts";

/**
 * Whether mount(8) has started this process, at first hand or by other programs.
 *
 * @param args The command line.
 */
export function isMountHelper(args: readonly string[]): boolean {
  if (!isHelperLine(args)) return false;
  return hasHelperName() || ancestry().slice(1).some((pid) => programName(pid) === "mount");
}

/** Whether mount(8) may have written a command line: it always gives options. Saves others time. */
function isHelperLine(args: readonly string[]): boolean {
  return args.includes("-o");
}

function hasHelperName(): boolean {
  return splitPath(ownWords(Deno.args.length)[0] ?? "").name.startsWith("mount.");
}

/**
 * Removes what mount(8) gives helpers besides DIR, MOUNTPOINT and `-o OPTS`: that it is to be
 * sloppy, verbose or not to write mtab, and the type. Source: mount(8), "EXTERNAL HELPERS".
 *
 * @returns `null` if it asks for nothing but a check of the command line (`mount --fake`).
 */
export function helperArguments(args: readonly string[]): readonly string[] | null {
  if (!isHelperLine(args) || !hasHelperName()) return args;
  const kept: string[] = [];
  // "-t" means something else to the tool.
  for (let at = 0; at < args.length; at++) {
    const word = args[at]!;
    if (word === "-f") return null;
    if (word === "-o") kept.push(word, args[++at] ?? "");
    else if (word === "-t" || word === "-N") at++;
    else if (!/^-[snv]$/.test(word)) kept.push(word);
  }
  return kept;
}

/**
 * Splits a value of `-o`.
 *
 * @throws {UsageError} If mount(8) wants a mount changed: a helper can only make another.
 */
export function parseMountOptions(text: string): string[] {
  const options = text.split(",").filter((option) => option !== "");
  if (!options.includes("remount")) return options;
  throw new UsageError(
    'Cannot use mount option "remount": unmount it and mount it again, ' +
      "or mount -i -o remount,ro MOUNTPOINT to forbid writes",
  );
}

/**
 * Finds the tool's own options in the values of `-o`, where fstab has them: `cache=512` is
 * `--cache=512`.
 *
 * @param args The command line.
 * @param mountOptions The option whose values are searched.
 * @param own The options that may be given there.
 * @returns Them as words of a command line.
 */
export function ownMountOptions(
  args: readonly string[],
  { all, mountOptions, own }: {
    all: readonly Option<unknown>[];
    mountOptions: Option<readonly string[]>;
    own: readonly Option<unknown>[];
  },
): string[] {
  let values: readonly string[];
  try {
    values = splitLine(args, all).valuesOf(mountOptions);
  } catch (error) {
    // Whoever parses it all will say so.
    if (error instanceof UsageError) return [];
    throw error;
  }
  return values.flatMap((text) => text.split(",")).flatMap((text) => {
    const option = own.find((option) => isGivenBy(text, option));
    if (option === undefined) return [];
    // Without a value, the next word would be taken for it.
    return [option.value === undefined || text.includes("=") ? `--${text}` : `--${text}=`];
  });
}

/** Whether a mount option is an option of the tool. */
export function isGivenBy(text: string, { long }: Pick<Option<unknown>, "long">): boolean {
  return text === long || text.startsWith(`${long}=`);
}

/**
 * Options that say when and by whom something may be mounted, and others about times of access,
 * which images do not have and libfuse does not know. Source: mount(8), fstab(5).
 */
const FSTAB_OPTIONS: ReadonlySet<string> = new Set([
  "defaults",
  "auto",
  "noauto",
  "nofail",
  "user",
  "nouser",
  "users",
  "owner",
  "group",
  "_netdev",
  "relatime",
  "norelatime",
  "strictatime",
  "nostrictatime",
  "nodiratime",
  "lazytime",
  "nolazytime",
]);

/** Whether a mount option means nothing to the mount itself. */
export function isForFstab(text: string): boolean {
  const [name] = text.split("=") as [string];
  return FSTAB_OPTIONS.has(name) || name === "comment" || /^x-/i.test(name);
}
