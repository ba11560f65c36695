/**
 * The parts of ELF files that packing needs. Source: elf(5).
 *
 * @module
 */

/** Numbers of elf.h that are used. */
export const ProgramHeaderType = {
  PT_LOAD: 1,
  PT_DYNAMIC: 2,
  PT_INTERP: 3,
  PT_NOTE: 4,
  PT_PHDR: 6,
  PT_GNU_STACK: 0x6474_e551,
} as const;

/** Flags of a segment. */
export const SegmentFlag = { PF_X: 1, PF_W: 2, PF_R: 4 } as const;

/** Bytes of a program header. */
export const PROGRAM_HEADER_BYTES = 56;

const ET_DYN = 3;
const SECTION_HEADER_BYTES = 64;
const DT_NULL = 0, DT_NEEDED = 1, DT_STRTAB = 5, DT_SONAME = 14;
const DT_VERDEF = 0x6fff_fffc, DT_VERNEED = 0x6fff_fffe;
/** A version that is not required. */
const VER_FLG_WEAK = 2;

/** Largest page size of a machine (by `e_machine`): aarch64 has kernels with 64 KiB. */
const PAGE_BYTES: Readonly<Record<number, number>> = { 62: 0x1000, 183: 0x1_0000 };

/** One segment of a file. All numbers are bytes. */
export interface ProgramHeader {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly align: number;
}

/** The header of a file. */
export interface Elf {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly machine: number;
  /** Largest page size of its machine. */
  readonly pageBytes: number;
  /** Address of the first instruction. */
  readonly entry: number;
  readonly headers: readonly ProgramHeader[];
  /** Where the program headers are in the file. */
  readonly headersOffset: number;
  /** Length of the file as it was linked; the rest was appended. */
  readonly linkedBytes: number;
}

/**
 * Reads a file.
 *
 * @param bytes The whole file; kept, not copied.
 * @param name For messages.
 * @throws {Error} If it is not a position-independent executable or library for x86_64 or aarch64.
 */
export function readElf(bytes: Uint8Array<ArrayBuffer>, name: string): Elf {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const big = (at: number) => Number(view.getBigUint64(at, true));
  const is64BitPie = bytes.length > 64 && view.getUint32(0) === 0x7f45_4c46 &&
    view.getUint8(4) === 2 && view.getUint16(16, true) === ET_DYN;
  const machine = is64BitPie ? view.getUint16(18, true) : 0;
  const pageBytes = PAGE_BYTES[machine];
  if (pageBytes === undefined) {
    throw new Error(
      `Cannot pack "${name}": not a position-independent executable for x86_64 or aarch64`,
    );
  }
  const headersOffset = big(32);
  const headers = Array.from({ length: view.getUint16(56, true) }, (_, index) => {
    const at = headersOffset + PROGRAM_HEADER_BYTES * index;
    return {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: big(at + 8),
      address: big(at + 16),
      fileBytes: big(at + 32),
      memoryBytes: big(at + 40),
      align: big(at + 48),
    };
  });
  const sectionsEnd = big(40) + SECTION_HEADER_BYTES * view.getUint16(60, true);
  const linkedBytes = Math.max(sectionsEnd, ...headers.map((h) => h.offset + h.fileBytes));
  if (linkedBytes > bytes.length) throw new Error(`Cannot pack "${name}": it is cut short`);
  return { bytes, machine, pageBytes, entry: big(24), headers, headersOffset, linkedBytes };
}

/** The segments that are mapped. */
export function loadsOf(elf: Elf): readonly ProgramHeader[] {
  return elf.headers.filter(({ type }) => type === ProgramHeaderType.PT_LOAD);
}

/** Address behind the last byte that is mapped. */
export function endAddressOf(elf: Elf): number {
  return Math.max(...loadsOf(elf).map(({ address, memoryBytes }) => address + memoryBytes));
}

/** A program header as bytes of a file. */
export function renderHeader(header: ProgramHeader): Uint8Array<ArrayBuffer> {
  const { type, flags, offset, address, fileBytes, memoryBytes, align } = header;
  const view = new DataView(new ArrayBuffer(PROGRAM_HEADER_BYTES));
  view.setUint32(0, type, true);
  view.setUint32(4, flags, true);
  // The physical address is that in memory.
  for (const [i, value] of [offset, address, address, fileBytes, memoryBytes, align].entries()) {
    view.setBigUint64(8 + 8 * i, BigInt(value), true);
  }
  return new Uint8Array(view.buffer);
}

/** What a file tells the dynamic loader. */
export interface DynamicNames {
  /** Its own name (DT_SONAME); `null` for most executables. */
  readonly soname: string | null;
  /** The libraries that it needs (DT_NEEDED). */
  readonly needed: readonly string[];
  /** The versions of symbols that it needs of a library, such as GLIBC_2.17. */
  readonly neededVersions: readonly { readonly soname: string; readonly version: string }[];
  /** The versions of its own symbols. */
  readonly versions: readonly string[];
}

/** Reads what a file needs of libraries, and what it offers as a library. */
export function readDynamicNames(elf: Elf): DynamicNames {
  const dynamic = elf.headers.find(({ type }) => type === ProgramHeaderType.PT_DYNAMIC);
  if (dynamic === undefined) return { soname: null, needed: [], neededVersions: [], versions: [] };
  const view = new DataView(elf.bytes.buffer, elf.bytes.byteOffset, elf.bytes.byteLength);
  const entries: { tag: number; value: number }[] = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.fileBytes; at += 16) {
    const tag = Number(view.getBigInt64(at, true));
    if (tag === DT_NULL) break;
    entries.push({ tag, value: Number(view.getBigUint64(at + 8, true)) });
  }
  const valuesOf = (wanted: number) =>
    entries.filter(({ tag }) => tag === wanted).map(({ value }) => value);
  const [table = 0] = valuesOf(DT_STRTAB);
  const textAt = (offset: number) => {
    const start = offsetOf(elf, table) + offset;
    return new TextDecoder().decode(elf.bytes.subarray(start, elf.bytes.indexOf(0, start)));
  };
  const word = (at: number) => view.getUint32(at, true);
  const [soname] = valuesOf(DT_SONAME);

  // Lists whose items name their own lists, by distances from the item. Source: the generic ABI's
  // supplement on symbol versioning (Elf64_Verneed, _Vernaux, _Verdef, _Verdaux in elf.h).
  const neededVersions = valuesOf(DT_VERNEED).flatMap((address) =>
    listAt(offsetOf(elf, address), (need) => word(need + 12)).flatMap((need) =>
      listAt(need + word(need + 8), (version) => word(version + 12))
        .filter((version) => (view.getUint16(version + 4, true) & VER_FLG_WEAK) === 0)
        .map((version) => ({
          soname: textAt(word(need + 4)),
          version: textAt(word(version + 8)),
        }))
    )
  );
  const versions = valuesOf(DT_VERDEF).flatMap((address) =>
    listAt(offsetOf(elf, address), (definition) => word(definition + 16))
      .map((definition) => textAt(word(definition + word(definition + 12))))
  );
  return {
    soname: soname === undefined ? null : textAt(soname),
    needed: valuesOf(DT_NEEDED).map(textAt),
    neededVersions,
    versions,
  };
}

/**
 * Offsets of the items of a list.
 *
 * @param distanceOfNext Gives the bytes from an item to the next; 0 for the last.
 */
function listAt(first: number, distanceOfNext: (at: number) => number): number[] {
  const items: number[] = [];
  for (let at = first, distance = -1; distance !== 0; at += distance) {
    items.push(at);
    distance = distanceOfNext(at);
  }
  return items;
}

/** Where in the file an address is. @throws {Error} If no segment holds it. */
export function offsetOf(elf: Elf, address: number): number {
  const load = loadsOf(elf).find((h) => address >= h.address && address < h.address + h.fileBytes);
  if (load === undefined) throw new Error(`No segment holds address ${address}`);
  return load.offset + address - load.address;
}

/** Rounds up to a multiple. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
