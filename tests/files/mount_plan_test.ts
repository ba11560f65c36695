import { adviseOnCutPartition, planMount } from "../../lib/files/mount_plan.ts";
import type { VolumeContent, VolumeKind } from "../../lib/image/volume_content.ts";
import { assert, assertEquals, assertStringIncludes } from "../assert.ts";

const FILE = "/run/backy-fuse-1/image/Rev two.parts/3";
const QUOTED = `'${FILE}'`;

function plan(kind: VolumeKind, more: Partial<VolumeContent> = {}) {
  return planMount({ kind, version: "", label: "", uuid: "", ...more }, FILE);
}

Deno.test("planMount() mounts file systems with what their kind needs", () => {
  const ways = (kind: VolumeKind) => {
    const found = plan(kind);
    assert(found.isFileSystem, kind);
    return found.ways;
  };
  for (const kind of ["ext2", "ext3", "ext4"] as const) {
    assertEquals(ways(kind), [{ by: "kernel", type: "ext4", data: "errors=remount-ro" }]);
  }
  assertEquals(ways("xfs"), [{ by: "kernel", type: "xfs", data: "nouuid" }]);
  assertEquals(ways("btrfs"), [{ by: "kernel", type: "btrfs", data: "subvolid=5" }]);
  assertEquals(ways("vfat"), [{ by: "kernel", type: "vfat", data: "" }]);
  assertEquals(ways("ntfs"), [
    { by: "kernel", type: "ntfs3", data: "" },
    { by: "program", program: "ntfs-3g" },
  ]);
});

Deno.test("planMount() says what else to try, with the volume's file as a shell takes it", () => {
  for (const kind of ["ext4", "xfs", "btrfs", "vfat", "ntfs"] as const) {
    const found = plan(kind);
    assert(found.isFileSystem);
    assertStringIncludes(found.repair, QUOTED);
    assert(found.instead !== "", kind);
  }
});

Deno.test("adviseOnCutPartition() names the range, and a copy that overwrites nothing else", () => {
  assertEquals(
    adviseOnCutPartition("/run/x/image/Rev two", { offset: 1024, length: 4096 }),
    "where there is room, with zeros for what is missing, " +
      "cp --sparse=always '/run/x/image/Rev two' 'copy-of-Rev two' && " +
      "truncate -s 5120 'copy-of-Rev two' && " +
      "mount -o loop,offset=1024,sizelimit=4096 'copy-of-Rev two' /mnt",
  );
});

Deno.test("planMount() names what is no file system, and the next command", () => {
  const next = (kind: VolumeKind, more: Partial<VolumeContent> = {}) => {
    const found = plan(kind, more);
    assert(!found.isFileSystem, kind);
    return found.next;
  };
  assertStringIncludes(next("crypto_LUKS"), `cryptsetup open --type luks ${QUOTED} NAME; mount`);
  assertStringIncludes(next("BitLocker"), `cryptsetup open --type bitlk ${QUOTED} NAME; mount`);
  assertStringIncludes(next("LVM2_member", { label: "vg0" }), "vgchange -ay vg0; lvs; ");
  assertStringIncludes(next("LVM2_member"), "vgchange -ay GROUP; ");
  // A name that another machine has chosen is no part of the command.
  assertStringIncludes(next("LVM2_member", { label: "a; reboot" }), "vgchange -ay 'a; reboot'; ");
  assertStringIncludes(next("linux_raid_member"), "mdadm --assemble --run /dev/md/restore ");
  assertStringIncludes(next("zfs_member", { label: "tank" }), "-o readonly=on -R /mnt tank");
  assertStringIncludes(next("swap"), "holds no files");
  const unknown = planMount(null, FILE);
  assert(!unknown.isFileSystem);
  assertStringIncludes(unknown.next, `file -sk ${QUOTED}`);
});
