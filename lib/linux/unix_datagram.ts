/**
 * Datagrams to the sockets of local services: the system log and the service manager.
 *
 * @module
 */

import { releaseFd } from "./files.ts";
import { libc } from "./libc.ts";
import { SOCKADDR_UN } from "./socket_address.ts";

/** Source: bits/socket.h, bits/socket_type.h. */
const AF_UNIX = 1, SOCK_DGRAM = 2, SOCK_CLOEXEC = 0o2000000, SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;

/**
 * Sends one datagram. Neither waits for a service that does not read nor tells why it failed:
 * nobody could do anything about it.
 *
 * @param address Path of the socket; with "@" in front, a name in the abstract namespace, see
 *   unix(7).
 * @returns Whether it was sent; `false` as well for an address that is too long.
 */
export function sendDatagram(address: string, content: Uint8Array<ArrayBuffer>): boolean {
  const name = new TextEncoder().encode(address);
  const isAbstract = address.startsWith("@");
  // The name of an abstract socket begins with a NUL and ends with the address; a path needs a NUL
  // at its end.
  const length = SOCKADDR_UN.sun_path + name.length + (isAbstract ? 0 : 1);
  if (length > SOCKADDR_UN.bytes) return false;
  const struct = new Uint8Array(SOCKADDR_UN.bytes);
  new DataView(struct.buffer).setUint16(SOCKADDR_UN.sun_family, AF_UNIX, true);
  struct.set(name, SOCKADDR_UN.sun_path);
  if (isAbstract) struct[SOCKADDR_UN.sun_path] = 0;
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const size = BigInt(content.length);
  const sent = libc.sendto(fd, content, size, MSG_NOSIGNAL, struct, length);
  releaseFd(fd);
  return sent === size;
}
