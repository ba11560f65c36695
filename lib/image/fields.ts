/**
 * Reads the fields of structures on disks: numbers, texts, UUIDs. Pure.
 *
 * @module
 */

/** Views bytes without a copy. */
export function viewOf(bytes: Uint8Array): DataView<ArrayBufferLike> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads 64 bits, little-endian; numbers above 2^53 are not exact. */
export function readUint64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

/** Reads UTF-16, little-endian, up to a zero or the end of its field. */
export function readUtf16(view: DataView, start: number, end: number): string {
  let text = "";
  for (let at = start; at + 2 <= end; at += 2) {
    const unit = view.getUint16(at, true);
    if (unit === 0) break;
    text += String.fromCharCode(unit);
  }
  return text;
}

const decoder = new TextDecoder();

/** Reads UTF-8 up to a zero or the end of its field, without the spaces that fill it up. */
export function readText(view: DataView, start: number, end: number): string {
  const field = new Uint8Array(view.buffer, view.byteOffset + start, end - start);
  const zero = field.indexOf(0);
  // The decoder refuses shared memory, so it gets a copy.
  return decoder.decode(field.slice(0, zero < 0 ? undefined : zero)).trimEnd();
}

/** Reads bytes as hex digits, in their order or from the last to the first. */
export function readHex(
  view: DataView,
  start: number,
  end: number,
  order: "forwards" | "backwards" = "forwards",
): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + start, end - start);
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  return (order === "forwards" ? digits : digits.reverse()).join("");
}

/** Reads a UUID of 16 bytes, most significant first, in small letters; "" if all are zero. */
export function readUuid(view: DataView, at: number): string {
  return formatUuid(readHex(view, at, at + 16));
}

/** Writes 32 hex digits as a UUID; "" if all are zero. */
export function formatUuid(digits: string): string {
  if (/^0*$/.test(digits)) return "";
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
