/**
 * Targets whose old content stays, in whole or in part, and what they must have for that.
 *
 * @module
 */

import { TargetError } from "../../lib/errors.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import type { OldContent, PreflightOptions, SparseMode } from "../../lib/target/target.ts";
import type { ZeroPolicy } from "../../lib/target/descriptor_io.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { isReadableFd } from "../../lib/linux/descriptors.ts";
import { assertBytes } from "../support/bytes.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  testUnless,
} from "../support/machine.ts";
import { runSync } from "../support/programs.ts";
import { descriptorOf } from "./handles.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;
const EXTENT = { start: MIB + 5, end: 2 * MIB + 5 };

/** Opens a target, has it looked at, and closes it. */
async function open(
  path: string,
  options: PreflightOptions,
  look: (handle: { fd: number; zeroPolicy: ZeroPolicy }) => void = () => {},
): Promise<void> {
  using checked = preflightTarget(path, options);
  const target = await checked.open();
  look(descriptorOf(target));
  await target.finish({ sync: false });
}

function allocatedBytes(path: string): number {
  return Deno.statSync(path).blocks! * 512;
}

/** What becomes of a file of some bytes: its length, and how many of them it keeps. */
const FATES: readonly [oldContent: OldContent, oldBytes: number, bytes: number, kept: number][] = [
  ["replaced", 3 * MIB, EXTENT.end, 0],
  ["replaced", 10, EXTENT.end, 0],
  ["updated", 3 * MIB, EXTENT.end, EXTENT.end],
  ["updated", MIB, EXTENT.end, MIB],
  ["updated", 0, EXTENT.end, 0],
  ["patched", 3 * MIB, 3 * MIB, 3 * MIB],
  ["patched", MIB, EXTENT.end, MIB],
  ["patched", EXTENT.end, EXTENT.end, EXTENT.end],
];

/** The zero policy of a file whose content stays. */
const KEPT_POLICIES: Readonly<Record<SparseMode, ZeroPolicy>> = {
  auto: "deallocate",
  always: "deallocate",
  never: "write",
};

for (const [oldContent, oldBytes, bytes, kept] of FATES) {
  Deno.test(`CheckedTarget.open() of a file of ${oldBytes} bytes whose content is ${oldContent}`, async () => {
    using store = new StoreFixture();
    for (const sparse of ["auto", "always", "never"] as const) {
      const path = store.file("image", new Uint8Array(oldBytes).fill(7));
      const options = store.options({ extent: EXTENT, oldContent, sparse });
      await open(path, options, ({ zeroPolicy }) => {
        assertEquals(zeroPolicy, oldContent === "replaced" ? "skip" : KEPT_POLICIES[sparse]);
      });
      assertBytes(Deno.readFileSync(path), new Uint8Array(bytes).fill(7, 0, kept));
      // Only what is written gets storage.
      const isFull = sparse === "never";
      const wanted = isFull ? Math.max(kept, EXTENT.end - EXTENT.start) : kept;
      assert(allocatedBytes(path) >= wanted, `${allocatedBytes(path)}`);
    }
  });
}

Deno.test("CheckedTarget.open() of a new file does the same for every treatment of old content", async () => {
  using store = new StoreFixture();
  for (const oldContent of ["replaced", "updated", "patched"] as const) {
    for (const sparse of ["auto", "always", "never"] as const) {
      const path = store.file("image");
      await open(path, store.options({ extent: EXTENT, oldContent, sparse }), ({ zeroPolicy }) => {
        assertEquals(zeroPolicy, "skip");
      });
      assertBytes(Deno.readFileSync(path), new Uint8Array(EXTENT.end));
      const bytes = allocatedBytes(path);
      assert(sparse === "never" ? bytes >= MIB && bytes < EXTENT.end : bytes < MIB, `${bytes}`);
      Deno.removeSync(path);
    }
  }
});

testUnless(
  mountProblem(),
  "CheckedTarget.open() that fails leaves an old file its length",
  async () => {
    using store = new StoreFixture();
    using mount = new Mount("-t", "tmpfs", "-o", "size=3m", "tmpfs");
    for (const oldContent of ["updated", "patched"] as const) {
      const path = `${mount.path}/image`;
      const content = new Uint8Array(1_000_000).fill(7);
      Deno.writeFileSync(path, content);
      const extent = { start: 0, end: 2 * MIB };
      using checked = preflightTarget(path, store.options({ extent, oldContent, sparse: "never" }));
      const other = `${mount.path}/other`;
      Deno.writeFileSync(other, new Uint8Array(1_900_000));
      const error = await assertRejects(() => checked.open(), TargetError);
      assert(error.message.includes(": No space left on device (ENOSPC);"), error.message);
      assertBytes(Deno.readFileSync(path), content);
      Deno.removeSync(other);
    }
  },
);

testUnless(mountProblem(), "preflightTarget() asks for room only for what is written", () => {
  using store = new StoreFixture();
  using mount = new Mount("-t", "tmpfs", "-o", "size=2m", "tmpfs");
  const options = (start: number, end: number) =>
    store.options({ extent: { start, end }, oldContent: "patched", sparse: "never" });
  preflightTarget(`${mount.path}/new`, options(8 * MIB, 9 * MIB))[Symbol.dispose]();
  const refused = () => preflightTarget(`${mount.path}/new`, options(8 * MIB, 11 * MIB));
  assertThrows(refused, TargetError, "the image needs 3145728 bytes (3 MiB)");
});

Deno.test("preflightTarget() opens a file for reading if it will be read", async () => {
  using store = new StoreFixture();
  for (const isRead of [false, true]) {
    for (const path of [store.file("new"), store.file("old", "old")]) {
      await open(path, store.options({ isRead }), ({ fd }) => {
        assertEquals(isReadableFd(fd), isRead);
      });
    }
    Deno.removeSync(store.file("new"));
  }
});

testUnless(
  loopDeviceProblem(),
  "preflightTarget() opens a device for reading if it will be read",
  async () => {
    using store = new StoreFixture();
    using device = new LoopDevice(MIB);
    for (const isRead of [false, true]) {
      await open(device.path, store.options({ isRead }), ({ fd }) => {
        assertEquals(isReadableFd(fd), isRead);
      });
    }
  },
);

Deno.test("preflightTarget() refuses a file that is too short to hold the base", () => {
  using store = new StoreFixture();
  const options = (heldBytes: number) =>
    store.options({ imageBytes: 10, oldContent: "updated", heldBytes });
  const path = store.file("image", new Uint8Array(5));
  preflightTarget(path, options(5))[Symbol.dispose]();
  assertThrows(
    () => preflightTarget(path, options(6)),
    TargetError,
    "it holds 5 bytes, the base revision 6 bytes; use --update instead of --base",
  );
  preflightTarget(store.file("new"), options(0))[Symbol.dispose]();
  assertThrows(
    () => preflightTarget(store.file("new"), options(1)),
    TargetError,
    "there is no such file, so it cannot hold the base revision; leave out --base",
  );
});

testUnless(
  loopDeviceProblem(),
  "preflightTarget() refuses a device that is too small to hold the base",
  () => {
    using store = new StoreFixture();
    using device = new LoopDevice(MIB);
    const options = (heldBytes: number) => store.options({ imageBytes: 10, heldBytes });
    preflightTarget(device.path, options(MIB))[Symbol.dispose]();
    assertThrows(
      () => preflightTarget(device.path, options(MIB + 1)),
      TargetError,
      "the device has",
    );
  },
);

Deno.test("preflightTarget() refuses a stream if bytes will come in any order", () => {
  using store = new StoreFixture();
  const fifo = store.file("fifo");
  runSync("mkfifo", fifo);
  for (const path of ["/dev/null", fifo, "-"]) {
    const error = assertThrows(
      () => preflightTarget(path, store.options({ needsRandomAccess: true })),
      TargetError,
    );
    assert(error.message.endsWith("this needs a file or block device"), error.message);
  }
  const options = store.options({ needsRandomAccess: true });
  preflightTarget(store.file("new"), options)[Symbol.dispose]();
});
