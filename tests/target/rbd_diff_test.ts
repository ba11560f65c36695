import {
  RBD_DIFF_END,
  rbdDataHeader,
  rbdDiffPrologue,
  rbdZeroRecord,
} from "../../lib/target/rbd_diff.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { assertBytes } from "../support/bytes.ts";
import { randomFrom } from "../support/random.ts";
import { applyRbdDiff, readRbdDiff } from "../support/rbd_diff.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { programProblem, runSync } from "../support/programs.ts";

const MAX = Number.MAX_SAFE_INTEGER;

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function data(offset: number, ...bytes: number[]): Uint8Array {
  return join(rbdDataHeader(offset, bytes.length), Uint8Array.from(bytes));
}

/** A stream of random records, and the image that it makes of one of `fill`. */
function randomStream(seed: number, imageBytes: number, fill: number) {
  const random = randomFrom(seed);
  const parts: Uint8Array[] = [rbdDiffPrologue(imageBytes)];
  const image = new Uint8Array(imageBytes).fill(fill);
  for (let at = random(2) * random(5000); at < imageBytes;) {
    const length = Math.min(1 + random(10_000), imageBytes - at);
    const content = new Uint8Array(length);
    if (random(2) === 0) parts.push(rbdZeroRecord(at, length));
    else {
      content.forEach((_, i) => content[i] = random(256));
      parts.push(rbdDataHeader(at, length), content);
    }
    image.set(content, at);
    at += length + random(2) * random(5000);
  }
  return { stream: join(...parts, RBD_DIFF_END), image };
}

Deno.test("The records are those of rbd diff v1, byte for byte", () => {
  const hex = (bytes: Uint8Array) => bytes.toHex();
  assertEquals(
    hex(rbdDiffPrologue(0x0102030405)),
    "7262642064696666207631 0a 73 0504030201000000".replaceAll(" ", ""),
  );
  assertEquals(
    hex(rbdDataHeader(1, 2)),
    "77 0100000000000000 0200000000000000".replaceAll(" ", ""),
  );
  assertEquals(
    hex(rbdZeroRecord(0x123456789abcd, 0x400000)),
    "7a cdab896745230100 0000400000000000".replaceAll(" ", ""),
  );
  assertEquals(hex(rbdDiffPrologue(MAX)).slice(-16), "ffffffffffff1f00");
  assertEquals(hex(RBD_DIFF_END), "65");
});

Deno.test("The records refuse what is not a size or a range", () => {
  for (const bytes of [-1, 0.5, NaN, Infinity, MAX + 1]) {
    assertThrows(() => rbdDiffPrologue(bytes), RangeError, `${bytes}`);
    for (const build of [rbdDataHeader, rbdZeroRecord]) {
      assertThrows(() => build(bytes, 1), RangeError, `${bytes}`);
      assertThrows(() => build(0, bytes), RangeError, `${bytes}`);
    }
  }
  for (const build of [rbdDataHeader, rbdZeroRecord]) {
    assertThrows(() => build(0, 0), RangeError, "Cannot describe 0 bytes at 0");
    assertThrows(() => build(MAX, 1), RangeError);
    assertEquals(build(MAX - 1, 1).length, 17);
  }
});

Deno.test("A stream turns any image into the one that it describes", () => {
  assertEquals(readRbdDiff(join(rbdDiffPrologue(0), RBD_DIFF_END)), { imageBytes: 0, records: [] });
  const stream = join(rbdDiffPrologue(6), data(1, 7, 8), rbdZeroRecord(4, 1), RBD_DIFF_END);
  assertEquals([...applyRbdDiff(stream)], [0, 7, 8, 0, 0, 0]);
  assertEquals([...applyRbdDiff(stream, new Uint8Array(9).fill(1))], [1, 7, 8, 1, 0, 1]);
  for (let seed = 0; seed < 50; seed++) {
    const { stream, image } = randomStream(seed, 1 + seed * 1000, 0xaa);
    assertBytes(applyRbdDiff(stream, new Uint8Array(image.length).fill(0xaa)), image);
  }
});

Deno.test("The tests' own reader refuses a malformed stream", () => {
  const start = rbdDiffPrologue(10);
  const end = RBD_DIFF_END;
  const snapshot = Uint8Array.of(0x74, 1, 0, 0, 0, 0x61);
  const badBanner = join(start, end).fill(0x32, 10, 11);
  const streams: [Uint8Array, string][] = [
    [badBanner, "another banner"],
    [join(start.subarray(0, 12), end), 'the first record is "e"'],
    [join(start.subarray(0, 12), snapshot, start.subarray(12), end), 'the first record is "t"'],
    [join(start, start.subarray(12), end), 'record "s"'],
    [join(start, snapshot, end), 'record "t"'],
    [join(start, data(3, 1), data(2, 1), end), "the one before ends at 4"],
    [join(start, data(3, 1, 2), rbdZeroRecord(4, 2), end), "the one before ends at 5"],
    [join(start, rbdZeroRecord(9, 2), end), "the image has 10"],
    [join(start, rbdDataHeader(0, 10), end), "cut short"],
    [join(start, rbdZeroRecord(0, 1).fill(0, 9), end), "it is empty"],
    [join(start, rbdZeroRecord(0, 1).fill(255, 9), end), "is no number of bytes"],
    [join(start, end, end), "1 bytes follow"],
    [join(start, data(0, 1)), "cut short"],
  ];
  for (const [stream, reason] of streams) assertThrows(() => readRbdDiff(stream), Error, reason);
  const whole = join(start, data(0, 1, 2), rbdZeroRecord(5, 5), end);
  for (let length = 0; length < whole.length; length++) {
    assertThrows(() => readRbdDiff(whole.subarray(0, length)), Error, "cut short");
  }
});

const rbdProblem = programProblem("rbd");

/**
 * Merges two streams by Ceph's own program, which needs neither a cluster nor a configuration for
 * that.
 */
function mergeDiff(scratch: Scratch, first: Uint8Array, second: Uint8Array): Uint8Array {
  const paths = [scratch.file("first", first), scratch.file("second", second)];
  const merged = scratch.file("merged");
  runSync("rbd", "--conf", "/dev/null", "--no-progress", "merge-diff", ...paths, merged);
  const bytes = Deno.readFileSync(merged);
  Deno.removeSync(merged);
  return bytes;
}

testUnless(
  rbdProblem,
  "rbd merge-diff does not change a stream when it merges an empty one",
  () => {
    using scratch = new Scratch();
    for (let seed = 0; seed < 5; seed++) {
      const imageBytes = 1 + seed * 30_000;
      const empty = join(rbdDiffPrologue(imageBytes), RBD_DIFF_END);
      const { stream } = randomStream(seed, imageBytes, 0);
      assertBytes(mergeDiff(scratch, empty, stream), stream);
      assertBytes(mergeDiff(scratch, stream, empty), stream);
    }
  },
);

testUnless(rbdProblem, "rbd merge-diff turns two streams into one that does what both do", () => {
  using scratch = new Scratch();
  for (let seed = 0; seed < 20; seed++) {
    const first = randomStream(2 * seed, 100_000, 0xaa).stream;
    const second = randomStream(2 * seed + 1, 100_000, 0xaa).stream;
    const before = new Uint8Array(100_000).fill(0xaa);
    assertBytes(
      applyRbdDiff(mergeDiff(scratch, first, second), before),
      applyRbdDiff(second, applyRbdDiff(first, before)),
    );
  }
});

testUnless(rbdProblem, "rbd merge-diff refuses a stream that is cut short", () => {
  using scratch = new Scratch();
  const whole = join(rbdDiffPrologue(10), data(0, 1, 2), RBD_DIFF_END);
  const empty = join(rbdDiffPrologue(10), RBD_DIFF_END);
  assertThrows(() => mergeDiff(scratch, whole.subarray(0, -1), empty), Error, "rbd");
});
