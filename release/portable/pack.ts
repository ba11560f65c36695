/**
 * Puts the stub (`stub/stub.c` says what it is for) into an executable of `deno compile`. A
 * portable executable also gets the dynamic loader and the libraries that it needs.
 *
 * A plain executable: the file as it was linked | the stub | what `deno compile` appended. The
 * program header of type PT_NOTE becomes the PT_LOAD of the stub, so that the table stays where it
 * is: kernels before 5.18 compute the address that ld.so is told (AT_PHDR) from its place in the
 * file. The notes themselves (the build id) stay in their sections, where debuggers find them.
 *
 * A portable executable: the file as it was linked | the stub and a table of program headers for
 * the kernel | the libraries | ld.so | what `deno compile` appended. The kernel's table names what
 * is to be mapped and no interpreter, so the file is static to whoever looks at it. The old table
 * stays where it is, for ld.so, which the stub points to it.
 *
 * In both, each part begins at a page, and only the header of the linked file changes: the entry,
 * and where the table is. What was appended stays last, as the runtime (Deno 2.6) looks for it from
 * the end of the file. `strip` and `patchelf` break such files, like any that `deno compile` made.
 * Source: elf(5).
 *
 * @module
 */

import { ROOT } from "../targets.ts";
import {
  type Elf,
  endAddressOf,
  loadsOf,
  offsetOf,
  PROGRAM_HEADER_BYTES,
  type ProgramHeader,
  ProgramHeaderType,
  readDynamicNames,
  readElf,
  renderHeader,
  roundUp,
  SegmentFlag,
} from "./elf.ts";

const { PT_LOAD, PT_NOTE, PT_PHDR, PT_INTERP, PT_GNU_STACK } = ProgramHeaderType;
const { PF_R, PF_W, PF_X } = SegmentFlag;

/** `struct config` of the stub, with which it begins, and the two entries behind it. */
const CONFIG = {
  entry: 0,
  name: 8,
  headers: 32,
  headerCount: 40,
  loader: 48,
  loaderEntry: 56,
  libraryCount: 64,
  libraries: 72,
  end: 648,
} as const;
const LIBRARY = { content: 0, bytes: 8, name: 16, end: 48 } as const;
const NAME_BYTES = 24;
const LIBRARY_NAME_BYTES = 32;
const MAX_LIBRARIES = (CONFIG.end - CONFIG.libraries) / LIBRARY.end;
/** Distances of the entries from the stub's beginning, see stub.ld. */
const ENTER = 704, START = 768;

/**
 * Libraries that the host preloads into every process may need a newer C library than the packed
 * one; then nothing would start. So ld.so is made to look for their list at a path of the same
 * length that never exists.
 */
const PRELOAD_LIST = { from: "/etc/ld.so.preload\0", to: "/proc/self/fd/none\0" };

/** A library that goes into a portable executable. */
export interface PackedLibrary {
  /** File name, for messages; ASCII, 31 bytes at most. */
  readonly name: string;
  /** The whole file. */
  readonly content: Uint8Array<ArrayBuffer>;
}

/** The stub, and the tool whose name its messages begin with. */
export interface StubOptions {
  /** The stub's bytes, for the machine of the executable. */
  readonly stub: Uint8Array<ArrayBuffer>;
  /** ASCII, 23 bytes at most. */
  readonly tool: string;
}

/** Reads the stub's bytes. @param machine "x86_64" or "aarch64". */
export function readStub(machine: string): Uint8Array<ArrayBuffer> {
  const text = Deno.readTextFileSync(`${ROOT}release/portable/stub/${machine}.hex`);
  return Uint8Array.fromHex(text.replaceAll("\n", ""));
}

/**
 * Makes a plain executable, which uses the loader and the C library of its host.
 *
 * @param executable What `deno compile` made; is not changed.
 * @throws {Error} If the file does not look like that.
 */
export function packPlain(
  executable: Uint8Array<ArrayBuffer>,
  options: StubOptions,
): Uint8Array<ArrayBuffer> {
  const elf = readRuntime(executable, options);
  const note = elf.headers.findLastIndex(({ type }) => type === PT_NOTE);
  if (note < elf.headers.findLastIndex(({ type }) => type === PT_LOAD)) {
    throw new Error(`Cannot pack "${options.tool}": it has no program header to spare`);
  }
  const image = new Image(elf);
  const stub = configuredStub(options);
  const place = image.add(stub);
  new DataView(stub.buffer).setBigInt64(CONFIG.entry, BigInt(elf.entry - place.address), true);
  const load = loadOf(place, PF_R | PF_X, elf.pageBytes);
  image.file.set(renderHeader(load), elf.headersOffset + PROGRAM_HEADER_BYTES * note);
  image.header.setBigUint64(24, BigInt(place.address + ENTER), true); // e_entry
  return image.render();
}

/**
 * Makes a portable executable.
 *
 * @param executable What `deno compile` made; is not changed.
 * @param options.loader ld.so, of the same glibc as the libraries.
 * @param options.libraries Everything but ld.so that the runtime and they need, and what `dlopen`
 *   must find without the host's libraries.
 * @throws {Error} If a file is not what it should be, or needs a library that is not given.
 */
export function packPortable(
  executable: Uint8Array<ArrayBuffer>,
  options: StubOptions & { loader: PackedLibrary; libraries: readonly PackedLibrary[] },
): Uint8Array<ArrayBuffer> {
  const { loader, libraries, tool } = options;
  const elf = readRuntime(executable, options);
  const loaderElf = readElf(withoutPreloadList(loader), loader.name);
  requireNeeded(elf, { tool, loader, libraries });
  const image = new Image(elf);

  const stub = configuredStub(options);
  const stubLoads = loadsOf(loaderElf).length + 2;
  const headerCount = 1 + loadsOf(elf).length + stubLoads + 1;
  const tableAt = roundUp(stub.length, 16);
  const code = new Uint8Array(tableAt + PROGRAM_HEADER_BYTES * headerCount);
  code.set(stub);
  const codePlace = image.add(code);
  const libraryPlaces = libraries.map(({ content }) => image.add(content));
  const loaderEnd = Math.max(...loadsOf(loaderElf).map((h) => h.offset + h.fileBytes));
  const align = Math.max(...loadsOf(loaderElf).map((h) => h.align));
  const loaderPlace = image.add(loaderElf.bytes.subarray(0, loaderEnd), {
    align,
    memoryBytes: endAddressOf(loaderElf),
  });

  const table: ProgramHeader[] = [
    {
      type: PT_PHDR,
      flags: PF_R,
      offset: codePlace.offset + tableAt,
      address: codePlace.address + tableAt,
      fileBytes: PROGRAM_HEADER_BYTES * headerCount,
      memoryBytes: PROGRAM_HEADER_BYTES * headerCount,
      align: 8,
    },
    ...loadsOf(elf),
    loadOf(codePlace, PF_R | PF_X, elf.pageBytes),
    loadOf(spanOf(libraryPlaces), PF_R, elf.pageBytes),
    ...loadsOf(loaderElf).map((h) => loadOfLoader(h, loaderPlace, elf.pageBytes)),
    ...elf.headers.filter(({ type }) => type === PT_GNU_STACK),
  ];
  if (table.length !== headerCount) {
    throw new Error(`Cannot pack "${tool}": its stack must be described once`);
  }
  for (const [index, header] of table.entries()) {
    code.set(renderHeader(header), tableAt + PROGRAM_HEADER_BYTES * index);
  }

  const view = new DataView(code.buffer);
  const distance = (at: number, address: number) =>
    view.setBigInt64(at, BigInt(address - codePlace.address), true);
  const ownTable = elf.headers.find(({ type }) => type === PT_PHDR);
  if (ownTable === undefined) throw new Error(`Cannot pack "${tool}": it does not map its headers`);
  distance(CONFIG.entry, elf.entry);
  distance(CONFIG.headers, ownTable.address);
  view.setBigUint64(CONFIG.headerCount, BigInt(elf.headers.length), true);
  distance(CONFIG.loader, loaderPlace.address);
  distance(CONFIG.loaderEntry, loaderPlace.address + loaderElf.entry);
  view.setBigUint64(CONFIG.libraryCount, BigInt(libraries.length), true);
  for (const [index, { name, content }] of libraries.entries()) {
    const at = CONFIG.libraries + LIBRARY.end * index;
    distance(at + LIBRARY.content, libraryPlaces[index]!.address);
    view.setBigUint64(at + LIBRARY.bytes, BigInt(content.length), true);
    code.set(nameBytes(name, LIBRARY_NAME_BYTES), at + LIBRARY.name);
  }

  image.header.setBigUint64(24, BigInt(codePlace.address + START), true); // e_entry
  image.header.setBigUint64(32, BigInt(codePlace.offset + tableAt), true); // e_phoff
  image.header.setUint16(56, headerCount, true); // e_phnum
  return image.render();
}

function readRuntime(executable: Uint8Array<ArrayBuffer>, { stub, tool }: StubOptions): Elf {
  const elf = readElf(executable, tool);
  const entry = offsetOf(elf, elf.entry);
  const isPacked = stub.subarray(ENTER, START).every((byte, i) => executable[entry + i] === byte);
  if (isPacked || !elf.headers.some(({ type }) => type === PT_INTERP)) {
    throw new Error(`Cannot pack "${tool}": it is static, or packed already`);
  }
  return elf;
}

/**
 * Requires that every needed library is there, with the versions of symbols that are needed of it:
 * the host's are never searched.
 */
function requireNeeded(
  runtime: Elf,
  { tool, loader, libraries }: {
    tool: string;
    loader: PackedLibrary;
    libraries: readonly PackedLibrary[];
  },
): void {
  if (libraries.length === 0 || libraries.length > MAX_LIBRARIES) {
    throw new Error(`Cannot pack "${tool}": ${libraries.length} libraries, not 1 to 12`);
  }
  const all = [...libraries, loader].map(({ name, content }) => {
    const elf = readElf(content, name);
    if (elf.machine !== runtime.machine) {
      throw new Error(`Cannot pack "${tool}": "${name}" is for another machine`);
    }
    return { name, names: readDynamicNames(elf) };
  });
  const known = new Map(all.map(({ names }) => [names.soname, new Set(names.versions)]));
  for (const { name, names } of [{ name: tool, names: readDynamicNames(runtime) }, ...all]) {
    const missing = [
      ...names.needed.filter((soname) => !known.has(soname)),
      ...names.neededVersions
        .filter(({ soname, version }) => !known.get(soname)?.has(version))
        .map(({ soname, version }) => `${version} of ${soname}`),
    ];
    if (missing.length > 0) {
      throw new Error(`Cannot pack "${tool}": "${name}" needs ${missing.join(", ")}`);
    }
  }
}

/** A part's place in file and memory, in bytes. */
interface Place {
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

/** A file to which parts are added behind what was linked. */
class Image {
  /** The linked file, a copy. */
  readonly file: Uint8Array<ArrayBuffer>;
  /** The file's header. */
  readonly header: DataView<ArrayBuffer>;
  readonly #elf: Elf;
  readonly #parts: { offset: number; content: Uint8Array }[] = [];
  #offset: number;
  #address: number;

  constructor(elf: Elf) {
    this.#elf = elf;
    this.file = elf.bytes.slice(0, elf.linkedBytes);
    this.header = new DataView(this.file.buffer, 0, 64);
    this.#offset = elf.linkedBytes;
    this.#address = endAddressOf(elf);
  }

  /** Adds a part at the next page; it may still be filled in until the file is rendered. */
  add(content: Uint8Array, options: { align?: number; memoryBytes?: number } = {}): Place {
    const align = Math.max(options.align ?? 1, this.#elf.pageBytes);
    const offset = roundUp(this.#offset, align);
    const address = roundUp(this.#address, align);
    this.#parts.push({ offset, content });
    this.#offset = offset + content.length;
    this.#address = address + (options.memoryBytes ?? content.length);
    return { offset, address, bytes: content.length };
  }

  /** The file with all parts, and what was appended at its end. */
  render(): Uint8Array<ArrayBuffer> {
    const { bytes, linkedBytes, pageBytes } = this.#elf;
    const tail = roundUp(this.#offset, pageBytes);
    const result = new Uint8Array(tail + bytes.length - linkedBytes);
    result.set(this.file);
    for (const { offset, content } of this.#parts) result.set(content, offset);
    result.set(bytes.subarray(linkedBytes), tail);
    return result;
  }
}

function spanOf(places: readonly Place[]): Place {
  const first = places[0]!, last = places.at(-1)!;
  return { ...first, bytes: last.offset + last.bytes - first.offset };
}

function loadOf({ offset, address, bytes }: Place, flags: number, align: number): ProgramHeader {
  return { type: PT_LOAD, flags, offset, address, fileBytes: bytes, memoryBytes: bytes, align };
}

/** ld.so allocates in the rest of its last page, which must be there however large pages are. */
function loadOfLoader(header: ProgramHeader, place: Place, pageBytes: number): ProgramHeader {
  const { offset, address, memoryBytes, flags } = header;
  const end = flags & PF_W ? roundUp(address + memoryBytes, pageBytes) : address + memoryBytes;
  return {
    ...header,
    offset: offset + place.offset,
    address: address + place.address,
    memoryBytes: end - address,
  };
}

function withoutPreloadList({ name, content }: PackedLibrary): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder();
  const from = encoder.encode(PRELOAD_LIST.from);
  const places: number[] = [];
  for (let at = content.indexOf(from[0]!); at >= 0; at = content.indexOf(from[0]!, at + 1)) {
    if (from.every((byte, i) => content[at + i] === byte)) places.push(at);
  }
  const [place] = places;
  if (place === undefined || places.length > 1) {
    throw new Error(`Cannot pack "${name}": it names its preload list ${places.length} times`);
  }
  const changed = content.slice();
  changed.set(encoder.encode(PRELOAD_LIST.to), place);
  return changed;
}

function configuredStub({ stub, tool }: StubOptions): Uint8Array<ArrayBuffer> {
  const configured = stub.slice();
  configured.set(nameBytes(tool, NAME_BYTES), CONFIG.name);
  return configured;
}

function nameBytes(name: string, room: number): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  // A zero must follow.
  if (bytes.length >= room) throw new Error(`Cannot pack "${name}": its name is too long`);
  return bytes;
}
