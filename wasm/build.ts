/**
 * Compiles `wasm/assembly` to `wasm/build/codec.wasm`, unless that is newer than every source.
 *
 * The compiler is loaded only when there is something to compile. It is named here and locked in
 * `wasm/deno.lock`, apart from all else: `deno compile` puts every package of its lock file into an
 * executable, and this one has 100 MB.
 *
 * @module
 */

const here = new URL("./", import.meta.url);
const output = new URL("build/codec.wasm", here);

/** Newest modification time among what the module is made from, in milliseconds. */
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
  // A warning of the compiler is a conversion nobody has thought about: not accepted.
  const text = `${stdout.toString()}${stderr.toString()}`;
  if (error || text !== "") {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
    throw new Error("Cannot compile wasm/assembly: see above", { cause: error });
  }
}

if (outputMs() <= newestSourceMs()) await compile();
