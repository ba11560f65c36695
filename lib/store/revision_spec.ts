/**
 * Revision specs: which revisions of a backup directory `last(tag:daily & clean)` means. Pure.
 *
 * What backy's `-r` takes means here what it means there:
 *
 * - `last` or `latest`, `first`; a number counts back from the newest, which is 0; a revision's uuid in full
 * - `all`, `clean` (the backup ran to its end), `local`, `remote`, `tag:NAME`, `trust:STATE`, `server:NAME`
 * - `first(...)`, `last(...)`, `not(...)`, `reverse(...)`
 * - `a..b`: from a to b, both included, whichever is older; `a..` and `..b` for all since or until. A date as an
 *   end is an instant: `2026-01-11` is midnight, at which that day begins
 * - `a & b`, `a, b`, and parentheses. `..` binds tighter than `&`, and that tighter than `,`
 *
 * Here only, a date by itself is the newest revision that is no later. The date stands for all that it names, the whole
 * day or the whole minute, so that what a listing shows finds its revision. Dates without a zone are in the host's one.
 * And `..2026-01-11` means nothing if all revisions are later; backy returns the oldest, which is not what was asked for.
 *
 * @module
 */

import type { CatalogEntry } from "./catalog.ts";
import type { SpecDate } from "./revision_spec_date.ts";
import type { RevisionSpec, SingleSpec } from "./revision_spec_parser.ts";

export { parseRevisionSpec, type RevisionSpec } from "./revision_spec_parser.ts";

/**
 * Finds the revisions that a spec means.
 *
 * @param entries Oldest first, as a catalog has them.
 * @returns Each revision once, none if there is no such one. Oldest first, save for `reverse(...)`; a list `a, b` is in
 *   the order in which it was written, and `first(...)` and `last(...)` go by such orders.
 */
export function resolveRevisionSpec(
  spec: RevisionSpec,
  entries: readonly CatalogEntry[],
): CatalogEntry[] {
  return new Resolver(entries).resolve(spec).map((index) => entries[index]!);
}

/** Where a range's end lies in a catalog, as the indices from which and up to which a range reaches from there. */
interface RangeEnd {
  readonly from: number;
  readonly to: number;
}

/** Finds indices in a catalog; the lists it returns have no duplicates. */
class Resolver {
  readonly #entries: readonly CatalogEntry[];

  constructor(entries: readonly CatalogEntry[]) {
    this.#entries = entries;
  }

  resolve(spec: RevisionSpec): number[] {
    switch (spec.kind) {
      case "all":
        return this.#where(() => true);
      case "clean":
        return this.#where(({ info }) => info.isComplete);
      case "tag":
        return this.#where(({ info }) => info.tags.includes(spec.value));
      case "trust":
        return this.#where(({ info }) => info.trust === spec.value);
      case "server":
        return this.#where(({ info }) => info.server === spec.value);
      case "not": {
        const excluded = new Set(this.resolve(spec.of));
        return this.#where((_entry, index) => !excluded.has(index));
      }
      case "reverse":
        return this.resolve(spec.of).reverse();
      case "either": {
        const indices = new Set<number>();
        for (const part of spec.parts) {
          for (const index of this.resolve(part)) indices.add(index);
        }
        return [...indices];
      }
      case "both":
        return spec.parts.map((part) => this.resolve(part)).reduce((kept, other) => {
          const wanted = new Set(other);
          return kept.filter((index) => wanted.has(index));
        });
      case "range":
        return this.#resolveRange(spec.from, spec.to);
      default: {
        const index = this.#findSingle(spec);
        return index === undefined ? [] : [index];
      }
    }
  }

  #where(isWanted: (entry: CatalogEntry, index: number) => boolean): number[] {
    const indices: number[] = [];
    this.#entries.forEach((entry, index) => {
      if (isWanted(entry, index)) indices.push(index);
    });
    return indices;
  }

  #findSingle(spec: SingleSpec): number | undefined {
    const count = this.#entries.length;
    switch (spec.kind) {
      case "first":
        return count === 0 ? undefined : 0;
      case "last":
        return count === 0 ? undefined : count - 1;
      case "number":
        return spec.back < count ? count - 1 - spec.back : this.#findName(spec.text);
      case "name":
        return this.#findName(spec.name);
      case "date": {
        const index = this.#findLastUntil(spec.date.end);
        return index < 0 ? undefined : index;
      }
      case "first-of":
        return this.resolve(spec.of)[0];
      case "last-of":
        return this.resolve(spec.of).at(-1);
    }
  }

  #findName(name: string): number | undefined {
    const index = this.#entries.findIndex((entry) => entry.name === name);
    return index < 0 ? undefined : index;
  }

  #findLastUntil(time: number): number {
    return this.#entries.findLastIndex((entry) => entry.time.getTime() <= time);
  }

  #resolveRange(first: SingleSpec | null, last: SingleSpec | null): number[] {
    const count = this.#entries.length;
    const begin = first === null ? { from: 0, to: -1 } : this.#placeEnd(first);
    const end = last === null ? { from: count, to: count - 1 } : this.#placeEnd(last);
    if (begin === undefined || end === undefined) return [];
    const from = Math.min(begin.from, end.from);
    const to = Math.max(begin.to, end.to);
    return this.#where((_entry, index) => index >= from && index <= to);
  }

  #placeEnd(spec: SingleSpec): RangeEnd | undefined {
    if (spec.kind === "date") return this.#placeDate(spec.date);
    const index = this.#findSingle(spec);
    return index === undefined ? undefined : { from: index, to: index };
  }

  /** Between two revisions, `from` is the later one and `to` the earlier, so that an empty range stays empty. */
  #placeDate({ start }: SpecDate): RangeEnd {
    const firstSince = this.#entries.findIndex((entry) => entry.time.getTime() >= start);
    return {
      from: firstSince < 0 ? this.#entries.length : firstSince,
      to: this.#findLastUntil(start),
    };
  }
}
