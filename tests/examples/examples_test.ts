/** The programs in `examples/` run as they say. */

import { assertEquals, assertMatch } from "../assert.ts";
import { fuseTest } from "../cli/fuse_harness.ts";
import { SampleStore } from "../cli/sample_store.ts";
import { assertBytes } from "../support/bytes.ts";
import { sampleBytes } from "../support/store_builder.ts";

const decoder = new TextDecoder();

const ENV = { NO_COLOR: "1" };

function argumentsFor(name: string, args: readonly string[]): string[] {
  const path = new URL(`../../examples/${name}`, import.meta.url).pathname;
  return ["run", "-A", "--no-config", "--no-lock", path, ...args];
}

async function runExample(
  name: string,
  ...args: string[]
): Promise<{ code: number; output: Uint8Array; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: argumentsFor(name, args),
    env: ENV,
  }).output();
  return { code, output: stdout, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** An example that runs until it gets SIGINT. */
class RunningExample implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  constructor(name: string, ...args: string[]) {
    // What it prints on either output.
    const both = ["-c", 'exec "$@" 2>&1', "sh", Deno.execPath(), ...argumentsFor(name, args)];
    this.#process = new Deno.Command("sh", { args: both, env: ENV, stdout: "piped" }).spawn();
  }

  /** Waits for what matches, on either output. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    let text = "";
    for await (const part of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      text += part;
      const found = pattern.exec(text);
      if (found) return found;
    }
    throw new Error(`The example ended: ${text}`);
  }

  /** Ends it as Ctrl-C does, and returns its exit code. */
  async end(): Promise<number> {
    this.#process.kill("SIGINT");
    return (await this.#process.status).code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#process.status;
  }
}

Deno.test("examples/restore.ts restores a revision, and says what is wrong with one", async () => {
  using store = new SampleStore();
  const output = store.file("image");
  const good = await runExample("restore.ts", store.revision.path, output);
  assertEquals([good.code, good.stdout], [0, `restored ${store.image.length} bytes\n`]);
  assertBytes(Deno.readFileSync(output), store.image);

  const refused = await runExample("restore.ts", store.revision.path, store.basedir);
  assertEquals(refused.code, 1);
  assertMatch(
    refused.stderr,
    /^the target failed or was refused: Cannot restore to .*directory\n$/,
  );
});

Deno.test("examples/newest.ts names the newest revision of each machine", async () => {
  using store = new SampleStore();
  const folder = store.basedir.slice(0, store.basedir.lastIndexOf("/"));
  const { code, stdout } = await runExample("newest.ts", folder);
  assertEquals(code, 0);
  assertMatch(stdout, /^vm0: SampleRevision, \d+ hours old\n$/);
});

Deno.test("examples/read_range.ts writes bytes of an image", async () => {
  using store = new SampleStore();
  const { code, output } = await runExample("read_range.ts", store.basedir, "last", "4194300", "9");
  assertEquals(code, 0);
  assertBytes(output, store.image.subarray(4194300, 4194309));
});

Deno.test("examples/serve.ts serves ranges of an image over HTTP until Ctrl-C", async () => {
  using store = new SampleStore();
  await using example = new RunningExample("serve.ts", store.basedir, "last", "0");
  const [url] = await example.line(/http:\/\/127\.0\.0\.1:\d+\//);
  const get = async (range: string | null, method = "GET") => {
    const response = await fetch(url, { method, headers: range === null ? {} : { range } });
    const bytes = new Uint8Array(await response.arrayBuffer());
    const { status, headers } = response;
    return { status, bytes, range: headers.get("content-range"), headers };
  };
  const size = store.image.length;
  const part = await get("bytes=4194300-4194308");
  assertEquals([part.status, part.range], [206, `bytes 4194300-4194308/${size}`]);
  assertBytes(part.bytes, store.image.subarray(4194300, 4194309));
  const end = await get(`bytes=${size - 10}-`);
  assertBytes(end.bytes, store.image.subarray(size - 10));
  const whole = await get(null);
  assertEquals(whole.status, 200);
  assertBytes(whole.bytes, store.image);
  assertEquals((await get(`bytes=${size}-`)).status, 416);
  const head = await get(null, "HEAD");
  assertEquals([head.headers.get("content-length"), head.bytes.length], [String(size), 0]);
  assertEquals(await example.end(), 0);
});

fuseTest("examples/mount.ts mounts a backup until Ctrl-C", async (site) => {
  const { image } = site.add("rev", [sampleBytes(1), "absent"]);
  const mountpoint = site.folder();
  await using example = new RunningExample("mount.ts", site.basedir, mountpoint);
  await example.line(/^1 revisions at /m);
  assertBytes(await Deno.readFile(`${mountpoint}/rev`), image);
  assertEquals(await example.end(), 0);
  assertEquals([...Deno.readDirSync(mountpoint)], []);
});
