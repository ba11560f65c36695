import { describeKeepers } from "../../lib/fuse/mount_users.ts";
import { assertEquals } from "../assert.ts";
import { Scratch } from "../support/machine.ts";

Deno.test("describeKeepers() does not list users of a later mount with the same number", () => {
  using scratch = new Scratch();
  const root = scratch.path;
  // Larger than any pid.
  const pid = "99999999";
  for (const process of ["self", pid]) {
    Deno.mkdirSync(`${root}/proc/${process}/ns`, { recursive: true });
    Deno.symlinkSync("mnt:[1]", `${root}/proc/${process}/ns/mnt`);
  }
  Deno.mkdirSync(`${root}/proc/${pid}/fdinfo`);
  Deno.writeTextFileSync(`${root}/proc/${pid}/fdinfo/3`, "pos:\t0\nmnt_id:\t36\n");
  const keepersWhere = (mountinfo: string) => {
    Deno.writeTextFileSync(`${root}/proc/self/mountinfo`, mountinfo);
    return describeKeepers({ device: "0:99", id: 36 }, { root });
  };
  assertEquals(keepersWhere("35 1 8:1 / / rw - ext4 /dev/sda1 rw\n"), [`pid ${pid}`]);
  assertEquals(keepersWhere("36 1 0:55 / /srv rw - ext4 /dev/sdb1 rw\n"), []);
});
