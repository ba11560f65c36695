/**
 * What the types in partition tables are called. Pure.
 *
 * The names are those of sfdisk (`--list-types`); a test compares them. Rare types have none.
 *
 * @module
 */

/** Names of the types in an MBR, by the hex digits that sfdisk writes. */
const MBR_TYPES: Readonly<Record<string, string>> = {
  "1": "FAT12",
  "4": "FAT16 <32M",
  "5": "Extended",
  "6": "FAT16",
  "7": "HPFS/NTFS/exFAT",
  "b": "W95 FAT32",
  "c": "W95 FAT32 (LBA)",
  "e": "W95 FAT16 (LBA)",
  "f": "W95 Ext'd (LBA)",
  "27": "Hidden NTFS WinRE",
  "41": "PPC PReP Boot",
  "82": "Linux swap / Solaris",
  "83": "Linux",
  "85": "Linux extended",
  "8e": "Linux LVM",
  "a5": "FreeBSD",
  "a6": "OpenBSD",
  "a9": "NetBSD",
  "bf": "Solaris",
  "ea": "Linux extended boot",
  "ee": "GPT",
  "ef": "EFI (FAT-12/16/32)",
  "fb": "VMware VMFS",
  "fd": "Linux raid autodetect",
};

/** Names of the types in a GPT, by GUID in capitals. */
const GPT_TYPES: Readonly<Record<string, string>> = {
  "C12A7328-F81F-11D2-BA4B-00A0C93EC93B": "EFI System",
  "21686148-6449-6E6F-744E-656564454649": "BIOS boot",
  "9E1A2D38-C612-4316-AA26-8B49521E5A8B": "PowerPC PReP boot",
  "0FC63DAF-8483-4772-8E79-3D69D8477DE4": "Linux filesystem",
  "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "Linux swap",
  "E6D6D379-F507-44C2-A23C-238F2A3DF928": "Linux LVM",
  "A19D880F-05FC-4D3B-A006-743F0F84911E": "Linux RAID",
  "BC13C2FF-59E6-4262-A352-B275FD6F7172": "Linux extended boot",
  "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709": "Linux root (x86-64)",
  "44479540-F297-41B2-9AF7-D131D5F0458A": "Linux root (x86)",
  "B921B045-1DF0-41C3-AF44-4C6F280D3FAE": "Linux root (ARM-64)",
  "933AC7E1-2EB4-4F13-B844-0E14E2AEF915": "Linux home",
  "3B8F8425-20E0-4F3B-907F-1A25A76F98E8": "Linux server data",
  "4D21B016-B534-45C2-A9FB-5C16E091FD2D": "Linux variable data",
  "8DA63339-0007-60C0-C436-083AC8230908": "Linux reserved",
  "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "Microsoft basic data",
  "E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Microsoft reserved",
  "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC": "Windows recovery environment",
  "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3": "Microsoft LDM metadata",
  "AF9B60A0-1431-4F62-BC68-3311714A69AD": "Microsoft LDM data",
  "83BD6B9D-7F41-11DC-BE0B-001560B84F0F": "FreeBSD boot",
  "516E7CB5-6ECF-11D6-8FF8-00022D09712B": "FreeBSD swap",
  "516E7CB6-6ECF-11D6-8FF8-00022D09712B": "FreeBSD UFS",
  "516E7CBA-6ECF-11D6-8FF8-00022D09712B": "FreeBSD ZFS",
};

/**
 * Names the type of a partition.
 *
 * @param type As `Partition.type` has it.
 * @returns `null` if it is a rare one.
 */
export function partitionTypeName(type: string): string | null {
  if (Object.hasOwn(MBR_TYPES, type)) return MBR_TYPES[type]!;
  return Object.hasOwn(GPT_TYPES, type) ? GPT_TYPES[type]! : null;
}

/** All types with a name, of a kind of table. */
export function namedTypes(kind: "mbr" | "gpt"): readonly (readonly [string, string])[] {
  return Object.entries(kind === "mbr" ? MBR_TYPES : GPT_TYPES);
}
