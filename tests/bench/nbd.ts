/**
 * Measures how long `nbdcopy` takes for an image, and which threads of the server need how much
 * processor time for it, next to a restore.
 *
 * @module
 */

import { addRevision, makeStore } from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { threadsOf } from "./process_time.ts";
import { findTool, peakOf, sampleImage, timed, WORKERS } from "./restore.ts";

const ROUNDS = 5;
const READY_TIMEOUT_MS = 20_000;
const CACHE_MIB = 256;

/** What a round took. */
interface Round {
  readonly seconds: number;
  readonly restoreSeconds: number;
  readonly peakMib: number;
  /** Processor time, by the names of the server's threads, and of the client. */
  readonly processor: ReadonlyMap<string, number>;
}

/**
 * Prints times of alternating runs. The server is started anew for each. Needs dist/backy-fuse, or
 * what `BACKY_FUSE` names, and nbdcopy.
 */
export async function benchNbd(dir: string, print: (text: string) => void): Promise<void> {
  const tool = findTool();
  const server = Deno.env.get("BACKY_FUSE") ??
    new URL("../../dist/backy-fuse", import.meta.url).pathname;
  const basedir = `${dir}/vm0`;
  makeStore(basedir);
  const { path, size } = addRevision(basedir, "sample", sampleImage());
  const gib = (size / 2 ** 30).toFixed(1);
  print(`${server}, ${gib} GiB image, a quarter zeros, ${WORKERS} workers, in ${dir}:`);
  const rounds: Round[] = [];
  for (let count = 0; count < ROUNDS; count++) {
    const copy = await copyByNbd(server, { basedir, socket: `${dir}/socket` });
    const restore = await timed(`"$@" -q -t ${WORKERS} ${path} - >/dev/null`, tool.command);
    const round = { ...copy, restoreSeconds: restore.seconds };
    rounds.push(round);
    print(`  round ${count + 1}: ${describe(round)}`);
  }
  const of = (value: (round: Round) => number) => median(rounds.map(value)).toFixed(2);
  print(`  nbdcopy to null: ${of(({ seconds }) => seconds)} s`);
  print(`  ${tool.name} to /dev/null: ${of(({ restoreSeconds }) => restoreSeconds)} s`);
  print(`  nbdcopy takes ${of((round) => round.seconds / round.restoreSeconds)} of the restore`);
}

function describe({ seconds, restoreSeconds, peakMib, processor }: Round): string {
  const parts = [...processor].map(([name, seconds]) => `${name} ${seconds.toFixed(2)}`);
  const sum = [...processor.values()].reduce((sum, seconds) => sum + seconds, 0);
  return `${seconds.toFixed(2)} s, restore ${restoreSeconds.toFixed(2)} s, ` +
    `peak memory ${peakMib.toFixed(0)} MiB, processor ${sum.toFixed(2)} s: ${parts.join(", ")}`;
}

async function copyByNbd(
  program: string,
  { basedir, socket }: { basedir: string; socket: string },
): Promise<Omit<Round, "restoreSeconds">> {
  const sizes = ["-c", `${CACHE_MIB}`, "-t", `${WORKERS}`];
  const server = new Deno.Command(program, {
    args: ["nbd", ...sizes, "--socket", socket, basedir],
    stderr: "null",
  }).spawn();
  try {
    await untilReady(socket);
    const before = threadsOf(server.pid);
    const client = await new Deno.Command("bash", {
      args: [
        "-c",
        `TIMEFORMAT="%R %U %S"; time nbdcopy "nbd+unix:///?socket=$1" null:`,
        "",
        socket,
      ],
      stdout: "null",
      stderr: "piped",
    }).output();
    const times = /([0-9.]+) ([0-9.]+) ([0-9.]+)\s*$/.exec(new TextDecoder().decode(client.stderr));
    if (!client.success || !times) throw new Error("Cannot measure: nbdcopy failed");
    const [seconds, user, system] = times.slice(1).map(Number);
    const processor = new Map<string, number>();
    for (const [id, { name, time }] of threadsOf(server.pid)) {
      const earlier = before.get(id)?.time ?? { user: 0, system: 0 };
      const spent = time.user + time.system - earlier.user - earlier.system;
      const key = id === server.pid ? "main" : name;
      if (spent > 0) processor.set(key, (processor.get(key) ?? 0) + spent);
    }
    processor.set("client", user! + system!);
    return { seconds: seconds!, peakMib: peakOf(server.pid), processor };
  } finally {
    server.kill("SIGTERM");
    await server.status;
  }
}

async function untilReady(socket: string): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      (await Deno.connect({ transport: "unix", path: socket })).close();
      return;
    } catch {
      if (performance.now() > deadlineMs) throw new Error("Cannot measure: nothing is served");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
