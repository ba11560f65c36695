/**
 * Runs `backy-fuse files` as users do, and looks for what it leaves behind.
 *
 * @module
 */

import { backingName, listLoopDevices } from "../../lib/linux/loop_devices.ts";
import { readMountTable } from "../../lib/linux/mounts.ts";
import { isInside, linkOrNull, listNames } from "../../lib/linux/paths.ts";
import { listPids } from "../../lib/linux/processes.ts";
import { assertEquals } from "../assert.ts";
import {
  assertNoInternals,
  FUSE,
  type Outcome,
  RunningTool,
  type RunOptions,
} from "../support/tool.ts";
import { messagesOf, type Site } from "./fuse_harness.ts";

/** What the tests of `files` need beside FUSE. */
export const FILES_PROGRAMS = ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "xfs_io", "sfdisk", "btrfs"];

/** Starts `backy-fuse files` for the site's backup directory. */
export function startFiles(
  site: Site,
  args: readonly string[],
  options: RunOptions = {},
): RunningTool {
  return site.use(new RunningTool([...FUSE, "files", ...args], options));
}

/** Runs `backy-fuse files` to its end. Asserts that nothing is left. */
export async function runFiles(
  site: Site,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const outcome = await startFiles(site, args, options).outcome();
  assertNoInternals(outcome.stderr);
  assertEquals(leftovers(site), [], outcome.stderr);
  return outcome;
}

/** The paths on standard output. */
export function pathsOf({ stdout }: Outcome): string[] {
  return new TextDecoder().decode(stdout).split("\n").slice(0, -1);
}

/**
 * Asserts that a run ended in order, saying nothing but what is expected to be wrong. In any order,
 * as some of it comes from the process that serves the image.
 */
export function assertEnded(
  outcome: Outcome,
  expected: { code?: number; says?: RegExp[] } = {},
): void {
  const { code = 0, says = [] } = expected;
  assertEquals([outcome.code, outcome.signal], [code, null], outcome.stderr);
  const messages = messagesOf(outcome.stderr);
  const left = [...messages];
  for (const said of says) {
    const at = left.findIndex((message) => said.test(message));
    if (at >= 0) left.splice(at, 1);
  }
  const isAsExpected = messages.length === says.length && left.length === 0;
  if (!isAsExpected) assertEquals<unknown>(messages, says, outcome.stderr);
}

/** What runs for a site have left: mounts, loop devices, directories, processes. */
export function leftovers(site: Site): string[] {
  const place = site.file("");
  const mounts = readMountTable().filter(({ source, mountpoint }) =>
    source === site.basedir || isInside(mountpoint, place.slice(0, -1))
  );
  const works = [...listNames("/run"), ...listNames("/tmp")]
    .filter((name) => name.startsWith("backy-fuse-"))
    .flatMap((name) => [`/run/${name}`, `/tmp/${name}`])
    .filter((path) => isInside(linkOrNull(`${path}/at`) ?? "", place.slice(0, -1)));
  const images = [...Deno.readDirSync(site.basedir)].map(({ name }) => name);
  const loops = listLoopDevices().paths.filter((path) =>
    images.some((name) =>
      new RegExp(`^/(run|tmp)/backy-fuse-.*/image/${name}$`).test(backingName(path) ?? "")
    )
  );
  return [
    ...mounts.map(({ mountpoint }) => `mount ${mountpoint}`),
    ...works.map((path) => `directory ${path}`),
    ...loops.map((path) => `device ${path}`),
    ...processesWith(site.basedir).map((pid) => `process ${pid}`),
  ];
}

/** Processes that have a word among their arguments. */
export function processesWith(word: string): number[] {
  return listPids().filter((pid) => {
    try {
      const text = Deno.readTextFileSync(`/proc/${pid}/cmdline`);
      return pid !== Deno.pid && text.split("\0").includes(word);
    } catch {
      return false;
    }
  });
}
