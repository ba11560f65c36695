import { assertEquals, assertThrows } from "../assert.ts";
import { MountOptionError } from "../../lib/deno_fuse/errors.ts";
import { renderMountOptions, settleMaxRead } from "../../lib/deno_fuse/mount_options.ts";

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

Deno.test("settleMaxRead() takes the size of reads out of the mount options, the last one given", () => {
  const options = { mountOptions: ["ro", "max_read=8192", "max_read=131072", "dev"] };
  assertEquals<unknown>(settleMaxRead(options), {
    mountOptions: ["ro", "dev"],
    maxReadBytes: 131_072,
  });
  const others = { maxReadBytes: 4096, mountOptions: ["max_reads=1"] };
  assertEquals(settleMaxRead(others), others);
  for (const option of ["max_read", "max_read=", "max_read=0", "max_read=4095", "max_read=1M"]) {
    assertThrows(() => settleMaxRead({ mountOptions: [option] }), MountOptionError, `"${option}"`);
  }
});
