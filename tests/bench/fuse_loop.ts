/**
 * Measures what the FUSE layer alone costs: a file system whose reads take no time, read by other
 * processes.
 *
 * `deno run -A tests/bench/fuse_loop.ts`; 4 KiB reads are measured where `fio` is installed. Run as
 * root it raises the read-ahead to 4 MiB, as backy-fuse does.
 *
 * @module
 */

import { Errno, FileType, FUSE_ROOT_ID, FuseError, mount } from "../../lib/deno_fuse/mod.ts";

const FILE_BYTES = 8 * 1024 ** 3;
const READ_BYTES = 1_048_576;
const attributes = [
  { ino: FUSE_ROOT_ID, mode: FileType.S_IFDIR | 0o755 },
  { ino: 2, mode: FileType.S_IFREG | 0o444, size: FILE_BYTES },
] as const;

/**
 * Mounts a file "zeros", whose reads are answered at once from one buffer, or a microtask later.
 */
async function serve(mountpoint: string, readAheadBytes: number): Promise<void> {
  const buffer = new Uint8Array(new SharedArrayBuffer(READ_BYTES));
  const session = await mount(mountpoint, {
    lookup: ({ name }) => name === "zeros" ? { attributes: attributes[1] } : null,
    getattr({ ino }) {
      const found = attributes.find((entry) => entry.ino === ino);
      if (!found) throw new FuseError(Errno.ENOENT);
      return { attributes: found };
    },
    read: ({ offset, size }) =>
      buffer.subarray(0, Math.max(0, Math.min(size, FILE_BYTES - offset))),
  }, {
    onError: (error) => {
      throw error;
    },
    readAheadBytes,
    subtype: "bench",
  });
  say(`ready ${session.libraryVersion}`);
  await session.closed;
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (!success) throw new Error(`${command} failed: ${text}`);
  return text;
}

async function measure(readAheadBytes: number): Promise<void> {
  const mountpoint = await Deno.makeTempDir({ prefix: "fuse_loop" });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", import.meta.filename!, mountpoint, `${readAheadBytes}`],
    stdout: "piped",
  }).spawn();
  try {
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const library = ((await reader.read()).value ?? "").trim().replace("ready ", "libfuse ");
    const before = await cpuSeconds(child.pid);
    const started = performance.now();
    await run("timeout", [
      "60",
      "dd",
      `if=${mountpoint}/zeros`,
      "of=/dev/null",
      "bs=4M",
      "count=1024",
    ]);
    const seconds = (performance.now() - started) / 1000;
    const cpu = await cpuSeconds(child.pid) - before;
    const speed = (4 * 1.073741824 / seconds).toFixed(2);
    say(
      `${library}, read-ahead ${readAheadBytes / 1024} KiB: dd bs=4M ${speed} GB/s ` +
        `(driver: ${(cpu / 4).toFixed(2)} CPU s a GiB)`,
    );
    for (const jobs of [1, 4]) await measureRandom(`${mountpoint}/zeros`, jobs);
    await reader.cancel();
  } finally {
    await new Deno.Command("umount", { args: ["-l", mountpoint], stderr: "null" }).output();
    await child.status;
    await Deno.remove(mountpoint);
  }
}

/** 4 KiB reads at random places that are not in the page cache. */
async function measureRandom(file: string, jobs: number): Promise<void> {
  let text: string;
  try {
    text = await run("timeout", [
      "60",
      "fio",
      "--name=random",
      `--filename=${file}`,
      "--readonly",
      "--rw=randread",
      "--bs=4k",
      "--ioengine=psync",
      "--runtime=4",
      "--time_based",
      "--invalidate=0",
      "--fadvise_hint=random",
      "--group_reporting",
      `--numjobs=${jobs}`,
    ]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  say(`  4 KiB random reads, ${jobs} job(s): ${/IOPS=([\d.k]+)/.exec(text)?.[1] ?? text}/s`);
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

if (import.meta.main) {
  const [mountpoint, readAhead] = Deno.args;
  if (mountpoint !== undefined) await serve(mountpoint, Number(readAhead));
  else for (const kib of [128, 1024, 4096]) await measure(kib * 1024);
}
