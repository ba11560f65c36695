import { freeMemoryBytes } from "../../lib/linux/free_memory.ts";
import { assert, assertEquals } from "../assert.ts";
import { testUnless } from "../support/machine.ts";

const MEMINFO = "MemTotal: 9 kB\nMemFree:  1000 kB\nMemAvailable:   4096 kB\n";
const V2_MOUNT = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

/** Reads from a table of files. */
function from(files: Readonly<Record<string, string>>) {
  return freeMemoryBytes((path) => files[path] ?? null);
}

Deno.test("freeMemoryBytes() is what the kernel estimates where nothing limits it", () => {
  assertEquals(from({ "/proc/meminfo": MEMINFO }), 4096 * 1024);
  assertEquals(from({ "/proc/meminfo": "MemFree:  1000 kB\n" }), 1000 * 1024);
  assertEquals(from({}), null);
});

Deno.test("freeMemoryBytes() is bounded by the narrowest control group of version 2", () => {
  const files = {
    "/proc/meminfo": MEMINFO,
    "/proc/self/mountinfo": V2_MOUNT,
    "/proc/self/cgroup": "0::/a.slice/b.service\n",
    "/sys/fs/cgroup/a.slice/memory.max": "3000000\n",
    "/sys/fs/cgroup/a.slice/memory.current": "1000000\n",
    "/sys/fs/cgroup/a.slice/memory.stat": "file 90\ninactive_file 400000\n",
    "/sys/fs/cgroup/a.slice/b.service/memory.max": "max\n",
    "/sys/fs/cgroup/a.slice/b.service/memory.current": "900000\n",
  };
  assertEquals(from(files), 2_400_000);
  const high = { ...files, "/sys/fs/cgroup/a.slice/b.service/memory.high": "1000000\n" };
  assertEquals(from(high), 100_000);
  const full = { ...files, "/sys/fs/cgroup/a.slice/memory.max": "500000\n" };
  assertEquals(from(full), 0);
});

Deno.test("freeMemoryBytes() finds the group of a container, whose own group is what is mounted", () => {
  const mount =
    "55 50 0:31 /docker/1a /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n";
  for (const group of ["/docker/1a", "/elsewhere"]) {
    assertEquals(
      from({
        "/proc/meminfo": MEMINFO,
        "/proc/self/mountinfo": mount,
        "/proc/self/cgroup": `5:cpu,cpuacct:/x\n4:memory:${group}\n0::/\n`,
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000\n",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": "600000\n",
        "/sys/fs/cgroup/memory/memory.stat": "inactive_file 7\ntotal_inactive_file 100000\n",
      }),
      1_500_000,
    );
  }
});

testUnless(
  Deno.build.os === "linux" ? null : "not Linux",
  "freeMemoryBytes() of this machine is something, and no more than it has",
  () => {
    const bytes = freeMemoryBytes();
    assert(bytes !== null && bytes > 0 && bytes <= Deno.systemMemoryInfo().total, `${bytes}`);
  },
);
