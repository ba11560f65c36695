/**
 * The project's version, from deno.json.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };

/** Version of both tools, such as "1.2.3". */
export const VERSION: string = config.version;
