import { assert, assertEquals, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { Errno, osError } from "../../lib/linux/errno.ts";
import { directBuffer } from "../../lib/linux/files.ts";
import { type DescriptorHandle, DescriptorIo } from "../../lib/target/descriptor_io.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { StorageWriter } from "../../lib/target/storage_writer.ts";
import { assertBytes } from "../support/bytes.ts";
import { LoopDevice, loopDeviceProblem, Mount, Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { descriptorHandle, descriptorOf } from "./handles.ts";
import { StoreFixture } from "./store_fixture.ts";

const PAGE = 4096, MIB = 1_048_576;
const CACHED = 8, DIRECT = 9;

/** Memory that begins at a page, as the codec's does. */
function memory(bytes: number): Uint8Array<ArrayBuffer> {
  return directBuffer(bytes).subarray(0, bytes);
}

/** A target that notes the writes to it. */
class NotedTarget {
  readonly calls: string[] = [];
  /** Bytes that one direct write takes at most. */
  directBytes = Infinity;
  /** What direct writes from an offset on fail with. */
  failure: { readonly from: number; readonly errno: number } | null = null;
  readonly handle = descriptorHandle({ fd: CACHED, directWriteFd: DIRECT, path: "/dev/x" });

  readonly writer = new StorageWriter(this.handle, (fd, view, offset, path = "") => {
    const isDirect = fd === DIRECT;
    if (isDirect && this.failure && offset >= this.failure.from) {
      throw osError(this.failure.errno, { syscall: "pwrite64", path });
    }
    const count = isDirect ? Math.min(view.length, this.directBytes) : view.length;
    this.calls.push(`${isDirect ? "direct" : "cached"} ${offset}+${count}`);
    return count;
  });
}

const cases: readonly [what: string, start: number, length: number, offset: number, string[]][] = [
  ["whole pages", 0, 2 * PAGE, PAGE, ["direct 4096+8192"]],
  ["a part of a page", 0, 100, 0, ["cached 0+100"]],
  ["the parts of two pages", PAGE - 1, 2, PAGE - 1, ["cached 4095+2"]],
  ["pages and their edges", PAGE - 1, PAGE + 2, 2 * PAGE - 1, [
    "cached 8191+1",
    "direct 8192+4096",
    "cached 12288+1",
  ]],
  ["a page and what is before", PAGE - 5, PAGE + 5, PAGE - 5, [
    "cached 4091+5",
    "direct 4096+4096",
  ]],
  ["a page and what follows", 0, PAGE + 5, 0, ["direct 0+4096", "cached 4096+5"]],
  ["bytes at another offset in a page", 512, 2 * PAGE, 0, ["cached 0+8192"]],
  ["nothing", 0, 0, 0, []],
];

for (const [what, start, length, offset, calls] of cases) {
  Deno.test(`StorageWriter.write() writes ${what}: ${calls.join(", ")}`, () => {
    const target = new NotedTarget();
    target.writer.write(memory(8 * PAGE).subarray(start, start + length), offset);
    assertEquals(target.calls, calls);
  });
}

Deno.test("StorageWriter.write() goes on directly after short writes of whole pages", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE;
  target.writer.write(memory(2 * PAGE), 0);
  assertEquals(target.calls, ["direct 0+4096", "direct 4096+4096"]);
});

Deno.test("StorageWriter.write() fills up a page of which a direct write took a part", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE + 512;
  target.writer.write(memory(3 * PAGE), 0);
  assertEquals(target.calls, ["direct 0+4608", "cached 4608+7680"]);
});

Deno.test("StorageWriter.write() goes through the page cache where direct writes are refused", () => {
  const target = new NotedTarget();
  target.failure = { from: 0, errno: Errno.EINVAL };
  target.writer.write(memory(PAGE), 0);
  target.failure = null;
  target.writer.write(memory(PAGE), PAGE);
  assertEquals(target.calls, ["cached 0+4096", "cached 4096+4096"]);
});

Deno.test("StorageWriter.write() names the byte at which a direct write fails", () => {
  const target = new NotedTarget();
  target.directBytes = PAGE;
  target.failure = { from: 3 * PAGE, errno: Errno.EIO };
  const error = assertThrows(() => target.writer.write(memory(4 * PAGE), PAGE), TargetError);
  assertEquals(error.offset, 3 * PAGE);
  assertEquals(target.calls, ["direct 4096+4096", "direct 8192+4096"]);
});

const random = (limit: number) => Math.floor(Math.random() * limit);

/** Two workers that write a file or device by pieces of any alignment, and what it must hold. */
function writeAtRandom(handle: DescriptorHandle, bytes: number): Uint8Array<ArrayBuffer> {
  const extent = { start: 0, end: bytes };
  const workers = [new DescriptorIo(handle, { extent }), new DescriptorIo(handle, { extent })];
  const source = crypto.getRandomValues(memory(65_536));
  const content = new Uint8Array(bytes);
  for (let at = 0, piece = 0; at < bytes; piece++) {
    const length = Math.min(bytes - at, 1 + random(piece % 3 === 0 ? 60_000 : 3000));
    // Mostly as chunks lie: at the same offset in a page.
    const start = piece % 4 === 0 ? random(5000) : at % PAGE;
    const view = source.subarray(start, Math.min(start + length, source.length));
    workers[piece % 2]!.write(view, at);
    content.set(view, at);
    at += view.length;
  }
  return content;
}

for (const sectorBytes of [512, 4096]) {
  testUnless(
    loopDeviceProblem(),
    `Direct and cached writes of two workers do not disturb each other on a device with sectors of ${sectorBytes} bytes`,
    async () => {
      using device = new LoopDevice(4 * MIB, { sectorBytes });
      using store = new StoreFixture();
      using checked = preflightTarget(device.path, store.options({ imageBytes: device.bytes }));
      const target = await checked.open();
      const handle = descriptorOf(target);
      assert(handle.directWriteFd !== null);
      const content = writeAtRandom(handle, device.bytes);
      await target.finish({ sync: true });
      assertBytes(device.read(), content);
      assertBytes(Deno.readFileSync(device.backing), content);
    },
  );
}

const FILE_SYSTEMS = [["ext4", true], ["xfs", true], ["btrfs", false], ["tmpfs", false]] as const;

for (const [type, isDirect] of FILE_SYSTEMS) {
  const missing = type === "tmpfs" ? null : programProblem(`mkfs.${type}`);
  testUnless(
    loopDeviceProblem() ?? missing ?? programProblem("fincore"),
    `A file on ${type} is written ${isDirect ? "past" : "through"} the page cache`,
    async () => {
      using scratch = new Scratch();
      using mount = mountNew(type, scratch);
      using store = new StoreFixture();
      const open = async (path: string, imageBytes: number) => {
        using checked = preflightTarget(path, store.options({ imageBytes }));
        return await checked.open();
      };

      const odd = `${mount.path}/odd`, oddBytes = 4 * MIB + 4321;
      const target = await open(odd, oddBytes);
      assertEquals(descriptorOf(target).directWriteFd !== null, isDirect);
      const content = writeAtRandom(descriptorOf(target), oddBytes);
      await target.finish({ sync: true });
      assertBytes(Deno.readFileSync(odd), content);

      const whole = `${mount.path}/whole`;
      const wholeTarget = await open(whole, 4 * MIB);
      const io = new DescriptorIo(descriptorOf(wholeTarget), {
        extent: { start: 0, end: 4 * MIB },
      });
      io.write(memory(4 * MIB).fill(1), 0);
      await wholeTarget.finish({ sync: true });
      const cached = Number(runSync("fincore", "--bytes", "--noheadings", "-o", "RES", whole));
      assertEquals(cached, isDirect ? 0 : 4 * MIB);
      assertBytes(Deno.readFileSync(whole), new Uint8Array(4 * MIB).fill(1));
    },
  );
}

function mountNew(type: string, scratch: Scratch): Mount {
  if (type === "tmpfs") return new Mount("-t", "tmpfs", "tmpfs");
  const image = scratch.file("file system", "");
  Deno.truncateSync(image, 320 * MIB);
  runSync(`mkfs.${type}`, "-q", image);
  return new Mount("-o", "loop", image);
}
