/**
 * Measures restores to a real disk, beside a plain restore in C (`native_restore.c`) and dd(1),
 * which moves the same bytes past the page cache and does nothing else.
 *
 * @module
 */

import { CHUNK_BYTES } from "../../lib/store/layout.ts";
import { runSync } from "../support/programs.ts";
import { addRevision, chunkFile, makeStore } from "../support/store_builder.ts";
import { median } from "./codec.ts";
import { type MachineUse, measureUse } from "./machine_use.ts";
import { compileNativeRestore, type NativeRestore } from "./native_restore.ts";
import {
  findTool,
  removeIfThere,
  sampleImage,
  sharedMemoryDir,
  timed,
  WORKERS,
} from "./restore.ts";

const ROUNDS = 5;
const DROP_CACHES = "sync; echo 3 >/proc/sys/vm/drop_caches";

/** A program that is measured in turn with others. */
interface Contender {
  readonly name: string;
  readonly script: string;
  /** Arguments of the script. */
  readonly args: readonly string[];
}

/** What contenders do. */
interface Scene {
  readonly title: string;
  /** Runs before each of them, unmeasured. */
  readonly before: string;
  /** The tool first; ratios are those of its time to the others'. */
  readonly contenders: readonly Contender[];
  readonly [Symbol.dispose]: () => void;
}

/** What scenes are made of. */
interface Stage {
  readonly command: readonly string[];
  readonly native: NativeRestore;
  /** A folder on the disk. */
  readonly dir: string;
  readonly basedir: string;
  readonly ids: readonly (string | null)[];
  readonly imageBytes: number;
  readonly dataBytes: number;
}

const SCENES: Readonly<Record<string, (stage: Stage) => Scene>> = {
  file: fileScene,
  device: deviceScene,
  update: updateScene,
  verify: verifyScene,
  cold: coldScene,
};

/**
 * Prints a table for each scene. Takes about 5 GiB in `dir`, and 1 GiB in memory.
 *
 * @param names Which scenes, default all.
 */
export async function benchDisk(
  dir: string,
  names: readonly string[],
  print: (text: string) => void,
): Promise<void> {
  const unknown = names.find((name) => !Object.hasOwn(SCENES, name));
  if (unknown !== undefined) {
    throw new Error(`No scene "${unknown}", only ${Object.keys(SCENES).join(", ")}`);
  }
  const { name, command } = findTool();
  const memory = Deno.makeTempDirSync({
    prefix: "backy-bench-",
    dir: sharedMemoryDir() ?? dir,
  });
  try {
    const basedir = `${memory}/vm0`;
    makeStore(basedir);
    const { size: imageBytes, ids } = addRevision(basedir, "sample", sampleImage());
    const native = compileNativeRestore(memory, { basedir, ids });
    const dataBytes = ids.filter((id) => id !== null).length * CHUNK_BYTES;
    const stage = { command, native, dir, basedir, ids, imageBytes, dataBytes };
    const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
    print(`${name}, ${gib(imageBytes)} GiB image with ${gib(dataBytes)} GiB of data`);
    print(`store in ${basedir}, target in ${dir}`);
    print(`${WORKERS} threads each, all flushed; medians of ${ROUNDS} alternating rounds`);
    print("user, system, page cache: of the whole machine");
    print("ratio: the tool's time to this one's");
    if (native.problem !== null) print(`no comparison with C: ${native.problem}`);
    for (const key of names.length > 0 ? names : Object.keys(SCENES)) {
      await measureScene(key, stage, print);
    }
  } finally {
    Deno.removeSync(memory, { recursive: true });
  }
}

async function measureScene(
  key: string,
  stage: Stage,
  print: (text: string) => void,
): Promise<void> {
  print("");
  if (["device", "cold"].includes(key) && Deno.uid() !== 0) return print(`${key}: needs root`);
  using scene = SCENES[key]!(stage);
  const { title, before, contenders } = scene;
  const runs = new Map<Contender, MachineUse[]>();
  // The first round warms up: storage is allocated, programs are read.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const contender of contenders) {
      await timed(before, []);
      const use = await measureUse(contender.script, contender.args);
      if (round > 0) runs.set(contender, [...runs.get(contender) ?? [], use]);
    }
  }
  print(row([title, "time", "ratio", "user", "system", "page cache"]));
  const own = runs.get(contenders[0]!)!;
  for (const [{ name }, uses] of runs) {
    const middle = (key: keyof MachineUse) => median(uses.map((use) => use[key]));
    const ratio = median(uses.map((use, round) => own[round]!.seconds / use.seconds));
    const cacheMib = Math.round(middle("cacheMib"));
    print(row([
      `  ${name}`,
      `${middle("seconds").toFixed(2)} s`,
      uses === own ? "" : ratio.toFixed(2),
      `${middle("userSeconds").toFixed(2)} s`,
      `${middle("systemSeconds").toFixed(2)} s`,
      `${cacheMib < 0 ? "-" : "+"}${Math.abs(cacheMib)} MiB`,
    ]));
  }
}

function row([title = "", ...cells]: readonly string[]): string {
  return title.padEnd(46) + cells.map((cell) => cell.padStart(11)).join("");
}

function fileScene(stage: Stage): Scene {
  const target = `${stage.dir}/target.img`;
  return {
    title: "file: restore to a new file",
    before: `rm -f ${target}; sync`,
    contenders: [
      restoreBy(stage, target),
      ...nativeRestore(stage, target),
      ddWrite(stage, target),
      { ...restoreBy(stage, "-"), name: "backy-extract to /dev/null" },
    ],
    [Symbol.dispose]: () => removeIfThere(target),
  };
}

function deviceScene(stage: Stage): Scene {
  const file = `${stage.dir}/device.img`;
  runSync("fallocate", "-l", String(stage.imageBytes), file);
  const device = runSync("losetup", "--direct-io=on", "-f", "--show", file);
  return {
    title: "device: restore to a loop device (direct I/O)",
    before: "sync",
    contenders: [
      restoreBy(stage, device),
      ...nativeRestore(stage, device),
      ddWrite(stage, device),
    ],
    [Symbol.dispose]: () => {
      runSync("losetup", "-d", device);
      Deno.removeSync(file);
    },
  };
}

function updateScene(stage: Stage): Scene {
  const target = `${stage.dir}/target.img`;
  const [program = "", ...options] = [...stage.command, "-q"];
  // Not sparse, so that all of it is compared.
  runSync(program, ...options, "--sparse=never", `${stage.basedir}/sample`, target);
  return {
    title: "update: compare an identical file",
    before: `sync; ${forget(target)}`,
    contenders: [
      restoreBy(stage, target, "--update"),
      ...nativeContender(stage, (args) => ({
        name: "C: pread and hash",
        script: '"$@"',
        args: args("compare", target),
      })),
      { name: "dd iflag=direct", script: ddRead(target), args: [] },
    ],
    [Symbol.dispose]: () => removeIfThere(target),
  };
}

function verifyScene(stage: Stage): Scene {
  const target = `${stage.dir}/target.img`;
  return {
    title: "verify: restore to a new file, read it back",
    before: `rm -f ${target}; sync`,
    contenders: [
      restoreBy(stage, target, "--verify-target"),
      ...nativeContender(stage, (args) => ({
        name: "C: the same, cache dropped between",
        script: `${args("restore", target).join(" ")} && ${forget(target)} && "$@"`,
        args: args("compare", target),
      })),
      {
        name: "dd oflag=direct, dd iflag=direct",
        script: `${ddWrite(stage, target).script} && ${ddRead(target)}`,
        args: [],
      },
    ],
    [Symbol.dispose]: () => removeIfThere(target),
  };
}

function coldScene(stage: Stage): Scene {
  const { dir, ids } = stage;
  const target = `${dir}/target.img`, basedir = `${dir}/vm0`, list = `${dir}/files`;
  runSync("cp", "-r", stage.basedir, basedir);
  const files = [...new Set(ids)].filter((id) => id !== null).map((id) => chunkFile(basedir, id));
  Deno.writeTextFileSync(list, files.join("\n"));
  const cold = { ...stage, basedir, native: compileNativeRestore(dir, { basedir, ids }) };
  return {
    title: "cold: store and target on the disk",
    // Reads the tool's executable again, which is no part of the store.
    before: `rm -f ${target}; ${DROP_CACHES}; cat ${stage.command[0]} >/dev/null`,
    contenders: [
      restoreBy(cold, target),
      ...nativeRestore(cold, target),
      {
        name: "dd oflag=direct beside cat of the store",
        script: `xargs cat <${list} >/dev/null & ${ddWrite(stage, target).script} && wait`,
        args: [],
      },
    ],
    [Symbol.dispose]: () => {
      removeIfThere(target);
      Deno.removeSync(basedir, { recursive: true });
    },
  };
}

function restoreBy(stage: Stage, target: string, ...options: string[]): Contender {
  return {
    name: ["backy-extract", ...options].join(" "),
    script: '"$@" >/dev/null',
    args: [
      ...stage.command,
      "-q",
      `--threads=${WORKERS}`,
      ...options,
      `${stage.basedir}/sample`,
      target,
    ],
  };
}

function nativeRestore(stage: Stage, target: string): Contender[] {
  return nativeContender(stage, (args) => ({
    name: "C: pwrite and fsync",
    script: '"$@"',
    args: args("restore", target),
  }));
}

function nativeContender(
  { native }: Stage,
  make: (args: Extract<NativeRestore, { problem: null }>["args"]) => Contender,
): Contender[] {
  return native.problem === null ? [make(native.args)] : [];
}

/** Writes as many bytes as the image has data. */
function ddWrite({ dataBytes }: Stage, target: string): Contender {
  const count = dataBytes / CHUNK_BYTES;
  return {
    name: "dd oflag=direct of as many bytes",
    script: `dd if=/dev/zero of=${target} bs=${CHUNK_BYTES} count=${count} oflag=direct ` +
      "conv=fsync,notrunc status=none",
    args: [],
  };
}

function ddRead(target: string): string {
  return `dd if=${target} of=/dev/null bs=${CHUNK_BYTES} iflag=direct status=none`;
}

/** Drops a file's pages from the page cache, see dd(1). */
function forget(path: string): string {
  return `dd if=${path} iflag=nocache count=0 status=none`;
}
