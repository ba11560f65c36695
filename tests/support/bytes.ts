/**
 * Compares and makes long byte strings: contents of images, files and devices.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import { GRANULE_BYTES } from "../../lib/target/target.ts";
import { assert } from "../assert.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const ZEROS = new Uint8Array(GRANULE_BYTES);

/** Asserts that two byte strings are equal, naming the first byte at which they are not. */
export function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  // Much faster than a comparison byte by byte, which is for naming the difference only.
  if (Buffer.compare(actual, expected) === 0) return;
  assert(actual.length === expected.length, `${actual.length} bytes, not ${expected.length}`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assert(at < 0, `byte ${at} is ${actual[at]}, not ${expected[at]}`);
}

/** Whether all bytes have a value. As fast as {@linkcode assertBytes}, unlike `every()`. */
export function isFilled(bytes: Uint8Array, value: number): boolean {
  return Buffer.compare(bytes, fill(bytes.length, value)) === 0;
}

/**
 * Asserts that a file, device or pipe holds just these bytes, naming the first one that differs.
 * Asynchronous, so that a hanging file system does not hang the test's process.
 */
export async function assertContent(path: string, expected: Uint8Array): Promise<void> {
  assertBytes(await Deno.readFile(path), expected);
}

/**
 * Sums up the granules of a part of an image that are not all zeros; granules begin where the part
 * does.
 */
export function dataBytesOf(part: Uint8Array): number {
  let bytes = 0;
  for (let at = 0; at < part.length; at += GRANULE_BYTES) {
    const granule = part.subarray(at, at + GRANULE_BYTES);
    if (Buffer.compare(granule, ZEROS.subarray(0, granule.length)) !== 0) bytes += granule.length;
  }
  return bytes;
}

/** Writes bytes into the middle of a file or device. */
export function patch(path: string, offset: number, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}

/** Reads a range of a file or device. */
export function readRange(path: string, offset: number, length: number): Bytes {
  using file = Deno.openSync(path);
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = file.readSync(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** Whether a file or device holds the beginning of an image: its first 4 KiB. */
export function isBegun(path: string, image: Uint8Array): boolean {
  try {
    return Buffer.compare(readRange(path, 0, 4096), image.subarray(0, 4096)) === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Reads bytes of a file by one descriptor of its own. Fewer only at the file's end. */
export async function readAt(path: string, at: number, length: number): Promise<Uint8Array> {
  using file = await Deno.open(path);
  return await readFrom(file, at, length);
}

/** Reads bytes of an open file. Fewer only at the file's end. */
export async function readFrom(
  file: Deno.FsFile,
  at: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  await file.seek(at, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

/** Writes bytes into a file that exists, by one descriptor of its own. */
export async function writeAt(path: string, at: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  await file.seek(at, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** A copy of some bytes with others in their middle. */
export function patched(bytes: Uint8Array, offset: number, content: Uint8Array): Bytes {
  const copy = new Uint8Array(bytes);
  copy.set(content, offset);
  return copy;
}

/** Bytes of one value. */
export function fill(length: number, byte = 0xaa): Bytes {
  return new Uint8Array(length).fill(byte);
}

/** Returns the errno value with which an operation fails; 0 if it does not. */
export async function errnoOf(operation: Promise<unknown>): Promise<number> {
  try {
    await operation;
    return 0;
  } catch (error) {
    const match = /\(os error (\d+)\)/.exec(error instanceof Error ? error.message : "");
    if (match === null) throw error;
    return Number(match[1]);
  }
}

/** Makes the kernel forget what it has read of all files that nobody changes. */
export async function dropPageCache(): Promise<void> {
  await Deno.writeTextFile("/proc/sys/vm/drop_caches", "1");
}
