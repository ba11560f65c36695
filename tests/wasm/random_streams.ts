/**
 * Seeded random bytes, LZO1X streams and damage to them.
 *
 * @module
 */

import type { Random } from "../support/random.ts";
import {
  assemble,
  type Bytes,
  END,
  firstLiterals,
  m1Far,
  m1Near,
  m2,
  m3,
  m4,
  run,
} from "./lzo_assembler.ts";

/** Incompressible bytes. */
export function randomBytes(random: Random, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random(256);
  return bytes;
}

/** Bytes that compress about as well as text: words of a small vocabulary. */
export function wordyBytes(random: Random, length: number): Uint8Array<ArrayBuffer> {
  const words = Array.from({ length: 200 }, () => randomBytes(random, 2 + random(12)));
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const word = words[random(words.length)]!.subarray(0, length - at);
    bytes.set(word, at);
    at += word.length;
  }
  return bytes;
}

/**
 * A valid stream of random instructions of every kind, mostly with near distances. It decodes to
 * less than 1 MiB.
 */
export function randomStream(random: Random): Uint8Array<ArrayBuffer> {
  const pieces: Bytes[] = [];
  let filled = 0;
  let state = 0;

  function literals(count: number): Bytes {
    filled += count;
    return randomBytes(random, count);
  }
  function distance(least: number, most: number): number {
    most = Math.min(most, filled);
    const kind = random(10);
    if (kind === 0) return most;
    if (kind === 1) return least;
    return least + random(kind < 6 ? Math.min(40, most - least + 1) : most - least + 1);
  }
  function length(longest: number): number {
    const kind = random(20);
    if (kind === 0) return 3 + random(3000);
    if (kind < 3) return longest - 2 + random(5);
    return 3 + random(kind < 6 ? 300 : longest - 2);
  }
  function addMatch(make: (match: { length: number; distance: number; trailing: Bytes }) => Bytes, {
    length,
    distance,
  }: { length: number; distance: number }): void {
    filled += length;
    const trailing = literals(random(2) * random(4));
    pieces.push(make({ length, distance, trailing }));
    state = trailing.length;
  }

  if (random(2)) {
    const count = 1 + random(random(3) === 0 ? 238 : 24);
    pieces.push(firstLiterals(literals(count)));
    state = Math.min(count, 4);
  } else {
    pieces.push(run(literals(4 + random(random(3) === 0 ? 600 : 20))));
    state = 4;
  }
  // A long match brings the far distances within reach.
  const reach = [0, 0, 3000, 20_000, 50_000][random(5)]!;
  if (reach) addMatch(m3, { length: reach, distance: 1 + random(Math.min(filled, 300)) });
  for (let count = random(random(4) === 0 ? 400 : 60); count > 0; count--) {
    const kind = random(12);
    if (state === 0 && kind < 5) {
      pieces.push(run(literals(4 + random(random(8) === 0 ? 600 : 20))));
      state = 4;
    } else if (state >= 1 && state <= 3 && kind < 4) {
      addMatch(m1Near, { length: 2, distance: distance(1, 1024) });
    } else if (state === 4 && kind < 4 && filled >= 2049) {
      addMatch(m1Far, { length: 3, distance: distance(2049, 3072) });
    } else if (kind < 8) {
      addMatch(m2, { length: 3 + random(6), distance: distance(1, 2048) });
    } else if (kind < 10 || filled < 16385) {
      addMatch(m3, { length: length(33), distance: distance(1, 16384) });
    } else {
      addMatch(m4, { length: length(9), distance: distance(16385, 49151) });
    }
  }
  return assemble(...pieces, END);
}

/** Bytes with a special meaning where an instruction is expected. */
const TELLING = [0x00, 0x01, 0x0f, 0x10, 0x11, 0x12, 0x18, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0xff];

/**
 * Returns a copy of a stream with one to four random damages, some of which insert parts of
 * `others`.
 */
export function mutate(
  stream: Uint8Array,
  random: Random,
  others: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  let bytes = new Uint8Array(stream);
  for (let count = 1 + random(random(2) ? 1 : 4); count > 0; count--) {
    // Half of the damages are near an end: that is where bounds are.
    const end = bytes.length;
    const at = [
      random(end + 1),
      random(Math.min(end, 30) + 1),
      end - random(Math.min(end, 60) + 1),
    ][
      random(3)
    ]!;
    const head = bytes.subarray(0, at);
    switch (random(8)) {
      case 0:
        if (at < end) bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        if (at < end) bytes[at] = random(256);
        break;
      case 2:
        if (at < end) bytes[at] = TELLING[random(TELLING.length)]!;
        break;
      case 3:
        if (random(2)) bytes = assemble(head);
        break;
      case 4:
        bytes = assemble(head, bytes.subarray(at + 1 + random(random(3) ? 4 : 200)));
        break;
      case 5:
        bytes = assemble(head, randomBytes(random, 1 + random(5)), bytes.subarray(at));
        break;
      case 6: {
        const zeros = new Uint8Array(1 + random(random(4) ? 4 : 400));
        bytes = assemble(head, zeros, bytes.subarray(at));
        break;
      }
      case 7: {
        const other = others[random(others.length)]!;
        const from = random(other.length);
        const part = other.subarray(from, from + random(200));
        bytes = assemble(
          head,
          part,
          bytes.subarray(random(2) ? at : Math.min(at + part.length, end)),
        );
        break;
      }
    }
  }
  return bytes;
}
