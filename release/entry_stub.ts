/**
 * Puts the entry stub into an executable: code that runs before the runtime does
 * (`entry_stub/entry_stub.c` says what for).
 *
 * The file as it was linked | zeros up to a page | the stub | zeros up to a page | what `deno
 * compile` appended, which the runtime looks for at the file's end. Of the rest two things change:
 * the entry in the file's header, and the program header of type PT_NOTE, which becomes the PT_LOAD
 * of the stub. Thus the table of program headers stays where it is: kernels before 5.18 compute the
 * address that ld.so is told (AT_PHDR) from its place in the file. The notes themselves (the build
 * id) stay in their sections, where debuggers find them. Source: elf(5).
 *
 * `strip` and `patchelf` break such a file, as they break any of `deno compile`: they drop or move
 * what is appended.
 *
 * @module
 */

import { ROOT } from "./targets.ts";

const ET_DYN = 3;
const PT_LOAD = 1, PT_INTERP = 3, PT_NOTE = 4;
const PF_R = 4, PF_X = 1;
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;
/** Largest page of the machines that a file is for: aarch64 has kernels with 64 KiB. */
const PAGE_BYTES: Readonly<Record<number, number>> = { 62: 0x1000, 183: 0x10000 };

/** `struct config` of the stub, with which it begins; its code follows. */
const CONFIG = { entry: 0, name: 8, bytes: 32 };

/** Reads the stub's bytes. @param machine "x86_64" or "aarch64". */
export function readEntryStub(machine: string): Uint8Array<ArrayBuffer> {
  const text = Deno.readTextFileSync(`${ROOT}release/entry_stub/${machine}.hex`);
  return Uint8Array.fromHex(text.replaceAll("\n", ""));
}

/**
 * Returns an executable with the stub in it.
 *
 * @param executable What `deno compile` made; is not changed.
 * @param options.stub The stub's bytes, for the same machine.
 * @param options.tool The tool's name for the stub's messages, ASCII, 23 bytes at most.
 * @throws {Error} If the file does not look like an executable of `deno compile`.
 */
export function insertEntryStub(
  executable: Uint8Array<ArrayBuffer>,
  options: { stub: Uint8Array<ArrayBuffer>; tool: string },
): Uint8Array<ArrayBuffer> {
  const elf = readElf(executable);
  const loads = elf.headers.filter(({ type }) => type === PT_LOAD);
  const notes = elf.headers.filter(({ type }) => type === PT_NOTE);
  const note = notes.at(-1);
  if (note === undefined || note.index < loads.at(-1)!.index) {
    throw new Error("Cannot insert the entry stub: there is no program header to use for it");
  }
  const offset = roundUp(elf.linkedBytes, elf.pageBytes);
  const address = roundUp(
    Math.max(...loads.map(({ address, memoryBytes }) => address + memoryBytes)),
    elf.pageBytes,
  );
  const stub = configured(options, elf.entry - address);
  const tailOffset = roundUp(offset + stub.length, elf.pageBytes);
  const result = new Uint8Array(tailOffset + executable.length - elf.linkedBytes);
  result.set(executable.subarray(0, elf.linkedBytes));
  result.set(stub, offset);
  result.set(executable.subarray(elf.linkedBytes), tailOffset);

  const view = new DataView(result.buffer);
  view.setBigUint64(24, BigInt(address + CONFIG.bytes), true); // e_entry
  view.setUint32(note.at, PT_LOAD, true);
  view.setUint32(note.at + 4, PF_R | PF_X, true);
  const sizes = [offset, address, address, stub.length, stub.length, elf.pageBytes];
  for (const [i, value] of sizes.entries()) {
    view.setBigUint64(note.at + 8 + 8 * i, BigInt(value), true);
  }
  return result;
}

interface ProgramHeader {
  readonly index: number;
  /** Where it stands in the file. */
  readonly at: number;
  readonly type: number;
  readonly address: number;
  readonly endOffset: number;
  readonly memoryBytes: number;
}

interface Elf {
  readonly entry: number;
  readonly pageBytes: number;
  readonly headers: readonly ProgramHeader[];
  /** Length of the file as it was linked: what is behind was appended. */
  readonly linkedBytes: number;
}

function readElf(bytes: Uint8Array<ArrayBuffer>): Elf {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const big = (at: number) => Number(view.getBigUint64(at, true));
  const is64BitPie = bytes.length > 64 && view.getUint32(0) === 0x7f454c46 &&
    view.getUint8(4) === 2 && view.getUint16(16, true) === ET_DYN;
  const pageBytes = is64BitPie ? PAGE_BYTES[view.getUint16(18, true)] : undefined;
  if (pageBytes === undefined) {
    throw new Error("Cannot insert the entry stub: not an executable for x86_64 or aarch64");
  }
  const headers = Array.from({ length: view.getUint16(56, true) }, (_, index) => {
    const at = big(32) + PROGRAM_HEADER_BYTES * index;
    return {
      index,
      at,
      type: view.getUint32(at, true),
      address: big(at + 16),
      endOffset: big(at + 8) + big(at + 32),
      memoryBytes: big(at + 40),
    };
  });
  if (!headers.some(({ type }) => type === PT_INTERP)) {
    throw new Error("Cannot insert the entry stub: the executable is static");
  }
  const sectionsEnd = big(40) + SECTION_HEADER_BYTES * view.getUint16(60, true);
  const linkedBytes = Math.max(sectionsEnd, ...headers.map(({ endOffset }) => endOffset));
  if (linkedBytes > bytes.length) {
    throw new Error("Cannot insert the entry stub: the executable is cut short");
  }
  return { entry: big(24), pageBytes, headers, linkedBytes };
}

/**
 * Fills in the stub's configuration. @param entry Distance from the stub to the runtime's entry.
 */
function configured(
  options: { stub: Uint8Array<ArrayBuffer>; tool: string },
  entry: number,
): Uint8Array<ArrayBuffer> {
  const stub = options.stub.slice();
  const name = new TextEncoder().encode(options.tool);
  // A zero must follow.
  if (CONFIG.name + name.length >= CONFIG.bytes) {
    throw new Error(`Cannot insert the entry stub: the name is too long: ${options.tool}`);
  }
  new DataView(stub.buffer).setBigInt64(CONFIG.entry, BigInt(entry), true);
  stub.set(name, CONFIG.name);
  return stub;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
