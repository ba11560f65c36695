import { ReadWaits } from "../../lib/work/read_waits.ts";
import { assertEquals } from "../assert.ts";

/** Waits by a clock that only goes on when it is told to. */
class Scene {
  nowMs = 0;
  readonly waits = new ReadWaits(() => this.nowMs);

  readFor(ms: number): void {
    this.nowMs += ms;
    this.waits.add(ms);
  }

  decodeFor(ms: number): void {
    this.nowMs += ms;
  }
}

Deno.test("ReadWaits are long once they are 10 ms and a fourth of the time", () => {
  const scene = new Scene();
  scene.readFor(9); // nothing but waiting, but short
  assertEquals(scene.waits.areLong, false);
  scene.readFor(1);
  assertEquals(scene.waits.areLong, true);
  scene.decodeFor(30); // a fourth
  assertEquals(scene.waits.areLong, false);
  scene.readFor(1);
  assertEquals(scene.waits.areLong, true);
});

Deno.test("ReadWaits are not long where decoding takes eight times as long", () => {
  for (const scale of [1, 10, 100]) {
    const scene = new Scene();
    for (let chunk = 0; chunk < 1000; chunk++) {
      scene.readFor(0.4 * scale);
      scene.decodeFor(3.2 * scale);
      assertEquals(scene.waits.areLong, false, `chunk ${chunk}, scale ${scale}`);
    }
  }
});

Deno.test("ReadWaits notices within seconds that storage has become slow", () => {
  const scene = new Scene();
  for (let chunk = 0; chunk < 100_000; chunk++) {
    scene.readFor(0.4);
    scene.decodeFor(3.2);
  }
  const changedMs = scene.nowMs;
  while (!scene.waits.areLong) {
    scene.readFor(10);
    scene.decodeFor(3.2);
  }
  assertEquals(scene.nowMs - changedMs < 2000, true);
});
