/** The NBD server as a client sees it, message by message. */

import { assert, assertEquals, assertMatch, assertRejects } from "../assert.ts";
import { ChunkCorruptError } from "../../lib/errors.ts";
import {
  type ByteChannel,
  ClientError,
  ClosedError,
  Connection,
} from "../../lib/nbd/connection.ts";
import { Budget } from "../../lib/nbd/budget.ts";
import type { Export, Exports } from "../../lib/nbd/exports.ts";
import { serveClient } from "../../lib/nbd/server.ts";
import { RevisionError } from "../../lib/errors.ts";
import { randomFrom } from "../support/random.ts";
import { until } from "../support/wait.ts";
import { channelPair, contextQuery, named, NbdClient } from "./client.ts";

const ACK = 1, SERVER = 2, INFO = 3, META_CONTEXT = 4;
const ERR_UNSUP = 2 ** 31 + 1, ERR_POLICY = 2 ** 31 + 2, ERR_INVALID = 2 ** 31 + 3;
const ERR_UNKNOWN = 2 ** 31 + 6;
const OPT = { EXPORT_NAME: 1, ABORT: 2, LIST: 3, TLS: 5, INFO: 6, GO: 7, STRUCTURED: 8 };
const CMD = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, ZEROES: 6, STATUS: 7 };
const EIO = 5, EPERM = 1, EINVAL = 22, ENOSPC = 28;

/** A disk of 1 MiB in memory: data, a hole from 256 KiB to 512 KiB, data; byte 600,000 is bad. */
class MemoryExports implements Exports {
  readonly bytes = new Uint8Array(1_048_576);
  readonly isWritable: boolean;
  openCount = 0;
  readCount = 0;

  constructor(isWritable = false) {
    this.isWritable = isWritable;
    this.bytes.forEach((_, at) =>
      this.bytes[at] = at < 262_144 || at >= 524_288 ? at % 251 + 1 : 0
    );
  }

  list(): Promise<string[]> {
    return Promise.resolve(["disk", "other"]);
  }

  open(name: string): Promise<Export> {
    if (!["", "disk"].includes(name)) {
      return Promise.reject(new RevisionError(`no revision '${name}'`, { path: name }));
    }
    this.openCount++;
    const { bytes, isWritable } = this;
    return Promise.resolve({
      name: "disk",
      description: "a disk in memory",
      size: bytes.length,
      isWritable,
      read: (offset, length) => {
        this.readCount++;
        if (offset <= 600_000 && offset + length > 600_000) {
          const fields = { chunkId: "0", seqs: [0], path: "x", reason: "hash" } as const;
          throw new ChunkCorruptError("Cannot use chunk 0", fields);
        }
        return { views: [bytes.subarray(offset, offset + length)], pages: [], release: () => {} };
      },
      write: (offset, data) => bytes.set(data, offset),
      seek: (offset, wanted) => {
        const isData = (at: number) => at < 262_144 || at >= 524_288;
        const borders = [offset, 262_144, 524_288, bytes.length].filter((at) => at >= offset);
        return borders.find((at) => at === bytes.length || isData(at) === (wanted === "data"))!;
      },
      chunkEnd: (offset) => offset + 65_536 - offset % 65_536,
      close: () => void this.openCount--,
    });
  }
}

/** Connects a client, runs the test's part of it, and returns how the server's part ended. */
async function withClient(
  body: (client: NbdClient) => Promise<void>,
  exports = new MemoryExports(),
  limits?: { handshakeMs: number },
): Promise<unknown> {
  const [near, far] = channelPair();
  const connection = new Connection(far);
  const client = new NbdClient(near);
  const serving = serveClient(connection, exports, new Budget(0), limits)
    .then(() => null, (error) => error)
    .finally(() => connection.close());
  await body(client);
  client.close();
  const error = await serving;
  assertEquals(exports.openCount, 0, "an export was left open");
  return error;
}

/** Negotiates structured replies and block status, and chooses the disk. */
async function choose(client: NbdClient): Promise<void> {
  await client.greet();
  await client.option(OPT.STRUCTURED);
  await client.answers();
  await client.option(10, contextQuery("disk", "base:allocation"));
  const [context] = await client.answers();
  assertEquals(context!.type, META_CONTEXT);
  await client.option(OPT.GO, named("disk", 0));
  assertEquals((await client.answers()).at(-1)!.type, ACK);
}

Deno.test("NBD: options are answered as the protocol says", async () => {
  const ended = await withClient(async (client) => {
    await client.greet();
    const types = async (option: number, data: Uint8Array | string = "") => {
      await client.option(option, data);
      return (await client.answers()).map(({ type }) => type);
    };
    assertEquals(await types(OPT.LIST), [SERVER, SERVER, ACK]);
    assertEquals(await types(OPT.LIST, "x"), [ERR_INVALID]);
    assertEquals(await types(OPT.TLS), [ERR_POLICY]);
    assertEquals(await types(4711), [ERR_UNSUP]);
    assertEquals(await types(OPT.INFO, named("none", 0)), [ERR_UNKNOWN]);
    assertEquals(await types(OPT.INFO, named("disk", 0)), [INFO, INFO, ACK]);
    assertEquals(await types(OPT.INFO, named("disk", 4, 0, 1, 2, 3)), [
      INFO,
      INFO,
      INFO,
      INFO,
      ACK,
    ]);
    // Fewer bytes than the lengths in them say, and more.
    assertEquals(await types(OPT.INFO, new Uint8Array([0, 0, 0, 9, 65])), [ERR_INVALID]);
    assertEquals(await types(OPT.INFO, new Uint8Array([255, 255, 255, 255, 0, 0])), [ERR_INVALID]);
    assertEquals(await types(OPT.GO, new Uint8Array([...named("disk", 0), 1])), [ERR_INVALID]);
    // No memory is made for as many queries as a few bytes announce.
    const heapBytes = Deno.memoryUsage().heapTotal;
    const queries = new Uint8Array([...named("disk"), 1, 200, 0, 0]);
    assertEquals(await types(9, queries), [ERR_INVALID]);
    assert(Deno.memoryUsage().heapTotal < heapBytes + 100e6);
    // Contexts come after structured replies.
    assertEquals(await types(10, contextQuery("disk", "base:allocation")), [ERR_INVALID]);
    assertEquals(await types(9, contextQuery("disk")), [META_CONTEXT, ACK]);
    assertEquals(await types(9, contextQuery("disk", "base:")), [META_CONTEXT, ACK]);
    assertEquals(await types(9, contextQuery("disk", "qemu:dirty")), [ACK]);
    assertEquals(await types(OPT.STRUCTURED), [ACK]);
    assertEquals(await types(10, contextQuery("disk", "qemu:dirty")), [ACK]);
    assertEquals(await types(10, contextQuery("none", "base:allocation")), [ERR_UNKNOWN]);
    assertEquals(await types(OPT.ABORT), [ACK]);
  });
  assertEquals(ended, null);
});

Deno.test("NBD: an old client chooses by name and reads with simple replies", async () => {
  const exports = new MemoryExports();
  const ended = await withClient(async (client) => {
    await client.greet(1);
    await client.option(OPT.EXPORT_NAME, "disk");
    assertEquals(await client.number(64), 1_048_576n);
    // Flags, read-only, several connections; not DF, which needs structured replies.
    assertEquals(await client.number(16), 1n + 2n + 256n);
    assertEquals(await client.read(124), new Uint8Array(124));
    await client.request(CMD.READ, { offset: 1000, length: 300_000 });
    const { error, data } = await client.simpleReply(300_000);
    assertEquals(error, 0);
    assertEquals(data, exports.bytes.subarray(1000, 301_000));
    await client.request(CMD.READ, { offset: 599_999, length: 2 });
    assertEquals((await client.simpleReply(2)).error, EIO);
    await client.request(CMD.DISC, {});
    assertEquals((await client.read(1)).length, 0);
  }, exports);
  assertEquals(ended, null);
  const unknown = await withClient(async (client) => {
    await client.greet();
    await client.option(OPT.EXPORT_NAME, "none");
    assertEquals((await client.read(1)).length, 0);
  });
  assert(unknown instanceof ClientError);
});

Deno.test("NBD: structured replies name holes, errors and block status", async () => {
  const exports = new MemoryExports();
  await withClient(async (client) => {
    await choose(client);
    await client.request(CMD.READ, { offset: 262_000, length: 262_344, cookie: 12 });
    const chunks = await client.chunks();
    assertEquals(chunks.map(({ type, flags }) => [type, flags]), [[1, 0], [2, 0], [1, 1]]);
    assertEquals(chunks.map(({ cookie }) => cookie), [12n, 12n, 12n]);
    assertEquals(chunks[0]!.payload.subarray(8), exports.bytes.subarray(262_000, 262_144));
    const hole = new DataView(chunks[1]!.payload.buffer);
    assertEquals([hole.getBigUint64(0), hole.getUint32(8)], [262_144n, 262_144]);
    assertEquals(chunks[2]!.payload.subarray(8), exports.bytes.subarray(524_288, 524_344));

    await client.request(CMD.READ, { flags: 4, offset: 262_000, length: 262_344 });
    const whole = await client.chunks();
    assertEquals(whole.map(({ type, flags }) => [type, flags]), [[1, 1]]);
    assertEquals(whole[0]!.payload.subarray(8), exports.bytes.subarray(262_000, 524_344));

    await client.request(CMD.READ, { length: 0 });
    assertEquals((await client.chunks()).map(({ type }) => type), [0]);

    await client.request(CMD.READ, { offset: 600_000, length: 1 });
    const [failed] = await client.chunks();
    assertEquals(failed!.type, 0x8001);
    assertEquals(new DataView(failed!.payload.buffer).getUint32(0), EIO);
    assertMatch(new TextDecoder().decode(failed!.payload.subarray(6)), /^Cannot use chunk 0$/);

    const status = async (fields: { flags?: number; offset?: number; length: number }) => {
      await client.request(CMD.STATUS, fields);
      const { payload } = (await client.chunks())[0]!;
      const view = new DataView(payload.buffer);
      assertEquals(view.getUint32(0), 1);
      const count = (payload.length - 4) / 8;
      const extent = (at: number) => [view.getUint32(4 + 8 * at), view.getUint32(8 + 8 * at)];
      return Array.from({ length: count }, (_, at) => extent(at));
    };
    const all = [[262_144, 0], [262_144, 3], [524_288, 0]];
    assertEquals(await status({ length: 1_048_576 }), all);
    assertEquals(await status({ length: 1_048_576, flags: 8 }), all.slice(0, 1));
    assertEquals(await status({ offset: 300_000, length: 10 }), [[10, 3]]);
  }, exports);
});

/** A disk of 10 MiB, larger than what is sent at once. */
class LargeExports extends MemoryExports {
  readonly image = new Uint8Array(10_485_760);
  /** Number of the read that fails, the first is 1. */
  failingRead = 0;
  reads = 0;

  override async open(name: string): Promise<Export> {
    const { image } = this;
    image.forEach((_, at) => image[at] = at % 253);
    return {
      ...await super.open(name),
      size: image.length,
      read: (offset, length) => {
        if (++this.reads === this.failingRead) {
          const fields = { chunkId: "0", seqs: [0], path: "x", reason: "hash" } as const;
          throw new ChunkCorruptError("Cannot use chunk 0", fields);
        }
        return { views: [image.subarray(offset, offset + length)], pages: [], release: () => {} };
      },
      write: (offset, data) => {
        if (++this.reads === this.failingRead) throw new RevisionError("full", { path: "x" });
        image.set(data, offset);
      },
      seek: (offset, wanted) => wanted === "data" ? offset : image.length,
    };
  }
}

Deno.test("NBD: long replies in one piece are whole, or an error, or the client's end", async () => {
  const length = 9_000_000;
  for (const isStructured of [true, false]) {
    for (const failingRead of [0, 2, 5]) {
      const exports = new LargeExports();
      exports.failingRead = failingRead;
      const ended = await withClient(async (client) => {
        if (isStructured) await choose(client);
        else {
          await client.greet();
          await client.option(OPT.EXPORT_NAME, "disk");
          await client.read(10);
        }
        await client.request(CMD.READ, { flags: isStructured ? 4 : 0, offset: 77, length });
        // Others are not mixed in.
        await client.request(CMD.FLUSH, {});
        if (failingRead === 5) return void await client.read(length);
        const expected = exports.image.subarray(77, 77 + length);
        if (isStructured) {
          const chunks = [await client.chunk(), await client.chunk()];
          const types = chunks.map(({ type }) => type).sort();
          assertEquals(types, failingRead === 2 ? [0, 0x8001] : [0, 1]);
          if (failingRead !== 0) return;
          assert(
            chunks.find(({ type }) => type === 1)!.payload.subarray(8)
              .every((byte, at) => byte === expected[at]),
          );
        } else if (failingRead === 0) {
          const replies = [await client.read(16), await client.read(length + 16)];
          const bytes = new Uint8Array([...replies[0]!, ...replies[1]!]);
          const start = [16, 32].find((at) =>
            expected.subarray(0, 1000).every((byte, index) => bytes[at + index] === byte)
          )!;
          assert(expected.every((byte, at) => byte === bytes[start + at]));
        }
      }, exports);
      if (failingRead === 5) assertMatch(String(ended), /the rest of a reply could not be sent/);
    }
  }
});

Deno.test("NBD: a long write is done piece by piece, and fails as a whole", async () => {
  for (const failingRead of [0, 2]) {
    const exports = new LargeExports(true);
    exports.failingRead = failingRead;
    await withClient(async (client) => {
      await choose(client);
      const data = new Uint8Array(9_000_000).fill(5);
      await client.request(CMD.WRITE, { offset: 100 }, data);
      const [chunk] = await client.chunks();
      assertEquals(chunk!.type, failingRead === 0 ? 0 : 0x8001);
      await client.request(CMD.READ, { offset: 99, length: 3 });
      const { payload } = (await client.chunks())[0]!;
      assertEquals(payload.subarray(8), new Uint8Array([99, 5, 5]));
      if (failingRead !== 0) return;
      assert(exports.image.subarray(100, 9_000_100).every((byte) => byte === 5));
      assertEquals(exports.image[9_000_100], 9_000_100 % 253);
    }, exports);
  }
});

Deno.test("NBD: what cannot be done has the protocol's error, and the client goes on", async () => {
  await withClient(async (client) => {
    await choose(client);
    const errorOf = async (...request: Parameters<NbdClient["request"]>) => {
      await client.request(...request);
      const [chunk] = await client.chunks();
      return new DataView(chunk!.payload.buffer).getUint32(0);
    };
    assertEquals(await errorOf(CMD.READ, { offset: 1_048_575, length: 2 }), EINVAL);
    assertEquals(await errorOf(CMD.READ, { offset: 2n ** 64n - 1n, length: 2 }), EINVAL);
    assertEquals(await errorOf(CMD.READ, { length: 2 ** 32 - 1 }), EINVAL);
    assertEquals(await errorOf(CMD.READ, { flags: 512, length: 1 }), EINVAL);
    assertEquals(await errorOf(CMD.STATUS, { length: 0 }), EINVAL);
    assertEquals(await errorOf(99, { length: 1 }), EINVAL);
    assertEquals(await errorOf(CMD.WRITE, {}, new Uint8Array(10)), EPERM);
    assertEquals(await errorOf(CMD.TRIM, { length: 10 }), EPERM);
    assertEquals(await errorOf(CMD.ZEROES, { length: 10 }), EPERM);
    await client.request(CMD.READ, { length: 3 });
    assertEquals((await client.chunks())[0]!.payload.subarray(8), new Uint8Array([1, 2, 3]));
  });
});

Deno.test("NBD: a writable export takes writes, zeros, and flushes", async () => {
  const exports = new MemoryExports(true);
  await withClient(async (client) => {
    await choose(client);
    const done = async (...request: Parameters<NbdClient["request"]>) => {
      await client.request(...request);
      assertEquals((await client.chunks()).map(({ type }) => type), [0]);
    };
    await done(CMD.WRITE, { offset: 262_140, flags: 1 }, new Uint8Array(8).fill(9));
    assertEquals(
      exports.bytes.subarray(262_138, 262_150),
      new Uint8Array([
        ...[262_138 % 251 + 1, 262_139 % 251 + 1],
        ...[9, 9, 9, 9, 9, 9, 9, 9, 0, 0],
      ]),
    );
    await done(CMD.ZEROES, { offset: 10, length: 600_000, flags: 2 });
    assertEquals(exports.bytes.subarray(10, 262_144), new Uint8Array(262_134));
    assertEquals(exports.bytes.subarray(524_288, 600_010), new Uint8Array(75_722));
    assert(exports.bytes[600_010] !== 0);
    await done(CMD.FLUSH, {});
    await done(CMD.TRIM, { length: 1000 });
    const errorOf = async (...request: Parameters<NbdClient["request"]>) => {
      await client.request(...request);
      return new DataView((await client.chunks())[0]!.payload.buffer).getUint32(0);
    };
    assertEquals(await errorOf(CMD.WRITE, { offset: 1_048_570 }, new Uint8Array(10)), ENOSPC);
    const tooMuch = new Uint8Array(33 * 1024 * 1024);
    assertEquals(await errorOf(CMD.WRITE, {}, tooMuch), ENOSPC);
  }, exports);
});

Deno.test("NBD: requests are answered while others wait, and a full window holds back", async () => {
  const exports = new MemoryExports();
  await withClient(async (client) => {
    await choose(client);
    for (let cookie = 0; cookie < 500; cookie++) {
      await client.request(CMD.READ, { cookie, offset: cookie * 100, length: 100 });
    }
    const found = new Map<bigint, Uint8Array>();
    for (let count = 0; count < 500; count++) {
      const { cookie, payload } = (await client.chunks())[0]!;
      found.set(cookie, payload.subarray(8));
    }
    for (let cookie = 0; cookie < 500; cookie++) {
      const expected = exports.bytes.subarray(cookie * 100, cookie * 100 + 100);
      assertEquals(found.get(BigInt(cookie)), expected);
    }
  }, exports);
});

Deno.test("NBD: whoever does not speak the protocol is dropped with a reason", async () => {
  const wrong: [string, (client: NbdClient) => Promise<void>][] = [
    ["its flags", (client) => client.greet(0)],
    ["its flags", (client) => client.greet(0xffff_ffff)],
    ["is no option", async (client) => {
      await client.greet();
      await client.send("GET / HTTP/1.1\r\n\r\n");
    }],
    ["has 4294967295 bytes", async (client) => {
      await client.greet();
      await client.send([0x49484156454f5054n, 64], OPT.LIST, 0xffff_ffff);
    }],
    ["is no request", async (client) => {
      await choose(client);
      await client.send(new Uint8Array(28));
    }],
  ];
  for (const [reason, misbehave] of wrong) {
    const error = await withClient(async (client) => {
      await misbehave(client);
      while ((await client.read(1)).length > 0);
    });
    assert(error instanceof ClientError, String(error));
    assertMatch(error.message, new RegExp(reason));
  }
  const late = await withClient(
    async (client) => {
      await client.greet();
      assertEquals((await client.read(1)).length, 0);
    },
    new MemoryExports(),
    { handshakeMs: 20 },
  );
  assert(late instanceof ClientError);
  assertMatch(late.message, /did nothing for 0\.02 s, and chose no export/);
});

Deno.test("NBD: the time that the server takes is not the client's", async () => {
  const exports = new MemoryExports();
  const open = exports.open.bind(exports);
  exports.open = async (name) => {
    await new Promise((resolve) => setTimeout(resolve, 1200));
    return await open(name);
  };
  const ended = await withClient(choose, exports, { handshakeMs: 1000 });
  assert(ended instanceof ClosedError, String(ended));
});

Deno.test("NBD: a list of thousands of exports can be gone through", async () => {
  const ended = await withClient(async (client) => {
    await client.greet();
    for (let count = 0; count < 3000; count++) {
      await client.option(OPT.INFO, named("disk", 0));
      assertEquals((await client.answers()).at(-1)!.type, ACK);
    }
    await client.option(OPT.ABORT);
    await client.answers();
  });
  assertEquals(ended, null);
});

/** Serves a client that takes nothing any more once it has chosen an export. */
async function serveStuck(exports: MemoryExports) {
  let isStuck = false;
  const [client, server] = channelPair();
  const connection = new Connection({
    read: (buffer) => server.read(buffer),
    write: (pieces) => isStuck ? new Promise(() => {}) : server.write(pieces),
    close: () => server.close(),
  });
  const serving = serveClient(connection, exports, new Budget(0));
  const nbd = new NbdClient(client);
  await choose(nbd);
  isStuck = true;
  return { connection, serving, nbd };
}

Deno.test("NBD: a client that takes nothing is given up, and its export closed", async () => {
  // Writes wait for ever, even if the channel is closed, as the runtime's do.
  const stuck = (end: ByteChannel): ByteChannel => ({
    read: (buffer) => end.read(buffer),
    write: () => new Promise(() => {}),
    close: () => end.close(),
  });
  const [near, far] = channelPair();
  const idle = new Connection(stuck(far));
  const late = serveClient(idle, new MemoryExports(), new Budget(0), { handshakeMs: 20 });
  assertMatch((await assertRejects(() => late, ClientError)).message, /it did nothing/);
  near.close();

  const exports = new MemoryExports();
  const { connection, serving, nbd } = await serveStuck(exports);
  await nbd.request(CMD.READ, { length: 100 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  connection.close();
  await assertRejects(() => serving, ClosedError);
  assertEquals(exports.openCount, 0);
});

Deno.test("NBD: what a client that is cut off had asked for is not read any more", async () => {
  const exports = new MemoryExports();
  const { connection, serving, nbd } = await serveStuck(exports);
  for (let cookie = 0; cookie < 2000; cookie++) await nbd.request(CMD.READ, { length: 100 });
  // As many as may be under way.
  await until(() => exports.readCount === 256, "requests");
  connection.close();
  await assertRejects(() => serving, ClosedError);
  assertEquals(exports.readCount, 256);
});

Deno.test("NBD: an export that is chosen by name is closed if the client has gone", async () => {
  const exports = new MemoryExports();
  const [client, server] = channelPair();
  const connection = new Connection({
    read: (buffer) => server.read(buffer),
    write: (pieces) => {
      // All but the hello.
      if (pieces[0]!.length !== 18) return Promise.reject(new Deno.errors.BrokenPipe("gone"));
      return server.write(pieces);
    },
    close: () => server.close(),
  });
  const serving = serveClient(connection, exports, new Budget(0));
  const nbd = new NbdClient(client);
  await nbd.greet();
  await nbd.option(OPT.EXPORT_NAME, "disk");
  await assertRejects(() => serving, ClosedError);
  assertEquals(exports.openCount, 0);
});

Deno.test("NBD: clients of random bytes end in a reason, never in a bug", async () => {
  const random = randomFrom(4711);
  for (let round = 0; round < 400; round++) {
    const error = await withClient(async (client) => {
      if (round % 2 === 0) await client.greet();
      else await choose(client);
      const bytes = new Uint8Array(random(200));
      bytes.forEach((_, at) => bytes[at] = random(256));
      // Half of them begin well.
      if (round % 4 < 2) await client.send(bytes);
      else if (round % 4 === 2) await client.option(random(12), bytes);
      else await client.request(random(9), { offset: round, length: 10 }, bytes);
    }, new MemoryExports(true));
    const isExpected = error === null || error instanceof ClientError ||
      error instanceof ClosedError;
    assert(isExpected, `round ${round}: ${error instanceof Error ? error.stack : error}`);
  }
});

Deno.test("NBD: a connection reads exactly, joins nothing, and says when it is over", async () => {
  const [near, far] = channelPair();
  const connection = new Connection(far);
  await near.write(new Uint8Array([1, 2, 3, 4, 5]));
  assertEquals(await connection.read(2), new Uint8Array([1, 2]));
  assertEquals(await connection.read(3), new Uint8Array([3, 4, 5]));
  await near.write(new Uint8Array([6]));
  near.close();
  await assertRejects(() => connection.read(2), ClosedError);
  await assertRejects(() => connection.send(new Uint8Array(1)), ClosedError);
});
