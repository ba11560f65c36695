/**
 * Packs the sources of the libraries in portable executables, to be offered beside the archives of
 * a release, as the licenses of the libraries ask.
 *
 *     sources.ts [--output FOLDER] LIST...
 *
 * A LIST is a `packed-libraries.txt`, which `build.ts` writes into `licenses/` beside the
 * executables. Makes `backy-extract-VERSION-library-sources.tar` of Debian's source packages, about
 * 115 MB, and its checksum.
 *
 * @module
 */

import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { downloadSources } from "./portable/debian.ts";
import { sourcesIn } from "./portable/libraries.ts";
import { print, runMain, sha256Of } from "./program.ts";
import { renderTar, type TarEntry } from "./tar.ts";

/** Downloads and packs sources. @returns The archive's path. */
export async function packSources(lists: readonly string[], output: string): Promise<string> {
  const name = `backy-extract-${config.version}-library-sources`;
  const archive = `${output}/${name}.tar`;
  const folder = Deno.makeTempDirSync({ prefix: "backy_extract_sources_" });
  try {
    const packages = sourcesIn(lists.map((path) => Deno.readTextFileSync(path)).join("\n"));
    if (packages.length === 0) throw new Error(`There are no packages in ${lists.join(", ")}`);
    for (const { name, version } of packages) print(`source: ${name} ${version}`);
    downloadSources(packages, folder);
    const entries = Array.from(Deno.readDirSync(folder), (file): TarEntry => ({
      name: `${name}/${file.name}`,
      mode: 0o644,
      content: Deno.readFileSync(`${folder}/${file.name}`),
    }));
    Deno.mkdirSync(output, { recursive: true });
    using file = await Deno.open(archive, { write: true, create: true, truncate: true });
    await ReadableStream.from(renderTar(entries, 0)).pipeTo(file.writable);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  const sum = sha256Of(Deno.readFileSync(archive));
  Deno.writeTextFileSync(`${archive}.sha256`, `${sum}  ${name}.tar\n`);
  print(`${archive}: ${Deno.statSync(archive).size} bytes, SHA-256 ${sum}`);
  return archive;
}

if (import.meta.main) {
  await runMain(async () => {
    const { values, positionals } = parseArgs({
      options: { output: { type: "string", default: "dist" } },
      allowPositionals: true,
    });
    await packSources(positionals, values.output);
  });
}
