import { assertEquals } from "../assert.ts";
import { trySh } from "../support/programs.ts";
import { directoryTest } from "./harness.ts";

const NOTEPAD = new URL("../../lib/deno_fuse/examples/notepad.ts", import.meta.url).pathname;

directoryTest("The example keeps files in memory until Ctrl+C", async ({ path, start }) => {
  const permissions = ["--no-prompt", "--allow-ffi", "--allow-read", "--allow-sys=uid"];
  const driver = start({ program: NOTEPAD, permissions });
  await driver.waitFor(/^Mounted/);
  const { code, stdout, stderr } = await trySh(
    `set -e; cd "$1"
    echo one > a; echo two > b; echo three >> a; cp a c
    stat -c "%n %s %F" *
    cat a; echo short > a; cat a c
    exec 3< b; rm b; cat <&3; ls
    truncate -s 2 c; cat c
    ! cat b; ! mkdir d`,
    path,
  );
  assertEquals(
    [stdout.split("\n"), stderr, code],
    [
      [
        ...["a 10 regular file", "b 4 regular file", "c 10 regular file"],
        ...["one", "three", "short", "one", "three", "two", "a", "c", "on"],
      ],
      "cat: b: No such file or directory\nmkdir: cannot create directory ‘d’: Operation not permitted\n",
      0,
    ],
  );
  driver.process.kill("SIGINT");
  assertEquals(await driver.ended(), 0);
  assertEquals(driver.mounts(), []);
  assertEquals(driver.lines.length, 1);
});
