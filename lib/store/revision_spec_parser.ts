/**
 * Parses revision specs, the language of backy's `-r`. Pure. `revision_spec.ts` says what they
 * mean.
 *
 * From loose to tight: `a, b` (either), `a & b` (both), `a..b` (range), then single words,
 * functions and parentheses. White space matters only inside of a word, as in `2026-01-11 17:45`.
 *
 * @module
 */

import { UsageError } from "../errors.ts";
import { quote } from "../wording.ts";
import { isDateLike, parseSpecDate, type SpecDate } from "./dates.ts";

/** A parsed spec. */
export type RevisionSpec =
  | SingleSpec
  | { readonly kind: "all" | "clean" }
  | { readonly kind: "tag" | "trust" | "server"; readonly value: string }
  | { readonly kind: "not" | "reverse"; readonly of: RevisionSpec }
  /** An end that is `null` is open. */
  | { readonly kind: "range"; readonly from: SingleSpec | null; readonly to: SingleSpec | null }
  | { readonly kind: "either" | "both"; readonly parts: readonly RevisionSpec[] };

/** A spec that means at most one revision. */
export type SingleSpec =
  | { readonly kind: "first" | "last" }
  /** Counted back from the newest. `text` may be a revision's name instead. */
  | { readonly kind: "number"; readonly back: number; readonly text: string }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "date"; readonly date: SpecDate }
  | { readonly kind: "first-of" | "last-of"; readonly of: RevisionSpec };

const SPEC_MAX_CHARS = 4096;
// Each level of nesting takes five stack frames.
const NESTING_MAX = 64;

const TRUST_STATES: readonly string[] = ["trusted", "distrusted", "verified"];

const KEYWORDS: ReadonlyMap<string, RevisionSpec> = new Map<string, RevisionSpec>([
  ["last", { kind: "last" }],
  ["latest", { kind: "last" }],
  ["first", { kind: "first" }],
  ["all", { kind: "all" }],
  ["clean", { kind: "clean" }],
  ["local", { kind: "server", value: "" }],
  ["remote", { kind: "not", of: { kind: "server", value: "" } }],
]);

const FUNCTIONS: ReadonlyMap<string, "first-of" | "last-of" | "not" | "reverse"> = new Map([
  ["first", "first-of"],
  ["last", "last-of"],
  ["not", "not"],
  ["reverse", "reverse"],
]);

/**
 * Parses a revision spec.
 *
 * @param text As a user typed it: any text of any length.
 * @throws {UsageError} If it is not a spec; the message says what is wrong, and where.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { parseRevisionSpec } from "./revision_spec_parser.ts";
 *
 * assertEquals(parseRevisionSpec("last(tag:daily)"), {
 *   kind: "last-of",
 *   of: { kind: "tag", value: "daily" },
 * });
 * ```
 */
export function parseRevisionSpec(text: string): RevisionSpec {
  if (text.length > SPEC_MAX_CHARS) {
    throw new UsageError(
      `Cannot understand revision spec ${quote(text, 40)}: ` +
        `it has more than ${SPEC_MAX_CHARS} characters`,
    );
  }
  return new Parser(text).parse();
}

interface Token {
  readonly kind: "(" | ")" | "," | "&" | ".." | "word" | "end";
  /** Without white space around it. */
  readonly text: string;
  /** Where it starts in the spec. */
  readonly at: number;
}

/** Splits a spec into tokens. Any text between two signs is a word. */
function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (const part of text.split(/(\.\.|[(),&])/)) {
    const word = part.trim();
    // Odd parts are the signs.
    const kind = /^(\.\.|[(),&])$/.test(part) ? part as Token["kind"] : "word";
    if (word !== "") tokens.push({ kind, text: word, at: at + part.indexOf(word) });
    at += part.length;
  }
  tokens.push({ kind: "end", text: "", at: text.length });
  return tokens;
}

class Parser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  parse(): RevisionSpec {
    if (this.#peek().kind === "end") return this.#refuse("it is empty");
    const spec = this.#parseEither();
    const rest = this.#peek();
    if (rest.kind === ")") return this.#refuse('there is no "(" for the ")"', rest);
    if (rest.kind !== "end") return this.#refuse('"," or "&" or nothing is expected', rest);
    return spec;
  }

  #parseEither(): RevisionSpec {
    return this.#parseList(",", "either", () => this.#parseBoth());
  }

  #parseBoth(): RevisionSpec {
    return this.#parseList("&", "both", () => this.#parseRange());
  }

  #parseList(
    sign: "," | "&",
    kind: "either" | "both",
    parsePart: () => RevisionSpec,
  ): RevisionSpec {
    const parts = [parsePart()];
    while (this.#take(sign)) parts.push(parsePart());
    return parts.length === 1 ? parts[0]! : { kind, parts };
  }

  #parseRange(): RevisionSpec {
    const begin = this.#peek();
    const from = begin.kind === ".." ? null : this.#parseOperand();
    if (!this.#take("..")) return from!;
    const end = this.#peek();
    const to = end.kind === "word" || end.kind === "(" ? this.#parseOperand() : null;
    return {
      kind: "range",
      from: from && this.#asSingle(from, begin),
      to: to && this.#asSingle(to, end),
    };
  }

  /** Parses a word, a function or a group in parentheses. */
  #parseOperand(): RevisionSpec {
    const token = this.#advance();
    if (token.kind === "(") return this.#parseGroup(token);
    if (token.kind !== "word") return this.#refuse("a revision is missing", token);
    const bracket = this.#peek();
    if (!this.#take("(")) return this.#parseWord(token);
    const kind = FUNCTIONS.get(token.text);
    if (kind === undefined) {
      const names = [...FUNCTIONS.keys()].join(", ");
      return this.#refuse(`there is no such function (there are ${names})`, token);
    }
    return { kind, of: this.#parseGroup(bracket) };
  }

  /** Parses the rest of a group, after its opening parenthesis. */
  #parseGroup(bracket: Token): RevisionSpec {
    if (++this.#depth > NESTING_MAX) {
      return this.#refuse(`parentheses are nested more than ${NESTING_MAX} deep`, bracket);
    }
    const spec = this.#parseEither();
    if (!this.#take(")")) {
      return this.#refuse('")" or "," or "&" is expected', this.#peek());
    }
    this.#depth--;
    return spec;
  }

  #parseWord(token: Token): RevisionSpec {
    const { text } = token;
    const keyword = KEYWORDS.get(text);
    if (keyword !== undefined) return keyword;
    if (isDateLike(text)) {
      const date = parseSpecDate(text);
      return date ? { kind: "date", date } : this.#refuse("there is no such date or time", token);
    }
    if (/^\d+$/.test(text)) return { kind: "number", back: Number(text), text };
    if (/^-\d+$/.test(text)) {
      return this.#refuse("a number counts back from the newest and has no sign", token);
    }
    if (/^[\w.-]+$/.test(text)) return { kind: "name", name: text };
    return this.#parseProperty(token);
  }

  /** Parses `tag:NAME` and the like. An empty server means this one, as in the metadata. */
  #parseProperty(token: Token): RevisionSpec {
    const [, property, value = ""] = /^(\w+):\s*(.*)$/s.exec(token.text) ?? [];
    switch (property) {
      case "server":
        return { kind: "server", value };
      case "tag":
        return value === ""
          ? this.#refuse("the tag's name is missing", token)
          : { kind: "tag", value };
      case "trust": {
        const state = value.toLowerCase();
        return TRUST_STATES.includes(state)
          ? { kind: "trust", value: state }
          : this.#refuse(`the state is not one of ${TRUST_STATES.join(", ")}`, token);
      }
      case undefined:
        return this.#refuse("this is not a revision's name, a date or a keyword", token);
      default:
        return this.#refuse("there is no such property (there are tag, trust, server)", token);
    }
  }

  #asSingle(spec: RevisionSpec, begin: Token): SingleSpec {
    switch (spec.kind) {
      case "first":
      case "last":
      case "number":
      case "name":
      case "date":
      case "first-of":
      case "last-of":
        return spec;
      default:
        return this.#refuse(
          "the end of a range must be one revision; last(...) or first(...) makes it one",
          begin,
        );
    }
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }

  /** Returns the next token and moves on, but never past the end. */
  #advance(): Token {
    const token = this.#peek();
    if (token.kind !== "end") this.#next++;
    return token;
  }

  #take(kind: Token["kind"]): boolean {
    if (this.#peek().kind !== kind) return false;
    this.#next++;
    return true;
  }

  #refuse(what: string, token?: Token): never {
    const place = token === undefined
      ? ""
      : token.kind === "end"
      ? " at its end"
      : ` at ${quote(this.#text.slice(token.at), 40)}`;
    throw new UsageError(
      `Cannot understand revision spec ${quote(this.#text, 200)}: ${what}${place}`,
    );
  }
}
