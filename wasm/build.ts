/**
 * Compiles `wasm/assembly` to `wasm/build/codec.wasm` unless that is newer than all sources.
 *
 * The compiler is loaded only if there is something to compile. It is named here and pinned in
 * `wasm/deno.lock`, separate from everything else: `deno compile` puts all packages of its lock
 * file into an executable, and this one has 100 MB.
 *
 * @module
 */

const here = new URL("./", import.meta.url);
const output = new URL("build/codec.wasm", here);

/** Returns the newest modification time of the sources in milliseconds. */
function newestSourceMs(): number {
  const sources = [...Deno.readDirSync(new URL("assembly/", here))]
    .map((entry) => new URL(`assembly/${entry.name}`, here));
  sources.push(new URL("asconfig.json", here), new URL("build.ts", here));
  return Math.max(...sources.map((url) => Deno.statSync(url).mtime?.getTime() ?? Infinity));
}

function outputMs(): number {
  try {
    return Deno.statSync(output).mtime?.getTime() ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

async function compile(): Promise<void> {
  const { main } = await import("npm:assemblyscript@0.28.20/asc");
  Deno.mkdirSync(new URL("build/", here), { recursive: true });
  const config = new URL("asconfig.json", here).pathname;
  const { error, stdout, stderr } = await main(["--config", config, "--target", "release"]);
  // Compiler warnings are errors: they report conversions that may be unintended.
  const text = `${stdout.toString()}${stderr.toString()}`;
  if (error || text !== "") {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
    throw new Error("Cannot compile wasm/assembly: see above", { cause: error });
  }
}

if (outputMs() <= newestSourceMs()) await compile();
