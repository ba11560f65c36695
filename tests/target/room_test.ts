import { assertEquals, assertThrows } from "../assert.ts";
import { TargetError } from "../../lib/errors.ts";
import { openFd, OpenFlag, releaseFd } from "../../lib/linux/files.ts";
import { preflightTarget } from "../../lib/target/preflight.ts";
import { forecastRoom } from "../../lib/target/room.ts";
import { asUser } from "../support/user.ts";
import {
  LoopDevice,
  loopDeviceProblem,
  Mount,
  mountProblem,
  Scratch,
  testUnless,
} from "../support/machine.ts";
import { programProblem, runSync, scriptCommand, shell } from "../support/programs.ts";
import { StoreFixture } from "./store_fixture.ts";

const MIB = 1_048_576;
const ROOM = "the file system has room for 8388608 bytes (8 MiB)";
const mount = mountProblem();

testUnless(
  mount,
  "preflightTarget() refuses an image that cannot fit, and warns if it may not fit",
  () => {
    using store = new StoreFixture();
    using disk = new Mount("-t", "tmpfs", "-o", "size=8m", "tmpfs");
    const path = `${disk.path}/image`;
    const optionsFor = (atLeast: number, atMost: number) =>
      store.options({ imageBytes: 1024 * MIB, data: { atLeast, atMost } });
    const check = () => {
      const error = assertThrows(
        () => preflightTarget(path, optionsFor(8 * MIB + 1, 9 * MIB)),
        TargetError,
      );
      assertEquals(
        error.message,
        `Cannot restore to "${path}": the image needs at least 8388609 bytes (8 MiB), ${ROOM}; ` +
          "make room or name another target",
      );
      const warnings = (atLeast: number, atMost: number) => {
        using checked = preflightTarget(path, optionsFor(atLeast, atMost));
        return checked.warnings;
      };
      assertEquals(warnings(8 * MIB, 9 * MIB), [
        `"${path}" may become too large for its file system: it takes up to 9437184 bytes (9 MiB), ` +
        ROOM,
      ]);
      assertEquals(warnings(0, 8 * MIB), []);
    };
    check();
    // The room of the old content can be used again.
    Deno.writeFileSync(path, new Uint8Array(3 * MIB).fill(1));
    check();
    assertEquals(Deno.statSync(path).size, 3 * MIB);
  },
);

testUnless(
  mount,
  "preflightTarget() forecasts the room for standard output, zeros included",
  async () => {
    using disk = new Mount("-t", "tmpfs", "-o", "size=8m", "tmpfs");
    const said = async (imageBytes: number, more = "") => {
      const code = scriptCommand(`
      import { preflightTarget } from lib("target/preflight.ts");
      const extent = { start: 0, end: ${imageBytes} };
      const data = { atLeast: 0, atMost: ${MIB} };
      const options = { extent, data, sparse: "auto", force: false, stores: []${more} };
      let text;
      try {
        text = preflightTarget("-", options).warnings.join();
      } catch (error) {
        text = error.message;
      }
      Deno.stderr.writeSync(new TextEncoder().encode(text));
    `);
      return (await shell(`${code} > '${disk.path}/image'`)).stderr;
    };
    assertEquals(await said(8 * MIB), "");
    assertEquals(
      await said(9 * MIB),
      `Cannot restore to standard output: the image needs 9437184 bytes (9 MiB), ${ROOM}; ` +
        "make room or name another target",
    );
    assertEquals(await said(9 * MIB, ", areZerosRecords: true"), "");
  },
);

testUnless(
  mount ?? loopDeviceProblem() ?? programProblem("mkfs.btrfs"),
  "forecastRoom() refuses nothing if the file system may compress, unless storage is allocated",
  () => {
    using device = new LoopDevice(128 * MIB);
    runSync("mkfs.btrfs", "-q", "-f", device.path);
    using disk = new Mount(device.path);
    const amount = { atLeast: 200 * MIB, atMost: 200 * MIB };
    const forecast = (sparse: "auto" | "never") =>
      forecastRoom(disk.path, amount, { old: null, sparse });
    assertEquals(forecast("auto").refusal, null);
    assertEquals(forecast("auto").doubt?.startsWith("it takes up to 209715200 bytes"), true);
    assertEquals(forecast("never").refusal?.startsWith("the image needs 209715200 bytes"), true);
  },
);

testUnless(
  mount ?? loopDeviceProblem() ?? programProblem("mkfs.ext4"),
  "forecastRoom() leaves root's reserve to root",
  async () => {
    using device = new LoopDevice(64 * MIB);
    runSync("mkfs.ext4", "-q", "-F", "-m", "50", device.path);
    using disk = new Mount(device.path);
    using scratch = new Scratch();
    // Others than root cannot reach the mount point.
    using folder = new DisposableStack();
    const fd = folder.adopt(openFd(disk.path, OpenFlag.O_RDONLY), releaseFd);
    const forecast = () =>
      forecastRoom(fd, { atLeast: 40 * MIB, atMost: 40 * MIB }, {
        old: null,
        sparse: "auto",
      });
    assertEquals(forecast(), { refusal: null, doubt: null });
    let asNobody: ReturnType<typeof forecast> | undefined;
    await asUser(scratch.path, () => void (asNobody = forecast()));
    assertEquals(asNobody?.refusal?.startsWith("the image needs 41943040 bytes (40 MiB), "), true);
  },
);
