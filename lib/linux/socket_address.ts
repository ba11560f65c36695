/**
 * Addresses of sockets as C has them, and the sockets that listen at them.
 *
 * By libc: the runtime's sockets need permission to use the network, which the executables do not
 * have, and cannot send what lies in shared memory.
 *
 * @module
 */

import { Errno, osError } from "./errno.ts";
import { releaseFd, withUmask } from "./files.ts";
import { cString, lastErrno, libc } from "./libc.ts";

/** Source: bits/socket.h, bits/socket_type.h; the same on x86_64 and aarch64. */
const AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10;
const SOCK_STREAM = 1, SOCK_NONBLOCK = 0o4000, SOCK_CLOEXEC = 0o2000000;

/** Source: asm-generic/socket.h, netinet/tcp.h, netdb.h. */
const SOL_SOCKET = 1, SO_REUSEADDR = 2, SO_KEEPALIVE = 9, IPPROTO_TCP = 6, TCP_NODELAY = 1;
const AI_PASSIVE = 1, AI_NUMERICSERV = 0x400, EAI_SYSTEM = -11;

/** Clients that may wait to be accepted; the kernel takes fewer if its limit is lower. */
const BACKLOG = 128;

/** `struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; }`, source: sys/un.h. */
export const SOCKADDR_UN = { sun_family: 0, sun_path: 2, bytes: 110 } as const;

/** Source: netinet/in.h. Ports are big-endian. */
export const SOCKADDR_IN = { sin_family: 0, sin_port: 2, sin_addr: 4, bytes: 16 } as const;

/** Source: netinet/in.h. */
export const SOCKADDR_IN6 = {
  sin6_family: 0,
  sin6_port: 2,
  sin6_addr: 8,
  sin6_scope_id: 24,
  bytes: 28,
} as const;

/** Source: netdb.h. */
export const ADDRINFO = {
  ai_flags: 0,
  ai_family: 4,
  ai_socktype: 8,
  ai_addrlen: 16,
  ai_addr: 24,
  ai_next: 40,
  bytes: 48,
} as const;

/** The longest path of a socket, without its NUL. */
export const SOCKET_PATH_MAX_BYTES = SOCKADDR_UN.bytes - SOCKADDR_UN.sun_path - 1;

/** Longest text of an IP address, with its NUL: INET6_ADDRSTRLEN of netinet/in.h. */
const ADDRESS_TEXT_BYTES = 46;

/** An address and port of TCP. */
export interface TcpAddress {
  readonly hostname: string;
  readonly port: number;
}

/** A socket that listens; it does not block. */
export interface ListeningSocket<Address> {
  /** Owned by the caller. */
  readonly fd: number;
  /** Where it listens in fact: port 0 has become a free one. */
  readonly address: Address;
}

/**
 * Makes a socket in the file system, for its owner only, and listens at it.
 *
 * @param path At most {@linkcode SOCKET_PATH_MAX_BYTES} in UTF-8.
 * @throws {OsError} EADDRINUSE if there is something already.
 */
export function listenAtPath(path: string): ListeningSocket<string> {
  const name = cString(path);
  if (name.length > SOCKET_PATH_MAX_BYTES + 1) {
    throw osError(Errno.ENAMETOOLONG, { syscall: "listen at", path });
  }
  const struct = new Uint8Array(SOCKADDR_UN.bytes);
  new DataView(struct.buffer).setUint16(SOCKADDR_UN.sun_family, AF_UNIX, true);
  struct.set(name, SOCKADDR_UN.sun_path);
  // Whoever may write to the socket may connect.
  return { fd: withUmask(0o177, () => listenAt(struct, path)), address: path };
}

/**
 * Listens by TCP.
 *
 * @param address.hostname An IP address or a name.
 * @throws {OsError} If that is not possible.
 * @throws {TypeError} If the name means no address.
 */
export function listenAtPort({ hostname, port }: TcpAddress): ListeningSocket<TcpAddress> {
  let failure: unknown;
  for (const struct of resolve(hostname, port)) {
    try {
      const fd = listenAt(struct, "");
      return { fd, address: tcpAddressOf(ownAddress(fd))! };
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** @param struct A `struct sockaddr` of any family. */
function listenAt(struct: Uint8Array<ArrayBuffer>, path: string): number {
  const family = familyOf(struct);
  const fd = libc.socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw osError(lastErrno(), { syscall: "make a socket", path });
  // A server that is started anew must not wait until the old one's connections are forgotten.
  if (family !== AF_UNIX) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  let errno = libc.bind(fd, struct, struct.length) === 0 ? 0 : lastErrno();
  if (errno === 0) errno = libc.listen(fd, BACKLOG) === 0 ? 0 : lastErrno();
  if (errno === 0) return fd;
  releaseFd(fd);
  throw osError(errno, { syscall: "listen", path });
}

/** Returns a socket's own `struct sockaddr`. */
function ownAddress(fd: number): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(SOCKADDR_UN.bytes);
  const length = new Uint8Array(new Uint32Array([struct.length]).buffer);
  if (libc.getsockname(fd, struct, length) !== 0) {
    throw osError(lastErrno(), { syscall: "getsockname", path: "" });
  }
  return struct;
}

/** Finds the `struct sockaddr`s that a name means, at least one. */
function resolve(hostname: string, port: number): Uint8Array<ArrayBuffer>[] {
  const hints = new Uint8Array(ADDRINFO.bytes);
  const fields = new DataView(hints.buffer);
  fields.setInt32(ADDRINFO.ai_flags, AI_PASSIVE | AI_NUMERICSERV, true);
  fields.setInt32(ADDRINFO.ai_socktype, SOCK_STREAM, true);
  const list = new BigUint64Array(1);
  const name = cString(hostname), service = cString(`${port}`);
  const code = libc.getaddrinfo(name, service, hints, new Uint8Array(list.buffer));
  if (code !== 0) {
    const errno = lastErrno();
    if (code === EAI_SYSTEM) throw osError(errno, { syscall: "look up", path: hostname });
    const text = libc.gai_strerror(code);
    throw new TypeError(text ? Deno.UnsafePointerView.getCString(text) : `error ${code}`);
  }
  const head = Deno.UnsafePointer.create(list[0]!);
  const found: Uint8Array<ArrayBuffer>[] = [];
  for (let entry = head; entry !== null;) {
    const info = new Deno.UnsafePointerView(entry);
    const address = Deno.UnsafePointer.create(info.getBigUint64(ADDRINFO.ai_addr));
    const length = info.getUint32(ADDRINFO.ai_addrlen);
    const bytes = Deno.UnsafePointerView.getArrayBuffer(address!, length);
    found.push(new Uint8Array(bytes.slice(0)));
    entry = Deno.UnsafePointer.create(info.getBigUint64(ADDRINFO.ai_next));
  }
  libc.freeaddrinfo(head);
  return found;
}

/** A client that was accepted; its socket blocks. */
export interface AcceptedSocket {
  /** Owned by the caller. */
  readonly fd: number;
  /** Where it comes from; `null` if by a socket in the file system. */
  readonly peer: TcpAddress | null;
}

/**
 * Accepts a client.
 *
 * @param fd A socket that listens.
 * @returns `null` if none waits now.
 * @throws {OsError} If there are no descriptors left, for example.
 */
export function tryAccept(fd: number): AcceptedSocket | null {
  const struct = new Uint8Array(SOCKADDR_UN.bytes);
  const length = new Uint8Array(new Uint32Array([struct.length]).buffer);
  for (;;) {
    const client = libc.accept4(fd, struct, length, SOCK_CLOEXEC);
    if (client >= 0) {
      const peer = tcpAddressOf(struct);
      if (peer !== null) {
        setOption(client, IPPROTO_TCP, TCP_NODELAY, 1);
        // Otherwise a client whose host has lost its power would stay for ever.
        setOption(client, SOL_SOCKET, SO_KEEPALIVE, 1);
      }
      return { fd: client, peer };
    }
    const errno = lastErrno();
    if (errno === Errno.EAGAIN) return null;
    // The client has gone before it was accepted.
    if (errno === Errno.EINTR || errno === Errno.ECONNABORTED) continue;
    throw osError(errno, { syscall: "accept a client", path: "" });
  }
}

/** Sets an option that is an `int`; it makes no difference to anything but speed if it fails. */
function setOption(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(new Int32Array([value]).buffer);
  libc.setsockopt(fd, level, option, bytes, bytes.length);
}

function familyOf(struct: Uint8Array<ArrayBuffer>): number {
  return new DataView(struct.buffer).getUint16(0, true);
}

/** @returns `null` if it is no address of TCP. */
function tcpAddressOf(struct: Uint8Array<ArrayBuffer>): TcpAddress | null {
  const family = familyOf(struct);
  if (family !== AF_INET && family !== AF_INET6) return null;
  const at = family === AF_INET ? SOCKADDR_IN.sin_addr : SOCKADDR_IN6.sin6_addr;
  const text = new Uint8Array(ADDRESS_TEXT_BYTES);
  libc.inet_ntop(family, struct.subarray(at), text, text.length);
  return {
    hostname: new TextDecoder().decode(text.subarray(0, text.indexOf(0))),
    port: new DataView(struct.buffer).getUint16(SOCKADDR_IN.sin_port),
  };
}
