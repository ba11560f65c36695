import { cleanUp } from "../../lib/files/clean.ts";
import { showFiles } from "../../lib/files/files.ts";
import { WorkDirectory } from "../../lib/files/work_directory.ts";
import { MountError } from "../../lib/errors.ts";
import { assertEquals, assertRejects, assertThrows } from "../assert.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { asUser } from "../support/user.ts";

const UNDO = {
  onBusy: () => {},
  onFailure: () => {},
  force: new AbortController().signal,
};
const problem = Deno.uid() === 0 ? null : "not root";

Deno.test("showFiles() and cleanUp() refuse users other than root in one line", async () => {
  using scratch = new Scratch();
  await asUser(scratch.path, async () => {
    const error = await assertRejects(() =>
      showFiles({
        ...UNDO,
        basedir: scratch.path,
        startServer: () => {
          throw new Error("started");
        },
        signal: new AbortController().signal,
        onEvent: () => {},
      }), MountError);
    assertEquals(
      (error as Error).message,
      `Cannot show the files of "${scratch.path}": only root may mount what is in an image; ` +
        "use sudo, or mount the images alone (backy-fuse DIR MOUNTPOINT)",
    );
    await assertRejects(() => cleanUp(scratch.path, UNDO), MountError, "only root may");
  });
});

testUnless(problem, "A WorkDirectory is found by its mount point, and cannot be taken over", () => {
  using scratch = new Scratch();
  const directory = WorkDirectory.create(scratch.path);
  try {
    assertEquals(Deno.statSync(directory.path).mode! & 0o777, 0o700);
    const found = WorkDirectory.list().find(({ mountpoint }) => mountpoint === scratch.path);
    assertEquals(found?.path, directory.path);
    assertThrows(() => found!.takeOver(), MountError, `it is served by pid ${Deno.pid} `);
  } finally {
    directory.remove();
  }
  assertEquals(WorkDirectory.list().filter(({ path }) => path === directory.path), []);
});

testUnless(problem, "Directories and links that others may have made are no WorkDirectory", () => {
  using scratch = new Scratch();
  const own = scratch.file("own");
  Deno.mkdirSync(own);
  Deno.symlinkSync("/etc", `${own}/at`);
  // In /tmp anybody may make both.
  const [link, foreign] = ["link", "foreign"].map((name) =>
    `/tmp/backy-fuse-${name}-${crypto.randomUUID().slice(0, 8)}`
  ) as [string, string];
  try {
    Deno.symlinkSync(own, link);
    Deno.mkdirSync(foreign);
    Deno.symlinkSync("/etc", `${foreign}/at`);
    Deno.chownSync(foreign, 65_534, 65_534);
    const found = WorkDirectory.list().map(({ path }) => path);
    assertEquals(found.filter((path) => path === link || path === foreign), []);
  } finally {
    Deno.removeSync(link);
    Deno.removeSync(foreign, { recursive: true });
  }
});

testUnless(problem, "Without a mount point, a WorkDirectory has one of its own", () => {
  const directory = WorkDirectory.create(null);
  try {
    assertEquals(directory.mountpoint, `${directory.path}/files`);
    assertEquals(Deno.statSync(directory.mountpoint).isDirectory, true);
  } finally {
    directory.remove();
  }
});
