import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch } from "../assert.ts";
import { assertBytes, isFilled } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";
import { assertFailure, assertSuccess, extract, messagesOf, parseJsonLines } from "./harness.ts";
import { SampleStore } from "./sample_store.ts";

let store: SampleStore;
Deno.test.beforeAll(() => void (store = new SampleStore()));
Deno.test.afterAll(() => store[Symbol.dispose]());

/** What a loop device of these tests holds before. */
const GARBAGE = 0xaa;
const GRANULE_BYTES = 65_536;
/** Room for the sample image and a bit, whole blocks of any size. */
const DEVICE_BYTES = 10 * CHUNK_BYTES;

const problem = loopDeviceProblem();
if (problem !== null) {
  // deno-lint-ignore no-console
  console.log(`ignored: restores to block devices: ${problem}`);
}

/** The whole device after a restore, which leaves the bytes behind the image alone. */
function expectedDevice(image: Uint8Array): Uint8Array {
  const expected = new Uint8Array(DEVICE_BYTES).fill(GARBAGE);
  expected.set(image);
  return expected;
}

/** The device if zeros of the image are not written: the old bytes show through. */
function expectedWithZerosSkipped(image: Uint8Array): Uint8Array {
  const expected = expectedDevice(image);
  for (let start = 0; start < image.length; start += GRANULE_BYTES) {
    const end = Math.min(start + GRANULE_BYTES, image.length);
    if (isFilled(image.subarray(start, end), 0)) expected.fill(GARBAGE, start, end);
  }
  return expected;
}

for (const sectorBytes of [512, 4096]) {
  for (const sparse of ["auto", "never", "always"]) {
    const result = sparse === "always"
      ? "exactly the data, and garbage where the image has zeros"
      : "exactly the image";
    testUnless(
      problem,
      `A dirty device, ${sectorBytes}-byte sectors, --sparse=${sparse}: ${result}`,
      async () => {
        using device = new LoopDevice(DEVICE_BYTES, { sectorBytes });
        assertSuccess(await extract(["-s", sparse, store.revision.path, device.path]));
        const expected = (sparse === "always" ? expectedWithZerosSkipped : expectedDevice)(
          store.image,
        );
        assertBytes(device.read(), expected);
      },
    );
  }
}

testUnless(problem, "A device that the image fills to its last byte is restored", async () => {
  const { path: revision, image } = store.add("TwoChunks", [sampleBytes(31), "absent"]);
  using device = new LoopDevice(2 * CHUNK_BYTES, { sectorBytes: 4096 });
  assertSuccess(await extract([revision, device.path]));
  assertBytes(device.read(), image);
});

testUnless(problem, "A device as standard output gets the image from its start", async () => {
  using device = new LoopDevice(DEVICE_BYTES);
  const env = { OUT: device.path };
  assertSuccess(await extract([store.revision.path], { shell: 'exec "$@" >"$OUT"', env }));
  assertBytes(device.read(), expectedDevice(store.image));
});

testUnless(
  problem,
  "A device behind a symbolic link is a device: nothing is truncated",
  async () => {
    using device = new LoopDevice(DEVICE_BYTES);
    Deno.symlinkSync(device.path, store.file("device-link"));
    assertSuccess(await extract([store.revision.path, store.file("device-link")]));
    assertBytes(device.read(), expectedDevice(store.image));
  },
);

testUnless(problem, "A device smaller than the image is refused and untouched", async () => {
  using device = new LoopDevice(store.image.length - (store.image.length % 512));
  assertFailure(await extract([store.revision.path, device.path]), {
    code: 4,
    says: [
      /^Cannot restore to "\/dev\/loop\d+": the device has \d+ bytes \(.*\), the image needs \d+ bytes \(.*\); enlarge it or name another$/,
    ],
  });
  const shell = { shell: 'exec "$@" >"$OUT"', env: { OUT: device.path } };
  assertFailure(await extract([store.revision.path], shell), {
    code: 4,
    says: [/^Cannot restore to "\/dev\/loop\d+": the device has \d+ bytes/],
  });
  assert(isFilled(device.read(), GARBAGE));
});

testUnless(problem, "A read-only device is refused and untouched, --force or not", async () => {
  using device = new LoopDevice(DEVICE_BYTES, { isReadOnly: true });
  for (const force of [[], ["--force"]]) {
    assertFailure(await extract([...force, store.revision.path, device.path]), {
      code: 4,
      says: [
        `Cannot restore to "${device.path}": the device is read-only; blockdev --setrw may end that`,
      ],
    });
  }
  const shell = { shell: 'exec "$@" >"$OUT"', env: { OUT: device.path } };
  assertFailure(await extract([store.revision.path], shell), {
    code: 4,
    says: [
      `Cannot restore to "${device.path}": the device is read-only; blockdev --setrw may end that`,
    ],
  });
  assert(isFilled(device.read(), GARBAGE));
});

testUnless(
  problem ?? mountProblem() ?? programProblem("mkfs.ext4"),
  "A mounted device is refused with its mount point and --force, which overrides that",
  async () => {
    using device = new LoopDevice(DEVICE_BYTES);
    runSync("mkfs.ext4", "-q", "-F", device.path);
    using mount = new Mount("-o", "ro", device.path);
    const before = device.read();
    const reason = `it is mounted at "${mount.path}"`;
    assertFailure(await extract([store.revision.path, device.path]), {
      code: 4,
      says: [`Cannot restore to "${device.path}": ${reason} (--force overrides this)`],
    });
    const shell = { shell: 'exec "$@" >"$OUT"', env: { OUT: device.path } };
    assertFailure(await extract([store.revision.path], shell), {
      code: 4,
      says: [`Cannot restore to "${device.path}": ${reason} (--force overrides this)`],
    });
    assertBytes(device.read(), before);

    const forced = await extract(["-qf", store.revision.path, device.path]);
    if (forced.code === 0) {
      const warning = `warning: "${device.path}" is written although ${reason}`;
      assertEquals(messagesOf(forced.stderr), [warning]);
      assertBytes(device.read().subarray(0, store.image.length), store.image);
    } else {
      // Kernels that are built without CONFIG_BLK_DEV_WRITE_MOUNTED.
      const says = [
        `Cannot restore to "${device.path}": ${reason}, and the kernel forbids writing`,
      ];
      assertFailure(forced, { code: 4, says });
    }
  },
);

testUnless(
  problem,
  "The backing file of a loop device is refused, and written with --force",
  async () => {
    const file = store.file("backing", new Uint8Array(DEVICE_BYTES).fill(GARBAGE));
    const loop = runSync("losetup", "-f", "--show", file);
    try {
      assertFailure(await extract([store.revision.path, file]), {
        code: 4,
        says: [
          `Cannot restore to "${file}": it is behind the loop device "${loop}" (--force overrides this)`,
        ],
      });
      assert(isFilled(Deno.readFileSync(file), GARBAGE));
      const forced = await extract(["--force", store.revision.path, file]);
      assertEquals(forced.code, 0, forced.stderr);
      assertMatch(
        messagesOf(forced.stderr)[0] ?? "",
        /^warning: .* is written although it is behind/,
      );
      assertBytes(Deno.readFileSync(file), store.image);
    } finally {
      runSync("losetup", "-d", loop);
    }
  },
);

testUnless(problem, "Damage leaves a device's bytes behind the image alone too", async () => {
  await store.withDamage(store.chunkFileAt(5), () => {}, async () => {
    using device = new LoopDevice(DEVICE_BYTES);
    const outcome = await extract([store.revision.path, device.path]);
    assertEquals(outcome.code, 3, outcome.stderr);
    assertMatch(outcome.stderr, new RegExp(`"${store.idAt(5)}"`));
    assert(isFilled(device.read().subarray(store.image.length), GARBAGE));
  });
});

testUnless(
  problem ?? programProblem("mkfs.ext4"),
  "What a device holds is named before it is overwritten, in one line that --quiet leaves out",
  async () => {
    using device = new LoopDevice(DEVICE_BYTES);
    runSync("mkfs.ext4", "-q", "-F", device.path);
    const line = `What is on "${device.path}" will be overwritten: ext file system`;
    const says = async (...args: string[]) => {
      const outcome = await extract([...args, store.revision.path, device.path]);
      assertSuccess(outcome);
      return outcome.stderr;
    };
    const linesOf = (stderr: string) => stderr.split("\n").filter((text) => text === line).length;
    assertEquals(linesOf(await says("--dry-run")), 1);
    assertEquals(linesOf(await says("--update", "--dry-run")), 0);
    assertEquals(await says("--quiet", "--dry-run"), "");
    const messages = parseJsonLines(await says("--json", "--dry-run"))
      .filter(({ type }) => type === "message");
    assertEquals(messages.map(({ message }) => message), [line]);
    assertEquals(linesOf(await says("--range=4M:4M")), 0);
    assertEquals(linesOf(await says()), 1);
    // The start of the image has nothing that the tool recognizes.
    assertEquals(linesOf(await says()), 0);
  },
);
