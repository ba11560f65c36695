/**
 * Opens all C libraries when it is imported. They are opened on first use and for good; inside a
 * test that would count as a leak of that test.
 *
 * @module
 */

import { flushFd } from "../../lib/linux/aio.ts";
import { closeFd, openFd, OpenFlag } from "../../lib/linux/libc.ts";
import { trySpliceZeros } from "../../lib/linux/splice.ts";

const nullFd = openFd("/dev/null", OpenFlag.O_WRONLY);
// What cannot be flushed makes it try all the ways there are.
await flushFd(nullFd).catch(() => {});
trySpliceZeros(nullFd, 1);
closeFd(nullFd);
