/**
 * Where a mount in the background says what happens to it: the system log, or a file.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { reasonOf } from "../linux/errno.ts";
import { statOrNull } from "../linux/file_status.ts";
import { openFd, OpenFlag, writeAll } from "../linux/files.ts";
import { pathIn, realPathOrNull, splitPath } from "../linux/paths.ts";
import { sendDatagram } from "../linux/unix_datagram.ts";
import { formatLocalIso } from "../store/dates.ts";
import { describeHarm } from "../target/backup_files.ts";
import { printable, quote } from "../wording.ts";

/** How bad it is. Numbers of syslog(3). */
export const Severity = { ERROR: 3, WARNING: 4, INFO: 6 } as const;

/** One of the values of {@linkcode Severity}. */
export type Severity = typeof Severity[keyof typeof Severity];

/** Takes lines of what happens; never throws. */
export interface Log {
  /** Takes a line, which may have untrusted names in it. */
  write(severity: Severity, line: string): void;
  /** The descriptor of its file, for what the runtime itself says; `null` if it is not a file. */
  readonly fd: number | null;
}

/** Where programs send lines for the system log; see syslog(3). */
const SYSTEM_LOG_SOCKET = "/dev/log";

/** Whether something listens for lines. */
export function hasSystemLog(path = SYSTEM_LOG_SOCKET): boolean {
  return statOrNull(path)?.isSocket ?? false;
}

/**
 * The system log. It may start later or anew, so each line finds its way by itself; a line that
 * finds none is lost.
 *
 * @param tool Name that lines begin with.
 * @param path The socket of the log.
 */
export function systemLog(tool: string, path = SYSTEM_LOG_SOCKET): Log {
  return {
    fd: null,
    write(severity, line) {
      // Source: RFC 3164, as syslog(3) of glibc writes it.
      const LOG_DAEMON = 3 << 3;
      const [date, time] = [new Date().toDateString().split(" "), new Date().toTimeString()];
      const [, month, day] = date as [string, string, string, string];
      const stamp = `${month} ${String(Number(day)).padStart(2)} ${time.slice(0, 8)}`;
      const head = `<${LOG_DAEMON | severity}>${stamp} ${tool}[${Deno.pid}]: `;
      sendDatagram(path, new TextEncoder().encode(head + printable(line)));
    },
  };
}

/** In case it is a FIFO or a terminal. */
const LOG_OPEN_FLAGS = OpenFlag.O_WRONLY | OpenFlag.O_CREAT | OpenFlag.O_APPEND |
  OpenFlag.O_NONBLOCK | OpenFlag.O_NOCTTY;

/**
 * Opens a file, new or old, to append lines to. It is never closed.
 *
 * @throws {UsageError} If it cannot be opened, is a block device, or belongs to a backup.
 */
export function openLogFile(tool: string, path: string): Log {
  const info = statOrNull(path);
  // The first line would be written over what the device begins with.
  if (info?.isBlockDevice) throw cannotLog(path, "it is a block device; name a file");
  const { dir, name } = splitPath(path);
  const realPath = info ? realPathOrNull(path) : pathIn(realPathOrNull(dir) ?? dir, name);
  const [harm] = describeHarm({ path, realPath, info });
  if (harm !== undefined) throw cannotLog(path, `${harm}; name another file`);
  let fd: number;
  try {
    fd = openFd(path, LOG_OPEN_FLAGS, 0o640);
  } catch (error) {
    throw cannotLog(path, reasonOf(error));
  }
  const write = (severity: Severity, line: string) => {
    const kind = severity === Severity.WARNING ? "warning: " : "";
    const text = `${formatLocalIso(new Date())} ${tool}[${Deno.pid}]: ${kind}${printable(line)}\n`;
    try {
      writeAll(fd, new TextEncoder().encode(text), path);
    } catch {
      // A full disk must not end the mount.
    }
  };
  return { fd, write };
}

function cannotLog(path: string, state: string): UsageError {
  return new UsageError(`Cannot use option "--log": ${quote(path)}: ${state}`);
}
