import { assertEquals } from "../assert.ts";
import { renderMountOptions } from "../../lib/deno_fuse/mount_options.ts";

const onError = () => {};

Deno.test("renderMountOptions() always limits the size of reads", () => {
  assertEquals(renderMountOptions({ onError }), "max_read=1048576");
  assertEquals(renderMountOptions({ onError, maxReadBytes: 4096 }), "max_read=4096");
});

Deno.test("renderMountOptions() escapes names, not options", () => {
  const options = { onError, fsname: "a,b\\c", subtype: "x", mountOptions: ["ro", "allow_root"] };
  assertEquals(
    renderMountOptions(options),
    "max_read=1048576,fsname=a\\,b\\\\c,subtype=x,ro,allow_root",
  );
});
