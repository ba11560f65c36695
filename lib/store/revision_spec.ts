/**
 * Revision specs: which revisions of a backup directory `last(tag:daily & clean)` means. Pure.
 *
 * All that backy's `-r` takes means the same here:
 *
 * - `last` or `latest`, `first`; a number, which counts back from the newest, 0; a full uuid
 * - `all`, `clean` (the backup completed), `local`, `remote`, `tag:NAME`, `trust:STATE`,
 *   `server:NAME`
 * - `first(...)`, `last(...)`, `not(...)`, `reverse(...)`
 * - `a..b`: from a to b, inclusive, whichever is older; `a..` and `..b` for all since or until. A
 *   date at an end is an instant: `2026-01-11` is the midnight at which that day begins
 * - `a & b`, `a, b`, and parentheses. `..` binds tighter than `&`, and `&` tighter than `,`
 *
 * Dates without a zone are in the host's zone. Differences from backy (its `find_revisions()` and
 * `find()`):
 *
 * - A date by itself, which backy refuses, means the newest revision that is not later. It covers
 *   all that it names, the whole day or minute, so that a time from a listing finds its revision
 * - `..2026-01-11` is empty if all revisions are later, and `2026-01-11..` if all are earlier;
 *   backy returns the oldest or newest, which is not what was asked for
 * - An end of a range may be a time that several revisions share, or in parentheses, and a range
 *   may be open in an empty directory; backy fails an assertion, or finds no "first"
 * - Dates have the forms that `dates.ts` lists; backy takes all of ISO 8601, such as `2026-W02`
 * - `tag:` without a name is refused
 *
 * A revision without a time is not in the order: `last`, `first`, numbers, dates, ranges,
 * `first(...)` and `last(...)` skip it. Sets such as `all` and `tag:NAME` include it, before all
 * others.
 *
 * As in backy, a uuid or number that does not exist, and `first(...)` or `last(...)` of nothing, is
 * an error anywhere in the spec: `last(not(typo))` must not return the revision that was to be
 * excluded. Sets may be empty.
 *
 * @module
 */

import { quote } from "../wording.ts";
import type { CatalogEntry } from "./catalog.ts";
import type { SpecDate } from "./dates.ts";
import type { RevisionSpec, SingleSpec } from "./revision_spec_parser.ts";

// How much of a name a message quotes.
const NAME_MAX_CHARS = 64;

export { parseRevisionSpec, type RevisionSpec } from "./revision_spec_parser.ts";

/** What a spec means in a catalog. */
export interface ResolvedSpec {
  /**
   * Each revision once: those without a time, then the others from old to new, except in
   * `reverse(...)`. A list `a, b` keeps the order in which it was written. `first(...)` and
   * `last(...)` choose by these orders.
   */
  readonly entries: readonly CatalogEntry[];
  /** Revisions without a time that might have been chosen if they had one. */
  readonly passedOver: readonly CatalogEntry[];
  /**
   * Revisions with the same time as one that was chosen by the order, so that their names decided.
   */
  readonly tied: readonly CatalogEntry[];
}

/**
 * Finds the revisions that a spec means.
 *
 * @param entries In a catalog's order.
 * @param refuse Builds the error for a part of the spec that matches nothing; `state` says which
 *   part, such as `there is no revision "x"`.
 * @throws What `refuse` returns.
 */
export function resolveRevisionSpec(
  spec: RevisionSpec,
  entries: readonly CatalogEntry[],
  refuse: (state: string) => Error,
): ResolvedSpec {
  const resolver = new Resolver(entries, refuse);
  const found = resolver.resolve(spec).map((index) => entries[index]!);
  return { entries: found, passedOver: resolver.passedOver, tied: resolver.tied };
}

/**
 * Where an end of a range lies in a catalog: the index at which a range that begins there starts,
 * and the index at which a range that ends there stops.
 */
interface RangeEnd {
  readonly from: number;
  readonly to: number;
}

/** Finds indices in a catalog. The lists that it returns have no duplicates. */
class Resolver {
  readonly #entries: readonly CatalogEntry[];
  readonly #refuse: (state: string) => Error;
  /** Index of the first entry that has a time. */
  readonly #firstDated: number;
  readonly #passedOver = new Set<number>();
  readonly #tied = new Set<number>();

  constructor(entries: readonly CatalogEntry[], refuse: (state: string) => Error) {
    this.#entries = entries;
    this.#refuse = refuse;
    const firstDated = entries.findIndex(({ time }) => time !== null);
    this.#firstDated = firstDated < 0 ? entries.length : firstDated;
  }

  /** Revisions that `resolve` skipped because they have no time. */
  get passedOver(): CatalogEntry[] {
    return this.#entriesAt(this.#passedOver);
  }

  /** Revisions with the same time as one that `resolve` chose by the order. */
  get tied(): CatalogEntry[] {
    return this.#entriesAt(this.#tied);
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
      default:
        return [this.#findSingle(spec)];
    }
  }

  #entriesAt(indices: ReadonlySet<number>): CatalogEntry[] {
    return [...indices].sort((a, b) => a - b).map((index) => this.#entries[index]!);
  }

  #where(isWanted: (entry: CatalogEntry, index: number) => boolean): number[] {
    const indices: number[] = [];
    this.#entries.forEach((entry, index) => {
      if (isWanted(entry, index)) indices.push(index);
    });
    return indices;
  }

  #findSingle(spec: SingleSpec): number {
    switch (spec.kind) {
      case "first":
        return this.#choose(this.#all(), 0, spec.kind);
      case "last":
        return this.#choose(this.#all(), -1, spec.kind);
      case "number":
        return this.#findNumber(spec.back, spec.text);
      case "name":
        return this.#findName(spec.name) ??
          this.#fail(`there is no revision ${quote(spec.name, NAME_MAX_CHARS)}`);
      case "date": {
        this.#passOver(this.#all());
        const index = this.#findLastUntil(spec.date.end);
        if (index < 0) return this.#fail("there is no revision as old as that date");
        this.#noteTies(index, this.#all());
        return index;
      }
      case "first-of":
        return this.#choose(this.resolve(spec.of), 0, "first(...)");
      case "last-of":
        return this.#choose(this.resolve(spec.of), -1, "last(...)");
    }
  }

  #all(): number[] {
    return this.#where(() => true);
  }

  /**
   * Chooses one of the revisions that have a time.
   *
   * @param at 0 for the first of them, -1 for the last.
   * @param chooser What chooses, for the error if there are none.
   */
  #choose(indices: readonly number[], at: 0 | -1, chooser: string): number {
    this.#passOver(indices);
    const chosen = indices.filter((index) => this.#isDated(index)).at(at);
    if (chosen !== undefined) {
      this.#noteTies(chosen, indices);
      return chosen;
    }
    const state = indices.length === 0
      ? "there is no revision"
      : "there is no revision whose time is known";
    return this.#fail(`${state} that ${quote(chooser)} could choose from`);
  }

  #passOver(indices: readonly number[]): void {
    for (const index of indices) if (!this.#isDated(index)) this.#passedOver.add(index);
  }

  #noteTies(chosen: number, indices: readonly number[]): void {
    const time = this.#entries[chosen]!.time!.getTime();
    for (const index of indices) {
      if (index !== chosen && this.#entries[index]!.time?.getTime() === time) this.#tied.add(index);
    }
  }

  #isDated(index: number): boolean {
    return index >= this.#firstDated;
  }

  #findNumber(back: number, text: string): number {
    const index = this.#entries.length - 1 - back;
    if (this.#isDated(index)) {
      this.#passOver(this.#all());
      this.#noteTies(index, this.#all());
      return index;
    }
    const named = this.#findName(text);
    if (named !== undefined) return named;
    const count = this.#entries.length - this.#firstDated;
    const which = count === 0 ? "none can be counted" : `the oldest is ${count - 1}`;
    return this.#fail(`there is no revision ${quote(text, NAME_MAX_CHARS)}, ${which}`);
  }

  #findName(name: string): number | undefined {
    const index = this.#entries.findIndex((entry) => entry.name === name);
    return index < 0 ? undefined : index;
  }

  #findLastUntil(time: number): number {
    return this.#entries.findLastIndex((entry) =>
      entry.time !== null && entry.time.getTime() <= time
    );
  }

  #resolveRange(first: SingleSpec | null, last: SingleSpec | null): number[] {
    this.#passOver(this.#all());
    const count = this.#entries.length;
    const begin = first === null ? { from: this.#firstDated, to: -1 } : this.#locateEnd(first);
    const end = last === null ? { from: count, to: count - 1 } : this.#locateEnd(last);
    const from = Math.min(begin.from, end.from);
    const to = Math.max(begin.to, end.to);
    return this.#where((_entry, index) => index >= from && index <= to);
  }

  #locateEnd(spec: SingleSpec): RangeEnd {
    if (spec.kind === "date") return this.#locateDate(spec.date);
    const index = this.#findSingle(spec);
    if (this.#isDated(index)) return { from: index, to: index };
    const name = quote(this.#entries[index]!.name, NAME_MAX_CHARS);
    return this.#fail(`the time of revision ${name} is unknown, so no range can end there`);
  }

  /**
   * For a date between two revisions, `from` is the later and `to` the earlier one, so that an
   * empty range stays empty.
   */
  #locateDate({ start }: SpecDate): RangeEnd {
    const firstSince = this.#entries.findIndex((entry) =>
      entry.time !== null && entry.time.getTime() >= start
    );
    return {
      from: firstSince < 0 ? this.#entries.length : firstSince,
      to: this.#findLastUntil(start),
    };
  }

  #fail(state: string): never {
    throw this.#refuse(state);
  }
}
