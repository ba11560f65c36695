import { IdleMaps } from "../../lib/image_access/image_map.ts";
import { assertEquals } from "../assert.ts";

Deno.test("IdleMaps drops the maps that were closed first when there is no room", () => {
  const dropped: string[] = [];
  const holder = (name: string) => ({ drop: () => dropped.push(name) });
  const [a, b, c, d] = [holder("a"), holder("b"), holder("c"), holder("d")];
  const maps = new IdleMaps(100);
  maps.add(a, 40);
  maps.add(b, 40);
  maps.remove(a);
  maps.add(c, 50);
  assertEquals(dropped, []);
  maps.add(a, 40);
  assertEquals(dropped, ["b"]);
  maps.add(d, 101);
  assertEquals(dropped, ["b", "c", "a", "d"]);
  maps.add(c, 100);
  maps.remove(b);
  assertEquals(dropped.length, 4);
});
