/**
 * Opens all functions of the C library when it is imported, which `assert.ts` does for all tests.
 * They are opened on first use and for good; inside a test that would count as a leak of that test.
 *
 * @module
 */

import { libc } from "../../lib/linux/libc.ts";

for (const name in libc) Reflect.get(libc, name);
