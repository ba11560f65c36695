/**
 * Executables of a hundred bytes that stand for those of a release, and archives of them.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };
import { LIBRARY_LIST } from "../../release/portable/libraries.ts";
import { TARGETS } from "../../release/targets.ts";
import { assert } from "../assert.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The machine of archives unless a test says otherwise; only its stand-ins can be run. */
export const X86_64 = "x86_64-unknown-linux-gnu";

/** Name of its archive, and of the folder in that. */
export const ARCHIVE = `backy-extract-${config.version}-x86_64-linux`;

/** How to make an executable. */
export interface StandInOptions {
  readonly target?: string;
  /** Whether it names a loader, as those that are not portable do. */
  readonly isPlain?: boolean;
}

/**
 * Renders a position-independent executable for x86_64 that prints a line; for other machines, one
 * that cannot be run. Source: elf(5), and the processor's manual.
 */
export function renderStandIn(line: string, options: StandInOptions = {}): Uint8Array<ArrayBuffer> {
  const { target = X86_64, isPlain = false } = options;
  const text = new TextEncoder().encode(`${line}\n`);
  const headers = isPlain ? 2 : 1;
  const start = 64 + 56 * headers;
  // deno-fmt-ignore
  const code = [
    0x48, 0x8d, 0x35, 26, 0, 0, 0, // lea rsi, [rip + 26]: the text, behind the code
    0xbf, 1, 0, 0, 0,              // mov edi, 1
    0xba, text.length, 0, 0, 0,    // mov edx, length
    0xb8, 1, 0, 0, 0,              // mov eax, 1 (write)
    0x0f, 0x05,                    // syscall
    0x31, 0xff,                    // xor edi, edi
    0xb8, 60, 0, 0, 0,             // mov eax, 60 (exit)
    0x0f, 0x05,                    // syscall
  ];
  const bytes = new Uint8Array(start + code.length + text.length);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  bytes.set([...code, ...text], start);
  const view = new DataView(bytes.buffer);
  view.setUint16(16, 3, true); // e_type: ET_DYN
  view.setUint16(18, TARGETS.get(target)!.elfMachine, true);
  view.setUint32(20, 1, true); // e_version
  view.setBigUint64(24, BigInt(start), true); // e_entry
  view.setBigUint64(32, 64n, true); // e_phoff
  view.setUint16(52, 64, true); // e_ehsize
  view.setUint16(54, 56, true); // e_phentsize
  view.setUint16(56, headers, true); // e_phnum
  view.setUint32(64, 1, true); // p_type: PT_LOAD
  view.setUint32(68, 5, true); // p_flags: read, execute
  view.setBigUint64(96, BigInt(bytes.length), true); // p_filesz
  view.setBigUint64(104, BigInt(bytes.length), true); // p_memsz
  view.setBigUint64(112, 4096n, true); // p_align
  if (isPlain) view.setUint32(120, 3, true); // p_type: PT_INTERP
  return bytes;
}

/** Fills a folder as `build.ts` does. @param folder Is made. */
export function makeStandIns(folder: string, options: StandInOptions = {}): string {
  Deno.mkdirSync(`${folder}/licenses`, { recursive: true });
  for (const tool of ["backy-extract", "backy-fuse"]) {
    Deno.writeFileSync(`${folder}/${tool}`, renderStandIn(tool, options), { mode: 0o755 });
  }
  Deno.writeTextFileSync(`${folder}/licenses/yaml.txt`, "ISC\n");
  if (!options.isPlain) Deno.writeTextFileSync(`${folder}/licenses/${LIBRARY_LIST}`, "file x y\n");
  return folder;
}

/** Runs dist.ts. @returns What it printed to standard error; "" where it succeeded. */
export function tryPack(
  binaries: string,
  output: string,
  options: { target?: string; time?: string; args?: readonly string[] } = {},
): string {
  const { success, stderr } = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", `${ROOT}release/dist.ts`, "--target", options.target ?? X86_64],
      ...["--binaries", binaries, "--output", output, ...options.args ?? []],
    ],
    env: { SOURCE_DATE_EPOCH: options.time ?? "1700000000" },
  }).outputSync();
  const said = new TextDecoder().decode(stderr);
  assert(success || said !== "");
  return success ? "" : said;
}

/** Packs a release. @returns The archive's path. @throws {Error} If dist.ts fails. */
export function pack(binaries: string, output: string): string {
  const said = tryPack(binaries, output);
  assert(said === "", said);
  return `${output}/${ARCHIVE}.tar.gz`;
}
