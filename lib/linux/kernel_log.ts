/**
 * What the kernel says while something is tried: mount(2) returns a number, the log has the reason.
 *
 * @module
 */

import { Errno } from "./errno.ts";
import { openFd, OpenFlag, releaseFd } from "./files.ts";
import { lastErrno, libc } from "./libc.ts";

/** A record has at most this many bytes. Source: kernel/printk/internal.h, PRINTK_MESSAGE_MAX. */
const RECORD_MAX_BYTES = 8192;
const SEEK_END = 2;

/** The kernel's log from the moment at which it was opened. */
export class KernelLog implements Disposable {
  readonly #fd: number | null;

  /** Opens the log. Where it cannot be read, as in containers, it has no lines. */
  constructor() {
    this.#fd = openAtEnd();
  }

  /** Reads the messages, one line each, that came since the last call. */
  read(): string[] {
    const messages: string[] = [];
    if (this.#fd === null) return messages;
    const record = new Uint8Array(new ArrayBuffer(RECORD_MAX_BYTES));
    for (;;) {
      const count = Number(libc.read(this.#fd, record, BigInt(record.length)));
      if (count < 0) {
        const errno = lastErrno();
        // EPIPE: records were overwritten before they were read; the next read has the oldest left.
        if (errno === Errno.EPIPE || errno === Errno.EINTR) continue;
        return messages;
      }
      const message = messageOf(new TextDecoder().decode(record.subarray(0, count)));
      if (message !== null) messages.push(message);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) releaseFd(this.#fd);
  }
}

function openAtEnd(): number | null {
  let fd: number;
  try {
    fd = openFd("/dev/kmsg", OpenFlag.O_RDONLY | OpenFlag.O_NONBLOCK);
  } catch {
    return null;
  }
  libc.lseek(fd, 0n, SEEK_END);
  return fd;
}

/** A record is "LEVEL,NUMBER,TIME,FLAGS;MESSAGE", then lines of fields. Source: dev-kmsg ABI. */
function messageOf(record: string): string | null {
  return /^[^;\n]*;([^\n]*)/.exec(record)?.[1] ?? null;
}
