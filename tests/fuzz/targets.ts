/**
 * All fuzzers.
 *
 * @module
 */

import { commandLine } from "./arguments.ts";
import { decoder } from "./decoder.ts";
import { encoder } from "./encoder.ts";
import type { FuzzTarget } from "./fuzz_target.ts";
import { mount } from "./mount.ts";
import { revisionInfo } from "./revision_info.ts";
import { revisionMap } from "./revision_map.ts";
import { revisionSpec } from "./revision_spec.ts";

/** The fuzzers, by the part that they try. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  decoder,
  encoder,
  revisionMap,
  revisionInfo,
  revisionSpec,
  commandLine,
  mount,
];
