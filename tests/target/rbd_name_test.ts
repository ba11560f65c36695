import { isRbdName, parseRbdName, rbdSpecOf } from "../../lib/target/rbd_name.ts";
import { assert, assertEquals } from "../assert.ts";

Deno.test("parseRbdName() reads pool, namespace and image", () => {
  const image = parseRbdName("rbd:pool/vm 0:1");
  assertEquals(image, { pool: "pool", namespace: "", image: "vm 0:1" });
  const inside = parseRbdName("rbd:pool/space/vm0");
  assertEquals(inside, { pool: "pool", namespace: "space", image: "vm0" });
  assertEquals(rbdSpecOf(image!), "pool/vm 0:1");
  assertEquals(rbdSpecOf(inside!), "pool/space/vm0");
});

Deno.test("parseRbdName() refuses what is not rbd:POOL[/NAMESPACE]/IMAGE", () => {
  const malformed = ["rbd:", "rbd:vm0", "rbd:/vm0", "rbd:pool/", "rbd:p//i", "rbd:p/n/i/j"];
  for (const output of [...malformed, "rbd:pool/vm0@snap", "pool/vm0", "rbd:p/a\0b"]) {
    assertEquals(parseRbdName(output), null, output);
  }
});

Deno.test("isRbdName() does not take a path for an image", () => {
  assert(isRbdName("rbd:pool/vm0"));
  for (const path of ["./rbd:pool/vm0", "/tmp/rbd:x", "rbd", "-", "RBD:pool/vm0"]) {
    assert(!isRbdName(path), path);
  }
});
