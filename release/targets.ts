/**
 * What is released: the tools, what their executables may do, and the machines they are for.
 *
 * @module
 */

import type { DebianMachine } from "./portable/libraries.ts";

/** An executable. */
export interface Tool {
  readonly name: string;
  readonly entry: string;
  /** What the runtime loads at run time beside the entry. */
  readonly workers: readonly string[];
  /** The permissions that the executable has. */
  readonly permissions: readonly string[];
  /** Whether it needs libfuse. */
  readonly needsFuse: boolean;
}

/**
 * What both tools need: stores and targets may be anywhere, and the system is called by FFI, whose
 * pointers need the whole permission. From the environment they read how to draw on a terminal.
 * npm:yaml reads `LOG_*`, and its parser throws if it may not: `list` would skip every revision,
 * and a restore would lose its warnings. `--no-prompt`: users are never asked for more permissions.
 */
const COMMON_PERMISSIONS = [
  "--no-prompt",
  "--allow-read",
  "--allow-write",
  "--allow-ffi",
  "--allow-env=TERM,NO_COLOR,LOG_STREAM,LOG_TOKENS",
];

/** The executables. */
export const TOOLS: readonly Tool[] = [
  {
    name: "backy-extract",
    entry: "main.ts",
    workers: ["lib/work/worker.ts"],
    permissions: COMMON_PERMISSIONS,
    needsFuse: false,
  },
  {
    name: "backy-fuse",
    entry: "fuse.ts",
    workers: ["lib/pages/worker.ts", "lib/fuse/user_search_worker.ts"],
    permissions: [
      ...COMMON_PERMISSIONS,
      // Users other than root are told what only root may do.
      "--allow-sys=uid,gid",
    ],
    needsFuse: true,
  },
];

/** A machine that there are releases for. */
export interface Target {
  /** Its name in archives. */
  readonly name: string;
  /** Its number in the header of an executable, see elf(5). */
  readonly elfMachine: number;
  /** Its name in files of machine code. */
  readonly machine: string;
  /** Where its libraries are found. */
  readonly debian: DebianMachine;
}

/** Machines with releases, by their name for `deno compile --target`. */
export const TARGETS: ReadonlyMap<string, Target> = new Map([
  ["x86_64-unknown-linux-gnu", {
    name: "x86_64-linux",
    elfMachine: 62,
    machine: "x86_64",
    debian: {
      architecture: "amd64",
      multiarch: "x86_64-linux-gnu",
      loader: "ld-linux-x86-64.so.2",
    },
  }],
  ["aarch64-unknown-linux-gnu", {
    name: "aarch64-linux",
    elfMachine: 183,
    machine: "aarch64",
    debian: {
      architecture: "arm64",
      multiarch: "aarch64-linux-gnu",
      loader: "ld-linux-aarch64.so.1",
    },
  }],
]);

/** The project's folder, with a slash at its end. */
export const ROOT: string = decodeURI(new URL("..", import.meta.url).pathname);

/**
 * Chooses the machine: the one that is asked for, or this one. @throws {Error} If there are no
 * releases for it.
 */
export function requireTarget(asked: string | undefined): string {
  const target = asked ?? Deno.build.target;
  if (!TARGETS.has(target)) {
    throw new Error(`Cannot build for "${target}": not one of ${[...TARGETS.keys()].join(", ")}`);
  }
  return target;
}
