/**
 * Prints `packaging/release.json`, by which `flake.nix` finds the archives of a release.
 *
 *     nix_release.ts URL ARCHIVE...
 *
 * URL is the folder that the archives are downloaded from.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { print, runMain, sha256Of } from "./program.ts";
import { TARGETS } from "./targets.ts";

/** Renders the file. @throws {Error} If an archive is not named as `dist.ts` names them. */
export function renderNixRelease(url: string, archives: readonly string[]): string {
  const names = [...TARGETS.values()].map(({ name }) => name);
  const entries = archives.map((path) => {
    const file = path.replace(/.*\//, "");
    const machine = names.find((name) => file === `backy-extract-${config.version}-${name}.tar.gz`);
    if (machine === undefined) throw new Error(`Cannot use "${path}": not this version's archive`);
    const sha256 = sha256Of(Deno.readFileSync(path));
    return [machine, { url: `${url.replace(/\/$/, "")}/${file}`, sha256 }] as const;
  });
  const release = { version: config.version, archives: Object.fromEntries(entries) };
  return JSON.stringify(release, null, 2);
}

if (import.meta.main) {
  await runMain(() => {
    const [url, ...archives] = Deno.args;
    if (url === undefined || archives.length === 0) {
      throw new Error("Usage: nix_release.ts URL ARCHIVE...");
    }
    print(renderNixRelease(url, archives));
  });
}
