/**
 * Reads metadata in the exact forms in which PyYAML writes it for backy, thirty times as fast as
 * the YAML parser, because a directory may hold ten thousand revisions. Text that deviates in any
 * way is left to the parser in `revision_info.ts`. Pure.
 *
 * @module
 */

// Plain scalars that are certainly that: words separated by single spaces, with colons only inside
// of words.
const WORD = "[\\w./+-]+(?::[\\w./+-]+)*";
const PLAIN = `[A-Za-z0-9](?:[\\w./+-]*(?::[\\w./+-]+)*)(?: ${WORD})*`;
// Inside brackets, commas and colons have a meaning.
const FLOW_PLAIN = "[A-Za-z0-9][\\w./+-]*";
// Quoted scalars without quotes that would have to be escaped.
const SINGLE = "'(?:[!-&(-~]+(?: [!-&(-~]+)*)?'";
const DOUBLE = '"(?:[!#-\\[\\]-~]+(?: [!#-\\[\\]-~]+)*)?"';
const SCALAR = `(?:${PLAIN}|${SINGLE}|${DOUBLE})`;
const FLOW_SCALAR = `(?:${FLOW_PLAIN}|${SINGLE}|${DOUBLE})`;
const KEY = "[a-z_]+";

const memberLine = new RegExp(`^(${KEY}): (${SCALAR})$`);
const headLine = new RegExp(`^(${KEY}):$`);
const itemLine = new RegExp(`^((?:  )?)- (${SCALAR})$`);
const innerLine = new RegExp(`^  (${KEY}): (${SCALAR})$`);
const flowListLine = new RegExp(`^(${KEY}): \\[((?:${FLOW_SCALAR}(?:, ${FLOW_SCALAR})*)?)\\]$`);
const flowMapLine = new RegExp(
  `^(${KEY}): \\{((?:${KEY}: ${FLOW_SCALAR}(?:, ${KEY}: ${FLOW_SCALAR})*)?)\\}$`,
);
const flowItems = new RegExp(FLOW_SCALAR, "g");
const flowMembers = new RegExp(`(${KEY}): (${FLOW_SCALAR})`, "g");

/** A scalar as text, or a list or mapping of scalars. */
export type PlainValue = string | readonly string[] | ReadonlyMap<string, string>;

/**
 * Reads a mapping.
 *
 * @returns What the YAML parser would return, all scalars as text; `null` if that is uncertain.
 */
export function parsePlainMetadata(text: string): ReadonlyMap<string, PlainValue> | null {
  const fields = new Map<string, PlainValue>();
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  let at = 0;
  // Producers start some files with a comment.
  while (at < lines.length && /^#[ -~]*$/.test(lines[at]!)) at++;
  while (at < lines.length) {
    const line = lines[at++]!;
    let match: RegExpExecArray | null;
    if ((match = memberLine.exec(line))) {
      fields.set(match[1]!, unquote(match[2]!));
    } else if ((match = flowListLine.exec(line))) {
      fields.set(match[1]!, (match[2]!.match(flowItems) ?? []).map(unquote));
    } else if ((match = flowMapLine.exec(line))) {
      const members = [...match[2]!.matchAll(flowMembers)];
      fields.set(match[1]!, new Map(members.map(([, key, value]) => [key!, unquote(value!)])));
    } else if ((match = headLine.exec(line))) {
      const block = readList(lines, at) ?? readMap(lines, at);
      if (block === null) return null;
      fields.set(match[1]!, block.value);
      at = block.end;
    } else {
      return null;
    }
  }
  return fields.size === 0 ? null : fields;
}

/** A list or mapping in lines of its own, and the index of the line after it. */
interface Block {
  readonly value: PlainValue;
  readonly end: number;
}

function readList(lines: readonly string[], start: number): Block | null {
  const items: string[] = [];
  const indent = itemLine.exec(lines[start] ?? "")?.[1];
  let at = start;
  for (; at < lines.length; at++) {
    const match = itemLine.exec(lines[at]!);
    if (!match || match[1] !== indent) break;
    items.push(unquote(match[2]!));
  }
  return items.length === 0 ? null : { value: items, end: at };
}

function readMap(lines: readonly string[], start: number): Block | null {
  const members = new Map<string, string>();
  let at = start;
  for (; at < lines.length; at++) {
    const match = innerLine.exec(lines[at]!);
    if (!match) break;
    members.set(match[1]!, unquote(match[2]!));
  }
  return members.size === 0 ? null : { value: members, end: at };
}

function unquote(scalar: string): string {
  return scalar[0] === "'" || scalar[0] === '"' ? scalar.slice(1, -1) : scalar;
}
