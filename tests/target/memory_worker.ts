/**
 * A restore's worker (`lib/work/worker.ts`) that also knows the target in memory.
 *
 * @module
 */

import "../../lib/work/worker.ts";
import { registerMemoryKind } from "./memory_target.ts";

registerMemoryKind();
