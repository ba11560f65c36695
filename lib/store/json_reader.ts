/**
 * A pull parser for JSON bytes: it sees a file through a window of about one block and builds only
 * what is asked for, so a map of hundreds of megabytes takes one block of memory. `map_parser.ts`
 * drives it.
 *
 * The grammar is that of RFC 8259. Only UTF-8 in strings is not checked: everything that matters in
 * a map is ASCII, and bytes from 0x80 on can occur only inside of strings.
 *
 * @module
 */

import type { Steps } from "../slices.ts";

/** Random access to bytes, such as a file. */
export interface ByteSource {
  /** Number of bytes when the source was opened. */
  readonly length: number;
  /**
   * Reads some bytes.
   *
   * @param view Receives the bytes; not empty.
   * @returns How many bytes were read: at least 1, or 0 at the end.
   */
  readAt(view: Uint8Array<ArrayBuffer>, offset: number): number;
}

/** What {@linkcode JsonReader.skipSpace} returns at the end of the bytes. */
export const END = -1;

/** ASCII codes of the characters of JSON's syntax. */
export const Ascii = {
  QUOTE: 0x22,
  PLUS: 0x2b,
  COMMA: 0x2c,
  MINUS: 0x2d,
  DOT: 0x2e,
  ZERO: 0x30,
  NINE: 0x39,
  COLON: 0x3a,
  OPEN_BRACKET: 0x5b,
  BACKSLASH: 0x5c,
  CLOSE_BRACKET: 0x5d,
  OPEN_BRACE: 0x7b,
  CLOSE_BRACE: 0x7d,
} as const;

/**
 * How many bytes {@linkcode JsonReader.fill} can be asked for. As many may be read past the end, as
 * zeros.
 */
export const MAX_FILL_BYTES = 64;

const DEFAULT_BLOCK_BYTES = 1024 * 1024;
const MAX_DEPTH = 64;
const NUMBER_KEPT_CHARS = 32;

/** Values skipped per step. */
const VALUES_PER_STEP = 8192;

/**
 * Bytes that a step may read. Only white space, or one string or number, can be that long, which no
 * producer writes. It would take more than a few milliseconds and keep signals waiting.
 */
const STEP_MAX_BYTES = 8 * 1024 * 1024;

/**
 * What the byte after a backslash stands for: `"` `\\` `/` for themselves, and b f n r t. "u" is
 * handled elsewhere.
 */
const simpleEscapes: ReadonlyMap<number, number> = new Map([
  [0x22, 0x22],
  [0x5c, 0x5c],
  [0x2f, 0x2f],
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

/** How {@linkcode JsonReader} reads and reports. */
export interface JsonReaderOptions {
  /** Builds the error for a problem and the byte of the source where it is. */
  readonly faultAt: (problem: string, offset: number) => Error;
  /** Bytes to read at once, >= 1; default: 1 MiB, or the source if it is smaller. */
  readonly blockBytes?: number | undefined;
  /** Called after each block with the number of bytes read so far. */
  readonly onBlock?: ((bytesRead: number) => void) | undefined;
}

/** Reads JSON tokens in order from the start of a source. Not for concurrent use. */
export class JsonReader {
  /**
   * The window. Bytes `position` to `end` are unread; a hot loop may read them and advance
   * `position` after calling {@linkcode fill}.
   */
  readonly buffer: Uint8Array<ArrayBuffer>;
  position = 0;
  end = 0;
  /** Number of bytes read from the source: now, and when the step started. */
  #loaded = 0;
  #loadedBefore = 0;
  readonly #source: ByteSource;
  readonly #blockBytes: number;
  readonly #options: JsonReaderOptions;

  constructor(source: ByteSource, options: JsonReaderOptions) {
    this.#source = source;
    this.#options = options;
    // Small for a small map: a directory may hold ten thousand, each with its own reader.
    this.#blockBytes = options.blockBytes ??
      Math.max(1, Math.min(DEFAULT_BLOCK_BYTES, source.length));
    // Fewer than MAX_FILL_BYTES unread bytes, one block, and the zeros that `fill` puts after the
    // end.
    this.buffer = new Uint8Array(this.#blockBytes + 2 * MAX_FILL_BYTES);
  }

  /** Starts the next step, after a pause. */
  beginStep(): void {
    this.#loadedBefore = this.#loaded;
  }

  /** Offset of the next unread byte in the source. */
  get offset(): number {
    return this.#loaded - (this.end - this.position);
  }

  /**
   * Makes sure that the window has some unread bytes.
   *
   * @param count How many, at most {@linkcode MAX_FILL_BYTES}. If the source ends sooner, zeros
   *   follow `end`; they are not JSON, so a loop that matches bytes stops there by itself.
   * @returns Whether there are that many.
   */
  fill(count: number): boolean {
    while (this.end - this.position < count) {
      this.buffer.copyWithin(0, this.position, this.end);
      this.end -= this.position;
      this.position = 0;
      if (this.#loaded - this.#loadedBefore > STEP_MAX_BYTES) {
        this.fail("white space, a text or a number is too long to be a revision map's");
      }
      const block = this.buffer.subarray(this.end, this.end + this.#blockBytes);
      const read = this.#source.readAt(block, this.#loaded);
      if (read === 0) {
        this.buffer.fill(0, this.end, this.end + MAX_FILL_BYTES);
        return false;
      }
      this.end += read;
      this.#loaded += read;
      this.#options.onBlock?.(this.#loaded);
    }
    return true;
  }

  /** Skips white space. @returns The byte after it, still unread, or {@linkcode END}. */
  skipSpace(): number {
    for (;;) {
      while (this.position < this.end) {
        const byte = this.buffer[this.position]!;
        if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) {
          return byte;
        }
        this.position++;
      }
      if (!this.fill(1)) return END;
    }
  }

  /** Skips white space and this byte; anything else is a fault. */
  expect(byte: number): void {
    if (this.skipSpace() !== byte) this.failUnexpected(`"${String.fromCharCode(byte)}"`);
    this.position++;
  }

  /**
   * Reads the separator between members or elements.
   *
   * @param close The byte that closes the object or array.
   * @returns Whether another member or element follows.
   */
  readSeparator(close: number): boolean {
    const byte = this.skipSpace();
    if (byte !== Ascii.COMMA && byte !== close) {
      this.failUnexpected(`"," or "${String.fromCharCode(close)}"`);
    }
    this.position++;
    return byte === Ascii.COMMA;
  }

  /** Reads the start of an object or array. @returns Whether it has any member or element. */
  readOpening(open: number, close: number): boolean {
    this.expect(open);
    if (this.skipSpace() !== close) return true;
    this.position++;
    return false;
  }

  /**
   * Reads a string whose content matters only if it is short.
   *
   * @returns The content with escapes resolved and each byte above 0x7F as one character;
   *   `undefined` if it has more than `maxChars` characters.
   */
  readString(maxChars: number): string | undefined {
    this.expect(Ascii.QUOTE);
    let text = "";
    let count = 0;
    for (;;) {
      let code = this.#nextInString();
      if (code === Ascii.QUOTE) return count > maxChars ? undefined : text;
      if (code === Ascii.BACKSLASH) code = this.#readEscape();
      if (++count <= maxChars) text += String.fromCharCode(code);
    }
  }

  /** Reads a number. @returns Its text, cut to 32 characters and "…" if it is longer. */
  readNumber(): string {
    this.skipSpace();
    let text = "";
    const take = () => {
      const byte = this.buffer[this.position++]!;
      if (text.length <= NUMBER_KEPT_CHARS) {
        text += text.length < NUMBER_KEPT_CHARS ? String.fromCharCode(byte) : "…";
      }
    };
    const takeIf = (...bytes: number[]) => {
      const isThere = bytes.includes(this.#peek());
      if (isThere) take();
      return isThere;
    };
    const takeDigits = () => {
      if (!isDigit(this.#peek())) this.failUnexpected("a digit");
      while (isDigit(this.#peek())) take();
    };
    takeIf(Ascii.MINUS);
    if (!takeIf(Ascii.ZERO)) takeDigits();
    if (takeIf(Ascii.DOT)) takeDigits();
    if (takeIf(0x65, 0x45)) {
      takeIf(Ascii.PLUS, Ascii.MINUS);
      takeDigits();
    }
    return text;
  }

  /** Skips any value. Objects and arrays may be nested 64 deep. */
  *skipValue(): Steps<void> {
    // The bytes that close the objects and arrays around the value.
    const closers: number[] = [];
    for (let values = 1;; values++) {
      if (values % VALUES_PER_STEP === 0) {
        yield;
        this.beginStep();
      }
      const byte = this.skipSpace();
      if (byte === Ascii.OPEN_BRACE || byte === Ascii.OPEN_BRACKET) {
        if (closers.length >= MAX_DEPTH) this.fail(`values are nested more than ${MAX_DEPTH} deep`);
        const close = byte === Ascii.OPEN_BRACE ? Ascii.CLOSE_BRACE : Ascii.CLOSE_BRACKET;
        if (this.readOpening(byte, close)) {
          closers.push(close);
          if (close === Ascii.CLOSE_BRACE) this.#skipKey();
          continue;
        }
      } else {
        this.#skipScalar(byte);
      }
      for (;;) {
        const close = closers.at(-1);
        if (close === undefined) return;
        if (this.readSeparator(close)) {
          if (close === Ascii.CLOSE_BRACE) this.#skipKey();
          break;
        }
        closers.pop();
      }
    }
  }

  /** Throws the error for a problem at the next byte or at `offset`. */
  fail(problem: string, offset = this.offset): never {
    throw this.#options.faultAt(problem, offset);
  }

  /** Throws the error for a next byte that is not what is expected there. */
  failUnexpected(wanted: string): never {
    const byte = this.#peek();
    if (byte === END) this.fail(`the file ends where ${wanted} is expected (truncated)`);
    let found = `byte 0x${byte.toString(16).padStart(2, "0")}`;
    if (byte > 0x20 && byte < 0x7f) found = `"${String.fromCharCode(byte)}"`;
    if (byte === Ascii.QUOTE) found = "a quote";
    this.fail(`${found} stands where ${wanted} is expected`);
  }

  #peek(): number {
    return this.position < this.end || this.fill(1) ? this.buffer[this.position]! : END;
  }

  #nextInString(): number {
    const byte = this.#peek();
    if (byte < 0x20) this.failUnexpected("a character of a string or its closing quote");
    this.position++;
    return byte;
  }

  #skipKey(): void {
    if (this.skipSpace() !== Ascii.QUOTE) this.failUnexpected("a quoted key");
    this.#skipString();
    this.expect(Ascii.COLON);
  }

  #skipScalar(firstByte: number): void {
    if (firstByte === Ascii.QUOTE) this.#skipString();
    else if (firstByte === Ascii.MINUS || isDigit(firstByte)) this.readNumber();
    else this.#skipLiteral();
  }

  #skipString(): void {
    this.position++;
    for (;;) {
      const { buffer, end } = this;
      let position = this.position;
      while (position < end) {
        const byte = buffer[position]!;
        if (byte < 0x20 || byte === Ascii.QUOTE || byte === Ascii.BACKSLASH) break;
        position++;
      }
      this.position = position;
      if (position === end && this.fill(1)) continue;
      const code = this.#nextInString();
      if (code === Ascii.QUOTE) return;
      if (code === Ascii.BACKSLASH) this.#readEscape();
    }
  }

  #readEscape(): number {
    const byte = this.#nextInString();
    const simple = simpleEscapes.get(byte);
    if (simple !== undefined) return simple;
    if (byte !== 0x75) this.fail("a string has an unknown escape", this.offset - 1);
    let code = 0;
    for (let digit = 0; digit < 4; digit++) {
      const value = hexValues[this.#nextInString()]!;
      if (value > 15) this.fail("a string has an unknown escape", this.offset - 1);
      code = code * 16 + value;
    }
    return code;
  }

  #skipLiteral(): void {
    this.fill(5);
    for (const word of ["true", "false", "null"]) {
      const isHere = [...word].every((char, index) =>
        this.position + index < this.end &&
        this.buffer[this.position + index] === char.charCodeAt(0)
      );
      if (isHere) {
        this.position += word.length;
        return;
      }
    }
    this.failUnexpected("a value");
  }
}

function isDigit(byte: number): boolean {
  return byte >= Ascii.ZERO && byte <= Ascii.NINE;
}

/** Values of hex digits of either case; 255 for other bytes. */
const hexValues = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? 255 : value;
});
