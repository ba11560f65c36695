/** Where the NBD server listens, and whom it has to end. */

import { assertEquals, assertMatch, assertThrows } from "../assert.ts";
import { MountError } from "../../lib/errors.ts";
import { listen } from "../../lib/nbd/listen.ts";
import { serveNbd } from "../../lib/nbd/server.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { SampleStore } from "../cli/sample_store.ts";
import { Scratch } from "../support/machine.ts";
import { until } from "../support/wait.ts";
import { named, NbdClient } from "./client.ts";

Deno.test("NBD: a socket's URI can have any name, and the socket is gone at the end", () => {
  using scratch = new Scratch();
  const path = `${scratch.path}/a b&c#d%e.sock`;
  const entrance = listen({ path });
  assertEquals(entrance.uri.endsWith("/a%20b%26c%23d%25e.sock"), true);
  assertEquals(Deno.lstatSync(path).mode! & 0o777, 0o600);
  entrance.close();
  assertEquals([...Deno.readDirSync(scratch.path)], []);
});

Deno.test("NBD: what keeps a server from listening is said with what to do", () => {
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
});

Deno.test("NBD: clients that read no replies do not keep the server from ending", async () => {
  using store = new SampleStore();
  const path = store.file("socket");
  const server = await serveNbd({
    basedir: store.basedir,
    address: { path },
    cacheBytes: 16 * 1024 * 1024,
    threads: 2,
    onEvent: () => {},
  });
  const connect = async () => {
    const channel = await Deno.connect({ transport: "unix", path });
    const client = new NbdClient(channel);
    await client.greet();
    await client.option(7, named("last", 0));
    await client.answers();
    return client;
  };
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
  silent.close();
});
