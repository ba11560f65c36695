/**
 * Fuzzes the parser of revision maps: it agrees with `JSON.parse` and the format's rules, whatever
 * the size of its blocks.
 *
 * Input: a map's bytes.
 *
 * @module
 */

import { RevisionError } from "../../lib/errors.ts";
import { CHUNK_BYTES, chunkIdToHex, isChunkId, MAX_IMAGE_BYTES } from "../../lib/store/layout.ts";
import { parseRevisionMap, type RevisionMap } from "../../lib/store/revision_map.ts";
import { assert, assertEquals } from "../assert.ts";
import type { Random } from "../support/random.ts";
import { BLOCK_SIZES, sourceOf } from "../store/byte_source.ts";
import { type FuzzTarget, pick, requirePrintable } from "./fuzz_target.ts";

const ID = "4db6e194fd398e8edb76e11054d73eb0";
const SEEDS = [
  `{"mapping": {"0": "${ID}", "1": "c72b4ba82d1f51b71c8a18195ad33fc8"}, "size": 8388608}`,
  `{"size":12582912,"mapping":{"2":"${ID}"}}`,
  `{"x": [1, {"size": 5}, "\\u0041\\n"], "mapping": {"10": "${ID}"}, "size": 67108864, "y": -1.5e3}`,
  '{"mapping": {}, "size": 0}',
];
const SNIPPETS = [
  ...'{}[]",:\\ 0123456789abcdefxsu-+.eE\n\0\x1f\x7f\x80\xff',
  '"size"',
  '"mapping"',
  '"0": ',
  `"1": "${ID}"`,
  ", ",
  "null",
  "\\u0073ize",
  '"size": 4194304}',
  "18446744073709551616",
];
const TOKENS = [
  '"00"',
  '"0"',
  '"1"',
  `"${ID}"`,
  `"${ID.toUpperCase()}"`,
  `"${"0".repeat(32)}"`,
  '"size"',
  '"mapping"',
  "4194304",
  "281474976710656",
  "281474976710657",
  "-1",
  "8e6",
  "{}",
];

function mutate(text: string, random: Random): string {
  const at = random(text.length + 1);
  const end = Math.min(text.length, at + 1 + random(random(4) === 0 ? 40 : 3));
  const snippet = pick(random, SNIPPETS);
  switch (random(9)) {
    case 0:
      return text.slice(0, at) + snippet + text.slice(at);
    case 1:
      return text.slice(0, at) + snippet + text.slice(at + snippet.length);
    case 2:
      return text.slice(0, at) + text.slice(end);
    case 3:
      return text.slice(0, end) + text.slice(at);
    case 4:
      return text.slice(0, at);
    case 5:
    case 6: {
      const places = [...text.matchAll(/"[^"]*"|\d+/g)];
      const place = places[random(places.length)];
      if (!place) return text;
      const token = pick(random, TOKENS);
      return text.slice(0, place.index) + token + text.slice(place.index + place[0].length);
    }
    case 7:
      return text.slice(0, at) + pick(random, ["[", "{", '{"a":']).repeat(random(80)) +
        text.slice(at);
    default:
      return text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
  }
}

/** A map of more entries than the seeds have, its keys in any order. */
function makeLargeMap(random: Random): string {
  const count = random(400);
  const seqs = Array.from({ length: count }, (_, seq) => seq + random(2) * random(1000));
  const entries = [...new Set(seqs)].map((seq) =>
    `"${seq}":${" ".repeat(random(3))}"${random(2 ** 31).toString(16).padStart(32, "a")}"`
  );
  if (random(2)) entries.reverse();
  const size = 2000 * CHUNK_BYTES - random(CHUNK_BYTES);
  return `{"mapping":{${entries.join(random(2) ? "," : ", ")}},"size":${size}}`;
}

type Outcome = RevisionMap | string;

function outcomeOf(bytes: Uint8Array, blockBytes: number | undefined): Outcome {
  try {
    return parseRevisionMap(sourceOf(bytes), { path: "p", blockBytes });
  } catch (error) {
    if (error instanceof RevisionError) return error.message;
    throw error;
  }
}

/** How JSON.parse and the format's rules read a text: ids by seq and the size, or `null`. */
function readByJsonParse(text: string): { size: number; ids: Map<number, string> } | null {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(document) || !isRecord(document.mapping)) return null;
  const { size } = document;
  if (typeof size !== "number" || !Number.isInteger(size) || size < 0) return null;
  if (size > MAX_IMAGE_BYTES) return null;
  const ids = new Map<number, string>();
  for (const [key, id] of Object.entries(document.mapping)) {
    const seq = Number(key);
    if (!/^(0|[1-9]\d*)$/.test(key) || seq * CHUNK_BYTES >= size) return null;
    if (typeof id !== "string" || !isChunkId(id) || /^0+$/.test(id)) return null;
    ids.set(seq, id);
  }
  return { size, ids };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a text has something that JSON.parse accepts but a map may not have. */
function isOutsideJsonParse(text: string): boolean {
  // Escapes in seqs and ids; sizes as -0, 8.0 or 8e0; and of two equal keys JSON.parse takes the
  // last.
  if (text.includes("\\")) return true;
  if (!/"size"\s*:\s*\d+\s*[,}]/.test(text) || /"size"\s*:\s*[\d.eE+-]*[.eE+-]/.test(text)) {
    return true;
  }
  // Nesting is bounded.
  if (/[[{]/.test(text) && text.replace(/[^[{]/g, "").length > 60) return true;
  const keys = [...text.matchAll(/("[^"]*")\s*:/g)].map((match) => match[1]);
  return new Set(keys).size < keys.length;
}

/** The parser of revision maps. */
export const revisionMap: FuzzTarget = {
  name: "revision-map",
  promise: "same verdict and same ids as JSON.parse and the format's rules, at all block sizes",
  leastTaken: 0.02,

  generate(random) {
    let text = random(6) === 0 ? makeLargeMap(random) : pick(random, SEEDS);
    for (let count = random(12) === 0 ? 0 : 1 + random(3); count > 0; count--) {
      text = mutate(text, random);
    }
    return Uint8Array.from(text, (char) => char.charCodeAt(0));
  },

  check(bytes) {
    const text = new TextDecoder("latin1").decode(bytes);
    const outcome = outcomeOf(bytes, undefined);
    const inBlocks = outcomeOf(bytes, BLOCK_SIZES[bytes.length % BLOCK_SIZES.length]);
    // "latin1" is windows-1252 to TextDecoder; the difference lies inside strings, where it does
    // not matter.
    const expected = readByJsonParse(text);
    if (typeof outcome === "string") {
      assertEquals(inBlocks, outcome);
      assert(expected === null || isOutsideJsonParse(text), outcome);
      requirePrintable(outcome);
      return false;
    }
    assert(expected !== null && typeof inBlocks !== "string", "JSON.parse refuses it");
    assertEquals(outcome.imageBytes, expected.size);
    assertEquals(outcome.mappedCount, expected.ids.size);
    assertEquals(outcome.seqCount, Math.ceil(expected.size / CHUNK_BYTES));
    assertEquals(outcome.ids.length, outcome.seqCount * 16);
    // For a size of terabytes the array is too long to check completely.
    for (const [seq, id] of expected.ids) assertEquals(chunkIdToHex(outcome.ids, seq * 16), id);
    if (outcome.seqCount < 1000) assertEquals(inBlocks, outcome);
    return true;
  },
};
