/** Where the NBD server listens, and whom it has to end. */

import { assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { MountError } from "../../lib/errors.ts";
import { listen } from "../../lib/nbd/listen.ts";
import { type NbdOptions, type NbdServer, serveNbd } from "../../lib/nbd/server.ts";
import type { StreamSocket } from "../../lib/linux/stream_socket.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { statOrNull } from "../../lib/linux/file_status.ts";
import { SampleStore, Seq } from "../cli/sample_store.ts";
import { Scratch } from "../support/machine.ts";
import { until } from "../support/wait.ts";
import { named, NbdClient } from "./client.ts";

function countDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("NBD: a socket's URI can have any name, and the socket is gone at the end", async () => {
  using scratch = new Scratch();
  const path = `${scratch.path}/a b&c#d%e.sock`;
  const entrance = listen({ path });
  assertEquals(entrance.uri.endsWith("/a%20b%26c%23d%25e.sock"), true);
  assertEquals(Deno.lstatSync(path).mode! & 0o777, 0o600);
  entrance.close();
  await entrance.ended;
  assertEquals([...Deno.readDirSync(scratch.path)], []);
});

Deno.test("NBD: a socket that is another server's by now is left alone", async () => {
  using scratch = new Scratch();
  const path = `${scratch.path}/socket`;
  const first = listen({ path });
  Deno.removeSync(path);
  const second = listen({ path });
  first.close();
  assertEquals(Deno.lstatSync(path).isSocket, true);
  second.close();
  await Promise.all([first.ended, second.ended]);
  assertEquals([...Deno.readDirSync(scratch.path)], []);
});

Deno.test("NBD: an entrance has not ended while threads still send", async () => {
  using scratch = new Scratch();
  const path = `${scratch.path}/socket`;
  const more = new Uint8Array(64 * 1024 * 1024).fill(1);
  for (let round = 0; round < 20; round++) {
    const before = countDescriptors();
    const entrance = listen({ path });
    const peers: Deno.Conn[] = [], sending: Promise<unknown>[] = [], sockets: StreamSocket[] = [];
    for (let count = 0; count < 4; count++) {
      peers.push(await Deno.connect({ transport: "unix", path }));
      sockets.push((await entrance.accept()).socket);
    }
    // More than sockets hold: threads wait until the peers read, or copy.
    for (const socket of sockets) sending.push(socket.write([more]).catch(() => {}));
    if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const socket of sockets) socket.close();
    entrance.close();
    await entrance.ended;
    assertEquals(countDescriptors(), before + peers.length, "the peers' own ends are left");
    for (const peer of peers) peer.close();
    await Promise.all(sending);
  }
});

Deno.test("NBD: what keeps a server from listening is said with what to do", async () => {
  using scratch = new Scratch();
  const failure = (name: string) =>
    assertThrows(() => listen({ path: `${scratch.path}/${name}` }), MountError).message;
  assertMatch(failure("x".repeat(120)), /its path has \d+ bytes, that of a socket at most 107$/);
  Deno.mkdirSync(`${scratch.path}/folder`);
  assertMatch(failure("folder"), /something that is not a socket.*choose another path$/);
  const other = listen({ path: `${scratch.path}/other` });
  assertMatch(failure("other"), /a socket is there already; if no server uses it, remove it$/);
  other.close();
  const used = listen({ hostname: "127.0.0.1", port: 0 });
  const port = Number(/\d+$/.exec(used.uri)![0]);
  const { message } = assertThrows(() => listen({ hostname: "127.0.0.1", port }), MountError);
  assertMatch(message, /Address already in use \(EADDRINUSE\)$/);
  used.close();
  await Promise.all([other.ended, used.ended]);
});

/** Sockets alone: the runtime keeps other descriptors for itself. */
function countSockets(): number {
  const names = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => name);
  return names.filter((name) => statOrNull(`/proc/self/fd/${name}`)?.isSocket).length;
}

async function serve(
  store: SampleStore,
  options: Partial<NbdOptions> = {},
): Promise<{ server: NbdServer; connect: (name?: string) => Promise<NbdClient> }> {
  const path = store.file("socket");
  const server = await serveNbd({
    basedir: store.basedir,
    address: { path },
    cacheBytes: 16 * 1024 * 1024,
    threads: 2,
    onEvent: () => {},
    ...options,
  });
  /** Connects a client that has chosen an export, with simple replies. */
  const connect = async (name = "last") => {
    const client = new NbdClient(await Deno.connect({ transport: "unix", path }));
    await client.greet();
    await client.option(7, named(name, 0));
    await client.answers();
    return client;
  };
  return { server, connect };
}

Deno.test("NBD: clients that read no replies do not keep the server from ending", async () => {
  using store = new SampleStore();
  const before = countSockets();
  const { server, connect } = await serve(store);
  const silent = await connect();
  for (let count = 0; count < 20; count++) {
    await silent.request(0, { offset: 0, length: CHUNK_BYTES });
  }
  // Another is served meanwhile.
  const other = await connect();
  await other.request(0, { offset: 0, length: CHUNK_BYTES });
  assertEquals((await other.simpleReply(CHUNK_BYTES)).data, store.image.subarray(0, CHUNK_BYTES));
  other.close();
  await until(() => server.clientCount === 1, "the other client's end");
  server.close();
  await server.closed;
  await until(() => countSockets() === before + 1, "all but the silent client's own end");
  silent.close();
});

Deno.test("NBD: what waits for a slow client is not overwritten by what others read", async () => {
  using store = new SampleStore();
  // Twice as many chunks as the cache has pages, each full of its number.
  const seqs = Array.from({ length: 8 }, (_, seq) => seq);
  store.add("Many", seqs.map((seq) => new Uint8Array(CHUNK_BYTES).fill(seq + 1)));
  const { server, connect } = await serve(store);
  // More than sockets hold is read of each.
  const length = CHUNK_BYTES / 16, places = Array.from({ length: 16 }, (_, place) => place);
  const requireBytes = (data: Uint8Array, offset: number) => {
    const expected = Math.floor(offset / CHUNK_BYTES) + 1;
    assertEquals(data.find((byte) => byte !== expected) ?? expected, expected);
  };
  const slow = await connect("Many");
  const offsets = seqs.flatMap((seq) => places.map((place) => seq * CHUNK_BYTES + place * length));
  for (const offset of offsets) await slow.request(0, { cookie: offset, offset, length });
  const other = await connect("Many");
  for (const seq of [...seqs, ...seqs, ...seqs]) {
    const offset = seq * CHUNK_BYTES;
    await other.request(0, { offset, length: CHUNK_BYTES });
    requireBytes((await other.simpleReply(CHUNK_BYTES)).data, offset);
  }
  const missing = new Set(offsets);
  while (missing.size > 0) {
    const { error, cookie, data } = await slow.simpleReply(length);
    assertEquals([error, missing.delete(Number(cookie))], [0, true]);
    requireBytes(data, Number(cookie));
  }
  for (const client of [slow, other]) client.close();
  server.close();
  await server.closed;
});

Deno.test("NBD: a client sees the revision as it is when it connects", async () => {
  using store = new SampleStore();
  const { server, connect } = await serve(store);
  const byte = async (client: NbdClient) => {
    await client.request(0, { offset: 0, length: 1 });
    return (await client.simpleReply(1)).data[0];
  };
  store.add("Growing", [new Uint8Array(CHUNK_BYTES).fill(1)]);
  const early = await connect("Growing");
  assertEquals(await byte(early), 1);
  store.add("Growing", [new Uint8Array(CHUNK_BYTES).fill(2)]);
  const late = await connect("Growing");
  assertEquals([await byte(early), await byte(late)], [1, 2]);
  const third = await connect("Growing");
  early.close();
  assertEquals([await byte(late), await byte(third)], [2, 2]);
  for (const client of [late, third]) client.close();
  server.close();
  await server.closed;
});

Deno.test("NBD: zeros over whole chunks load none of them", async () => {
  using store = new SampleStore();
  const { server, connect } = await serve(store, { writable: true });
  // The chunks of HOLES and UNALIGNED_ZEROS are missing: loading one would fail.
  for (const seq of [Seq.HOLES, Seq.UNALIGNED_ZEROS]) Deno.removeSync(store.chunkFileAt(seq));
  const client = await connect();
  const start = Seq.UNALIGNED_ZEROS * CHUNK_BYTES - 1000;
  await client.request(6, { offset: start, length: CHUNK_BYTES + 1000 });
  assertEquals((await client.simpleReply(0)).error, 0);
  await client.request(0, { offset: start - 1, length: CHUNK_BYTES });
  const { data } = await client.simpleReply(CHUNK_BYTES);
  assertEquals(data[0], store.image[start - 1]);
  assertEquals(data.subarray(1).every((value) => value === 0), true);
  client.close();
  server.close();
  await server.closed;
});
