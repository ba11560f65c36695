/** Sockets that send from memory that workers share, to peers that read or do not. */

import { assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { OsError } from "../../lib/linux/os_error.ts";
import { openFd, OpenFlag, releaseFd } from "../../lib/linux/files.ts";
import { openPipe, tryWrite } from "../../lib/linux/pipes.ts";
import { Readiness, RemovedError } from "../../lib/linux/readiness.ts";
import { listenAtPath, listenAtPort, tryAccept } from "../../lib/linux/socket_address.ts";
import { StreamSocket } from "../../lib/linux/stream_socket.ts";
import { Scratch } from "../support/machine.ts";
import { until } from "../support/wait.ts";

const MIB = 1_048_576;

/** A listener in a folder of its own, and connections to it. */
class Sockets implements AsyncDisposable {
  readonly readiness = new Readiness();
  readonly #scratch = new Scratch();
  readonly #path = `${this.#scratch.path}/socket`;
  readonly #fd = listenAtPath(this.#path).fd;
  readonly #ends: { close(): void }[] = [];

  async connect(): Promise<{ near: Deno.Conn; far: StreamSocket }> {
    const near = await Deno.connect({ transport: "unix", path: this.#path });
    const far = new StreamSocket(tryAccept(this.#fd)!.fd, this.readiness);
    this.#ends.push(far, { close: () => void tryClose(near) });
    return { near, far };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) end.close();
    releaseFd(this.#fd);
    await this.readiness.ended;
    this.#scratch[Symbol.dispose]();
  }
}

function tryClose(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // The test did.
  }
}

async function readAll(connection: Deno.Conn, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = await connection.read(bytes.subarray(done));
    if (count === null) return bytes.subarray(0, done);
    done += count;
  }
  return bytes;
}

/** Sends all of the pieces. */
async function writeAll(socket: StreamSocket, pieces: readonly Uint8Array[]): Promise<void> {
  let rest = [...pieces];
  while (rest.length > 0) {
    let count = await socket.write(rest);
    while (rest.length > 0 && rest[0]!.length <= count) count -= rest.shift()!.length;
    if (count > 0) rest = [rest[0]!.subarray(count), ...rest.slice(1)];
  }
}

function countDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("StreamSocket sends pieces of any memory in order, and receives", async () => {
  await using sockets = new Sockets();
  const { near, far } = await sockets.connect();
  const shared = new Uint8Array(new SharedArrayBuffer(3 * MIB));
  for (let at = 0; at < shared.length; at += 4096) shared[at] = at / 4096 % 251;
  for (const pieces of [[new Uint8Array([1, 2])], [new Uint8Array([3]), shared.subarray(5)]]) {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const [received] = await Promise.all([readAll(near, length), writeAll(far, pieces)]);
    const expected = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      expected.set(piece, at);
      at += piece.length;
    }
    assertEquals(received.every((byte, index) => byte === expected[index]), true);
  }
  await near.write(new Uint8Array([7, 8]));
  const buffer = new Uint8Array(10);
  assertEquals(await far.read(buffer), 2);
  assertEquals(buffer.subarray(0, 2), new Uint8Array([7, 8]));
  const waiting = far.read(buffer);
  near.close();
  assertEquals(await waiting, null);
  await assertRejects(() => writeAll(far, [new Uint8Array(MIB)]), OsError, "EPIPE");
});

Deno.test("StreamSocket: many peers that read nothing hold up no other", async () => {
  await using sockets = new Sockets();
  const piece = new Uint8Array(8 * MIB);
  const stuck = await Promise.all(Array.from({ length: 40 }, () => sockets.connect()));
  const failures = stuck.map(({ far }) => writeAll(far, [piece]).then(() => null, (e) => e));
  const { near, far } = await sockets.connect();
  const [received] = await Promise.all([readAll(near, 8 * MIB), writeAll(far, [piece])]);
  assertEquals(received.length, 8 * MIB);
  // One that goes on later gets everything.
  const late = stuck.pop()!;
  assertEquals((await readAll(late.near, 8 * MIB)).length, 8 * MIB);
  assertEquals(await failures.pop(), null);
  for (const { far } of stuck) far.close();
  for (const failure of await Promise.all(failures)) {
    assertEquals(failure instanceof RemovedError || failure instanceof OsError, true);
  }
});

Deno.test("StreamSocket: what is closed keeps no descriptor, even while it is sent to", async () => {
  const before = countDescriptors();
  {
    await using sockets = new Sockets();
    const { near, far } = await sockets.connect();
    await sockets.connect();
    const sending = writeAll(far, [new Uint8Array(8 * MIB)]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const open = countDescriptors();
    far.close();
    await assertRejects(() => sending);
    await until(() => countDescriptors() === open - 1, "the descriptor");
    await assertRejects(() => far.read(new Uint8Array(1)), OsError);
    near.close();
  }
  assertEquals(countDescriptors(), before);
});

Deno.test("Readiness waits, and ends, where one is added after the last was removed", async () => {
  let turns = 0;
  const readiness = new Readiness(() => {
    turns++;
    return false;
  });
  const { readFd, writeFd } = openPipe();
  readiness.add(readFd).remove();
  const watch = readiness.add(readFd);
  const waiting = watch.readable();
  await new Promise((resolve) => setTimeout(resolve, 200));
  // Some for each of a few turns: it does not turn all the time.
  assertEquals(turns < 2000, true, `${turns}`);
  tryWrite(writeFd, new Uint8Array(1));
  await waiting;
  watch.remove();
  await readiness.ended;
  for (const fd of [readFd, writeFd]) releaseFd(fd);
});

Deno.test("listenAtPort() takes addresses and names, and says what is wrong with others", () => {
  for (const hostname of ["127.0.0.1", "localhost"]) {
    const { fd, address } = listenAtPort({ hostname, port: 0 });
    assertEquals(address.port > 0, true);
    assertThrows(() => listenAtPort({ hostname, port: address.port }), OsError, "EADDRINUSE");
    releaseFd(fd);
  }
  assertThrows(() => listenAtPort({ hostname: "no host", port: 0 }), Error);
});

Deno.test("Readiness: a wait that the kernel refuses fails, and leaves no rejection behind", async () => {
  using scratch = new Scratch();
  const readiness = new Readiness();
  // Only what may block can be watched by epoll(7).
  const fd = openFd(scratch.file("file", ""), OpenFlag.O_RDONLY);
  const watch = readiness.add(fd);
  await assertRejects(() => watch.readable(), OsError, "EPERM");
  watch.remove();
  releaseFd(fd);
  await readiness.ended;
});
