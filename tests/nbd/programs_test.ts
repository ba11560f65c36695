/** The NBD server with the programs that people use. */

import { assertEquals, assertMatch } from "../assert.ts";
import type { ImageEvent } from "../../lib/image_access/image_reader.ts";
import { type NbdOptions, type NbdServer, serveNbd } from "../../lib/nbd/server.ts";
import { canLockExclusively } from "../support/flock.ts";
import { SampleStore, Seq } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";
import { testUnless } from "../support/machine.ts";
import { programProblem, tryRun, trySh } from "../support/programs.ts";
import { CHUNK_BYTES } from "../../lib/store/layout.ts";

/** A server of the sample store. */
class ServedStore implements AsyncDisposable {
  readonly store = new SampleStore();
  readonly events: ImageEvent[] = [];
  #server: NbdServer | null = null;

  get server(): NbdServer {
    return this.#server!;
  }

  /** As clients are given it, with an export's name. */
  uri(name = ""): string {
    return this.server.uri.replace("///", `///${name}`);
  }

  static async start(options: Partial<NbdOptions> = {}): Promise<ServedStore> {
    const served = new ServedStore();
    served.#server = await serveNbd({
      basedir: served.store.basedir,
      address: { path: served.store.file("socket") },
      cacheBytes: 16 * 1024 * 1024,
      onEvent: (event) => served.events.push(event),
      ...options,
    });
    return served;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server?.close();
    await this.#server?.closed;
    this.store[Symbol.dispose]();
  }
}

function programTest(
  name: string,
  programs: readonly string[],
  body: () => Promise<void>,
): void {
  testUnless(programProblem(...programs), `NBD: ${name}`, body);
}

/** Paths and contents below a directory. */
function snapshot(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) { for (const [key, value] of snapshot(path)) found.set(key, value); }
    else found.set(path, new TextDecoder("latin1").decode(Deno.readFileSync(path)));
  }
  return found;
}

/** Reads a copy; qemu-img fills up the last sector of an image that ends within one. */
function readImage(path: string, { image }: SampleStore): Uint8Array {
  return Deno.readFileSync(path).subarray(0, image.length);
}

/** Runs a shell script that must succeed. */
async function sh(script: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await trySh(script, ...args);
  assertEquals([code, stderr], [0, ""]);
  return stdout;
}

programTest("nbdinfo lists exports and sees holes", ["nbdinfo"], async () => {
  await using served = await ServedStore.start();
  const list = await sh('nbdinfo --list "$1"', served.uri());
  assertMatch(list, /^export="SampleRevision":$/m);
  assertMatch(list, /is_read_only: true/);
  const map = await sh('nbdinfo --map "$1"', served.uri("last"));
  const holes = map.split("\n").filter((line) => line.includes("hole,zero"));
  assertEquals(holes.map((line) => line.trim().split(/\s+/).slice(0, 2).map(Number)), [
    [Seq.ABSENT * CHUNK_BYTES, 2 * CHUNK_BYTES],
    [Seq.ABSENT_AGAIN * CHUNK_BYTES, CHUNK_BYTES],
  ]);
  const { code, stderr } = await tryRun("nbdinfo", served.uri("none"));
  assertEquals(code, 1);
  assertMatch(stderr, /none/);
});

programTest("nbdcopy and qemu-img copy the image", ["nbdcopy", "qemu-img"], async () => {
  await using served = await ServedStore.start();
  const { store } = served;
  for (const copy of ['nbdcopy "$1" "$2"', 'qemu-img convert -f raw -O raw "$1" "$2"']) {
    const output = store.file("copy");
    await sh(copy, served.uri("last"), output);
    assertBytes(readImage(output, store), store.image);
    Deno.removeSync(output);
  }
  const info = JSON.parse(await sh('qemu-img map --output=json -f raw "$1"', served.uri("last")));
  assertEquals(info.some(({ data }: { data: boolean }) => !data), true);
});

programTest("by TCP, to several clients at once", ["nbdcopy"], async () => {
  await using served = await ServedStore.start({ address: { hostname: "127.0.0.1", port: 0 } });
  const { store } = served;
  assertMatch(served.server.uri, /^nbd:\/\/127\.0\.0\.1:\d+$/);
  const copies = Array.from({ length: 4 }, async (_, index) => {
    const output = store.file(`copy ${index}`);
    await sh('nbdcopy "$1/last" "$2"', served.server.uri, output);
    assertBytes(Deno.readFileSync(output), store.image);
  });
  await Promise.all(copies);
});

programTest("writes are kept for all clients, the store does not change", ["qemu-io"], async () => {
  await using served = await ServedStore.start({ writable: true });
  const { store } = served;
  const before = snapshot(store.basedir);
  const io = (commands: string[], ...flags: string[]) =>
    sh(
      'u=$1; shift; qemu-io -f raw "$@" "$u"',
      served.uri("last"),
      ...flags,
      ...commands.flatMap((command) => ["-c", command]),
    );
  const offset = Seq.ABSENT * CHUNK_BYTES - 1000;
  await io([`write -P 0xab ${offset} 2000`, "flush", "write -z 512k 1M", "discard 0 64k"]);
  const expected = store.image.slice();
  expected.fill(0xab, offset, offset + 2000);
  expected.fill(0, 512 * 1024, 512 * 1024 + 1_048_576);
  // What was discarded may read as anything; here it stays.
  await io([`read -P 0xab ${offset} 2000`, "read -P 0 512k 1M"], "-r");
  const output = store.file("copy");
  await sh('qemu-img convert -f raw -O raw "$1" "$2"', served.uri("SampleRevision"), output);
  assertBytes(readImage(output, store), expected);
  assertEquals(snapshot(store.basedir), before);
});

programTest("nbdfuse mounts an export", ["nbdfuse", "fusermount3"], async () => {
  await using served = await ServedStore.start();
  const { store } = served;
  const folder = store.file("mnt");
  Deno.mkdirSync(folder);
  await sh(
    `nbdfuse -P "$2.pid" "$2" "$1" & pid=$!
    for i in $(seq 1200); do [ -e "$2/nbd" ] && break; sleep 0.05; done
    cat "$2/nbd" > "$3"; fusermount3 -u "$2"; wait $pid`,
    served.uri("last"),
    folder,
    store.file("copy"),
  );
  assertBytes(Deno.readFileSync(store.file("copy")), store.image);
});

programTest("a damaged chunk is an error, the rest can be read", ["qemu-io"], async () => {
  await using served = await ServedStore.start();
  const { store } = served;
  Deno.removeSync(store.chunkFileAt(Seq.LAST));
  const read = (at: number) =>
    tryRun("qemu-io", "-r", "-f", "raw", "-c", `read ${at * CHUNK_BYTES} 4096`, served.uri("last"));
  assertMatch((await read(Seq.LAST)).stdout, /read failed: Input\/output error/);
  assertMatch((await read(Seq.FIRST)).stdout, /read 4096\/4096 bytes/);
  const warnings = served.events.filter(({ type }) => type === "warning");
  assertEquals(warnings.length, 1);
});

programTest("one revision alone, and its partitions", ["nbdinfo", "sfdisk"], async () => {
  await using served = await ServedStore.start({ spec: "last" });
  const list = await sh('nbdinfo --list "$1"', served.uri());
  assertMatch(list, /^export="SampleRevision":$/m);
  assertEquals((await tryRun("nbdinfo", served.uri("SampleRevision"))).code, 0);
  served.store.add("Other", [new Uint8Array(CHUNK_BYTES)]);
  const { code, stderr } = await tryRun("nbdinfo", served.uri("Other"));
  assertEquals(code, 1);
  assertMatch(stderr, /No such file or directory for export: Other/);
});

programTest("a partition is an export of its own", ["nbdcopy", "sfdisk"], async () => {
  await using served = await ServedStore.start();
  const { store } = served;
  const disk = store.file("disk", new Uint8Array(3 * CHUNK_BYTES));
  await sh(`printf 'start=2048,size=4096,type=83\\nstart=8192,type=82\\n' | sfdisk -q "$1"`, disk);
  const image = Deno.readFileSync(disk);
  image.fill(7, 2048 * 512, 6144 * 512);
  store.addImage("Disk", image);
  await sh('nbdcopy "$1" "$2"', served.uri("Disk/1"), store.file("copy"));
  assertBytes(Deno.readFileSync(store.file("copy")), image.subarray(2048 * 512, 6144 * 512));
  const { code, stderr } = await tryRun("nbdinfo", served.uri("Disk/7"));
  assertEquals(code, 1);
  assertMatch(stderr, /No such file or directory for export: Disk\/7/);
});

Deno.test("NBD: the socket is its owner's alone, and gone at the end; the lock is held", async () => {
  const served = await ServedStore.start();
  const { store } = served;
  const path = store.file("socket");
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  const isFree = () => canLockExclusively(`${store.basedir}/.purge`);
  assertEquals(isFree(), false);
  const idle = await Deno.connect({ transport: "unix", path });
  served.server.close();
  await served.server.closed;
  idle.close();
  assertEquals(isFree(), true);
  assertEquals(store.namesBeside().includes("socket"), false);
  await served[Symbol.asyncDispose]();
});
