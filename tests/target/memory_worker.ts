/**
 * A restore's worker (`lib/work/worker.ts`) that knows one kind of target more.
 *
 * @module
 */

import "../../lib/work/worker.ts";
import { registerMemoryKind } from "./memory_target.ts";

registerMemoryKind();
