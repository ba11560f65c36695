/**
 * Parses the values of options that say which part of an image is wanted, how much and how fast.
 *
 * Numbers of bytes are whole and may have a unit, in either case: B, K or KiB, M or MiB, G or GiB,
 * T or TiB. All units are binary: `1K` is 1024 bytes. `KB` and the like are refused, because they
 * mean 1000 to some.
 *
 * @module
 */

import { PARTITION_NUMBERS } from "../image/partition_table.ts";
import { parseWhole, ValueFault } from "./option.ts";

const UNIT_BYTES: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ...["k", "m", "g", "t"].flatMap((letter, i): [string, number][] => [
    [letter, 1024 ** (i + 1)],
    [`${letter}ib`, 1024 ** (i + 1)],
  ]),
]);

const RANGE_FAULT = 'not OFFSET:LENGTH in bytes, such as "1GiB:512MiB"';

/**
 * Parses the value of `--range`: OFFSET:LENGTH, either of which may be missing.
 *
 * @returns Bytes; the offset is 0 if it is missing, the length `null` (to the image's end) or > 0.
 *   Their sum is exact.
 * @throws {ValueFault} for anything else.
 */
export function parseByteRange(text: string): { offset: number; length: number | null } {
  const [offsetText, lengthText, ...surplus] = text.split(":");
  if (offsetText === undefined || lengthText === undefined || surplus.length > 0) {
    throw new ValueFault(RANGE_FAULT);
  }
  if (offsetText === "" && lengthText === "") throw new ValueFault("empty");
  const offset = offsetText === "" ? 0 : parseBytes(offsetText);
  const length = lengthText === "" ? null : parseBytes(lengthText);
  if (offset === null || (lengthText !== "" && length === null)) {
    throw new ValueFault(RANGE_FAULT);
  }
  if (length === 0) throw new ValueFault("a range of length 0");
  if (!Number.isSafeInteger(offset + (length ?? 0))) {
    throw new ValueFault("beyond the end of any image");
  }
  return { offset, length };
}

/**
 * Parses the value of `--bwlimit`: bytes a second, with or without "/s".
 *
 * @returns Bytes a second, > 0.
 * @throws {ValueFault} for anything else.
 */
export function parseRate(text: string): number {
  const bytesPerSecond = parseBytes(text.replace(/\/s$/i, ""));
  if (bytesPerSecond === null || !Number.isSafeInteger(bytesPerSecond) || bytesPerSecond === 0) {
    throw new ValueFault('not a number of bytes a second above 0, such as "100MiB"');
  }
  return bytesPerSecond;
}

/**
 * Parses the value of `--sample`: a percentage, with or without "%".
 *
 * @returns Percent, > 0 and <= 100.
 * @throws {ValueFault} for anything else.
 */
export function parsePercent(text: string): number {
  const percent = /^([0-9]+\.?[0-9]*|\.[0-9]+)%?$/.test(text) ? parseFloat(text) : NaN;
  if (!(percent > 0 && percent <= 100)) {
    throw new ValueFault("not a percentage above 0 and up to 100");
  }
  return percent;
}

/**
 * Parses the value of `--partition`.
 *
 * @throws {ValueFault} unless it is a number that a partition may have.
 */
export function parsePartitionNumber(text: string): number {
  return parseWhole(text, PARTITION_NUMBERS);
}

/** Parses a byte count; `null` if malformed. Beyond 2^53 it is not exact. */
function parseBytes(text: string): number | null {
  const [, digits, unit = ""] = /^([0-9]+)([a-z]*)$/i.exec(text) ?? [];
  const unitBytes = UNIT_BYTES.get(unit.toLowerCase());
  return digits === undefined || unitBytes === undefined ? null : Number(digits) * unitBytes;
}
