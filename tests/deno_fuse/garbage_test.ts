import { assertEquals } from "../assert.ts";
import { trySh } from "../support/programs.ts";
import { mountTest } from "./harness.ts";

// What C refers to must survive: if callbacks or tables were collected, the driver would crash or
// give other answers.
mountTest("A mount works while garbage is collected all the time", async ({ path, lines }) => {
  const { code, stderr } = await trySh(
    `set -e; cd "$1"
    sum=$(md5sum < whole)
    for round in 1 2 3 4; do
      for name in data shared wasm whole; do
        test "$(dd if=$name bs=1M iflag=direct status=none | md5sum)" = "$sum" &
      done
      ls -l . | wc -l > /dev/null
      dd if=data of=late bs=500K count=4 status=none; cmp -n 2048000 data late
      touch f$round; mv f$round g$round; rm g$round
      wait
    done`,
    path,
  );
  assertEquals([code, stderr], [0, ""]);
  assertEquals(lines.filter((line) => !line.startsWith("ready")), []);
}, {
  flags: ["--v8-flags=--expose-gc"],
  options: { collectGarbage: true },
});
