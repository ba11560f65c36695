/**
 * A fuzzer of one part of the project makes inputs from seeded random numbers, and throws what is
 * wrong with the part. An input is always bytes, so that one that found a fault can be kept as a
 * file (`findings/`).
 *
 * @module
 */

import type { Random } from "../support/random.ts";

/** A fuzzer of one part. */
export interface FuzzTarget {
  readonly name: string;
  /** What it promises, in a few words. */
  readonly promise: string;
  /**
   * Share of the inputs that must be accepted, so that not only refusals are tried.
   */
  readonly leastTaken: number;
  /** Makes an input. The same random numbers give the same input. */
  generate(random: Random): Uint8Array<ArrayBuffer>;
  /**
   * Tries an input.
   *
   * @returns Whether it was accepted; `false` if it was refused, as it should be.
   * @throws Anything, if the part does something wrong.
   */
  check(input: Uint8Array<ArrayBuffer>): boolean | Promise<boolean>;
}

/** Returns an input's text. */
export function textOf(input: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(input);
}

/** Makes an input of text. */
export function inputOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Chooses one of several things. */
export function pick<T>(random: Random, things: readonly T[]): T {
  return things[random(things.length)]!;
}

/** Longest message that may be made of hostile text. */
const MESSAGE_MAX_CHARS = 700;

/** Throws unless a message is one printable line of bounded length. */
export function requirePrintable(message: string): void {
  if (message.length > MESSAGE_MAX_CHARS) {
    throw new Error(`a message has ${message.length} characters: ${message.slice(0, 200)}`);
  }
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(message)) {
    throw new Error(`a message is not printable: ${JSON.stringify(message)}`);
  }
}
