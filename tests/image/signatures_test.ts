import { findSignature, SIGNATURE_BYTES } from "../../lib/image/signatures.ts";
import { assertEquals } from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

const MIB = 1_048_576;

/** Reads the bytes that {@linkcode findSignature} looks at. */
function readStart(path: string, offset = 0): Uint8Array {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(SIGNATURE_BYTES);
  return bytes.subarray(0, file.readSync(bytes) ?? 0);
}

/**
 * The command that formats a file, its size in MiB, the expected name, and where copies of the
 * superblock are.
 */
const MADE: readonly [
  command: readonly string[],
  mib: number,
  name: string,
  copies: readonly number[],
][] = [
  [["mkfs.ext4", "-q", "-F", "-b", "1024"], 64, "ext file system", [8 * MIB, 24 * MIB, 56 * MIB]],
  [["mkfs.ext4", "-q", "-F", "-b", "4096"], 64, "ext file system", []],
  [["mkfs.ext2", "-q", "-F", "-r", "0"], 8, "ext file system", []],
  [["mkfs.xfs", "-q"], 320, "XFS file system", [80 * MIB, 160 * MIB]],
  [["mkfs.btrfs", "-q"], 200, "btrfs file system", [64 * MIB - 65_536]],
  [["mkfs.exfat"], 8, "exFAT file system", []],
  [["mkfs.vfat", "-F", "16"], 32, "FAT file system", []],
  [["mkfs.vfat", "-F", "32"], 64, "FAT file system", []],
  [["mkswap"], 8, "swap space", []],
  [["mkswap", "-p", "65536"], 8, "swap space", []],
];

for (const [command, mib, name, copies] of MADE) {
  const problem = command.map((word, i) => i === 0 ? programProblem(word) : null)[0] ?? null;
  testUnless(problem, `findSignature() knows what "${command.join(" ")}" makes`, () => {
    using scratch = new Scratch();
    const path = scratch.file("volume", "");
    Deno.truncateSync(path, mib * MIB);
    runSync(...command as [string, ...string[]], path);
    assertEquals(findSignature(readStart(path)), name);
    for (const at of copies) assertEquals(findSignature(readStart(path, at)), null, `at ${at}`);
    assertEquals(findSignature(readStart(path, 512)), null);
  });
}

Deno.test("findSignature() knows the rest by their marks, whole and in place only", () => {
  const text = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
  const boot: [number, Uint8Array] = [510, Uint8Array.of(0x55, 0xaa)];
  const cases: [name: string, ...pieces: [number, Uint8Array][]][] = [
    ["NTFS file system", [3, text("NTFS    ")], boot],
    ["FAT file system", [54, text("FAT12   ")], boot],
    ["BitLocker volume", [3, text("-FVE-FS-")], boot],
    ["LUKS volume", [0, text("LUKS\xba\xbe")]],
    ["LVM physical volume", [512, text("LABELONE")]],
    ["RAID member", [4096, Uint8Array.of(0xfc, 0x4e, 0x2b, 0xa9)]],
    ["ISO 9660 file system", [0x8001, text("CD001")]],
  ];
  for (const [name, ...pieces] of cases) {
    const bytes = new Uint8Array(SIGNATURE_BYTES);
    for (const [at, piece] of pieces) bytes.set(piece, at);
    assertEquals(findSignature(bytes), name);
    const [[first, piece]] = pieces as [[number, Uint8Array]];
    assertEquals(findSignature(bytes.subarray(0, first + piece.length - 1)), null, name);
    bytes[first + 1]! ^= 1;
    assertEquals(findSignature(bytes), null, name);
  }
  assertEquals(findSignature(new Uint8Array(0)), null);
  assertEquals(findSignature(new Uint8Array(SIGNATURE_BYTES)), null);
  // A boot sector without its end mark, and two bytes that are those of an ext superblock by
  // chance.
  const chance = new Uint8Array(SIGNATURE_BYTES);
  chance.set(text("NTFS    "), 3);
  chance.set([0x53, 0xef], 0x438);
  assertEquals(findSignature(chance), null);
});
