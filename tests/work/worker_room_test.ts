import { type Headroom, requireSimd, roomForWorkers } from "../../lib/work/worker_room.ts";
import { ResourceError } from "../../lib/errors.ts";
import { assertEquals, assertThrows } from "../assert.ts";

const MIB = 2 ** 20, GIB = 2 ** 30;

/** A system without limits except for the given ones. */
function system(limits: Partial<Record<keyof Headroom, number>>): Headroom {
  const spare = (name: keyof Headroom) => (wanted: number) =>
    Math.min(wanted, limits[name] ?? Infinity);
  return {
    descriptors: spare("descriptors"),
    threads: spare("threads"),
    addressBytes: spare("addressBytes"),
    memoryBytes: () => limits.memoryBytes ?? null,
  };
}

Deno.test("roomForWorkers() allows all workers if there is room", () => {
  const all = { threads: 24, notice: null };
  assertEquals(roomForWorkers(24, system({})), all);
  assertEquals(roomForWorkers(24, system({ descriptors: 200, threads: 52 })), all);
  assertEquals(roomForWorkers(24, system({ memoryBytes: GIB })), all);
});

const CASES: readonly [
  limit: Partial<Record<keyof Headroom, number>>,
  threads: number,
  name: string,
][] = [
  [{ descriptors: 16 }, 1, "open files (ulimit -n, fs.file-max)"],
  [{ descriptors: 31 }, 2, "open files (ulimit -n, fs.file-max)"],
  [{ threads: 6 }, 1, "threads (ulimit -u, or pids.max of a cgroup)"],
  [{ threads: 11 }, 3, "threads (ulimit -u, or pids.max of a cgroup)"],
  [{ addressBytes: 16 * GIB }, 3, "address space (ulimit -v)"],
  [{ memoryBytes: 100 * MIB }, 4, "memory (of the machine, or of a cgroup)"],
  // The tightest limit counts.
  [{ memoryBytes: 100 * MIB, threads: 11 }, 3, "threads (ulimit -u, or pids.max of a cgroup)"],
];

for (const [limits, threads, name] of CASES) {
  Deno.test(`roomForWorkers() allows fewer workers and says why: ${JSON.stringify(limits)}`, () => {
    assertEquals(roomForWorkers(24, system(limits)), {
      threads,
      notice: `Using ${threads} of 24 workers: the limit of ${name} leaves no room for more`,
    });
  });
}

const TOO_LITTLE: readonly [Partial<Record<keyof Headroom, number>>, string][] = [
  [{ descriptors: 15 }, "open files (ulimit -n, fs.file-max)"],
  [{ descriptors: 0 }, "open files (ulimit -n, fs.file-max)"],
  [{ threads: 5 }, "threads (ulimit -u, or pids.max of a cgroup)"],
  [{ addressBytes: 5 * GIB }, "address space (ulimit -v)"],
  [{ memoryBytes: 35 * MIB }, "memory (of the machine, or of a cgroup)"],
];

for (const [limits, name] of TOO_LITTLE) {
  Deno.test(`roomForWorkers() fails without room for one: ${JSON.stringify(limits)}`, () => {
    assertThrows(
      () => roomForWorkers(2, system(limits)),
      ResourceError,
      `Cannot start a worker: the limit of ${name} leaves too little; raise it`,
    );
  });
}

Deno.test("requireSimd() names what a processor lacks", () => {
  requireSimd();
  requireSimd(() => true);
  assertThrows(() => requireSimd(() => false), ResourceError, "this processor lacks SSE4.1");
});
